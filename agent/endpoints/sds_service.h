// Envoy's secret discovery, v3: StreamSecrets, DeltaSecrets and FetchSecrets. The caller is
// attested like any other; the Workload API's header is not asked for, as Envoy does not send it.
//
// Threads: calls begin on the socket's loop.
#pragma once

#include "agent/endpoints/call_table.h"
#include "agent/endpoints/caller_gate.h"
#include "agent/endpoints/pending_call.h"
#include "agent/endpoints/sds_delta_stream.h"
#include "agent/endpoints/sds_stream.h"

namespace signet::agent {

inline constexpr const char* kSecretDiscovery = "envoy.service.secret.v3.SecretDiscoveryService";

class SdsService {
 public:
  SdsService(StreamContext& streams, CallerGate& gate, const SdsOptions& options, Random& random,
             const Logger& log);
  void Register(CallTable* calls);

 private:
  template <class Stream>
  std::shared_ptr<net::RpcHandler> Open(const Arrival& arrival);
  std::shared_ptr<net::RpcHandler> FetchSecrets(const Arrival& arrival);

  CallerGate& gate_;
  const SdsOptions options_;
  LogLimiter nack_lines_;
  const SdsContext context_;
};

}  // namespace signet::agent
