// What connections have of the worker that carries them: its loop, its limits, the identity it
// shows, and their listener as the worker sees it.
//
// Threads: one worker's.
#pragma once

#include <memory>
#include <string>

#include "base/log.h"
#include "base/log_limit.h"
#include "identity/svid/denial.h"
#include "net/event_loop.h"
#include "proxy/forward/admission.h"
#include "proxy/forward/buffer_pool.h"
#include "proxy/forward/plan.h"
#include "proxy/identity/peer_verifier.h"
#include "proxy/telemetry/counters.h"
#include "proxy/telemetry/telemetry.h"

namespace signet::proxy {

class Connection;
struct HttpShared;
class LaneBackends;

// One listener as one worker sees it. Connections share it, also after it is gone. Each endpoint of
// a backend has one of its own, which upstream connections follow (proxy/upstream/backends.h).
struct Lane {
  std::shared_ptr<const ListenerPlan> plan;        // of the latest reload; never null
  std::shared_ptr<const net::TlsContext> context;  // for the next handshake; null: no identity
  // The same, offering HTTP/2 first; of outbound HTTP listeners.
  std::shared_ptr<const net::TlsContext> http2_context;
  std::shared_ptr<ListenerCounters> counters;
  Cell* cell = nullptr;  // this worker's, inside `counters`
  std::string hop;       // what requests that pass are told of this listener
  bool removed = false;  // no longer configured
  std::size_t next_target = 0;
  std::shared_ptr<LaneBackends> backends;  // of a listener with routes; else null
};

// What a connection needs of its worker.
class ConnectionHost {
 public:
  struct Parts {
    net::EventLoop& loop;
    const Clock& clock;
    const Logger& log;
    Admission& admission;
    ProxyCounters& counters;
    BufferPool& buffers;
    std::shared_ptr<net::TlsScratch> scratch;
    TelemetryLane& telemetry;
  };

  explicit ConnectionHost(Parts parts)
      : parts_(parts), refusal_lines_(parts.clock, kRefusalLinesPerSecond) {}
  virtual ~ConnectionHost() = default;

  const Parts& parts() const { return parts_; }
  const IdentityPtr& identity() const { return identity_; }  // null: none held
  const LimitsConfig& limits() const { return limits_; }
  HttpShared& http() const { return *http_; }
  // Who is revoked; never null.
  const identity::DenialSetPtr& denials() const { return denials_; }
  // Whoever can connect can be refused: that must neither fill the disk nor stop the loop.
  LogLimiter& refusal_lines() { return refusal_lines_; }

  // Runs connection.Continue() in the next turn of the loop.
  virtual void Requeue(Connection& connection) = 0;
  // The handshake phase is over, well or not.
  virtual void HandshakeOver(Connection& connection) = 0;
  // It has ended: nothing of it runs any more.
  virtual void Remove(Connection& connection) = 0;

 protected:
  Parts parts_;
  IdentityPtr identity_;
  LimitsConfig limits_;
  HttpShared* http_ = nullptr;  // made with the host
  identity::DenialSetPtr denials_ = identity::DenialSet::Create({});

 private:
  static constexpr std::uint32_t kRefusalLinesPerSecond = 20;
  LogLimiter refusal_lines_;
};

}  // namespace signet::proxy
