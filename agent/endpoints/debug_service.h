// SPIRE's debug API of an agent: figures and the agent's own certificate chain. The answer is made
// anew every few seconds only, as in SPIRE: whoever polls costs little.
//
// Threads: gRPC's.
#pragma once

#include <functional>
#include <mutex>
#include <optional>

#include "ca/x509/certificate.h"
#include "spire/agent/debug/v1/debug.grpc.pb.h"

namespace signet::agent {

struct AgentFigures {
  ca::Chain chain;                     // the agent's SVID
  std::vector<ca::Certificate> roots;  // of the own bundle
  std::size_t x509_svids = 0;
  std::size_t jwt_svids = 0;
  std::optional<WallTime> last_sync;  // when the server last agreed with what is held
};

class DebugService final : public spire::agent::debug::v1::Debug::CallbackService {
 public:
  DebugService(std::function<AgentFigures()> figures, const Clock& clock);

  grpc::ServerUnaryReactor* GetInfo(grpc::CallbackServerContext* context,
                                    const spire::agent::debug::v1::GetInfoRequest* request,
                                    spire::agent::debug::v1::GetInfoResponse* response) override;

 private:
  spire::agent::debug::v1::GetInfoResponse Compose() const;

  const std::function<AgentFigures()> figures_;
  const Clock& clock_;
  const SteadyTime started_at_;
  std::mutex mutex_;  // guards what follows
  std::optional<SteadyTime> composed_at_;
  spire::agent::debug::v1::GetInfoResponse composed_;
};

}  // namespace signet::agent
