// One event loop on one thread, with its own listening sockets (SO_REUSEPORT), TLS contexts,
// buffers and connections. Workers share immutable plans and identities, counters' cells side by
// side, and the two admission counts.
//
// Threads: the constructor and Start() belong to the controlling thread; the verbs that change a
// worker post to its loop and may be called from any thread.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "proxy/forward/connection.h"
#include "proxy/http/http_shared.h"

namespace signet::proxy {

// Direction and name: what a listener is known by.
using ListenerKey = std::pair<Direction, std::string>;
// Newly opened listening sockets for one worker.
using ListenerSockets = std::map<ListenerKey, UniqueFd>;

struct WorkerParts {
  std::size_t index = 0;
  std::size_t workers = 1;  // in all: they share limits.handshakes evenly
  const Clock& clock;
  const Logger& log;
  Admission& admission;
  ProxyCounters& counters;
  std::uint64_t first_refusal = 0;    // random: where the serials of refusals begin
  TelemetryLane& telemetry;           // this worker's
  bool accept_with_identity = false;  // not before the first one is there
  std::uint64_t process = 0;          // random: the same for all workers of this process
};

class Worker final : public ConnectionHost {
 public:
  static Result<std::unique_ptr<Worker>> Create(const WorkerParts& parts);
  // Ends the thread; connections that are still open are cut.
  ~Worker() override;

  // Swaps the plan: opens what `sockets` brings, closes what the plan no longer has, decides every
  // connection again. `done` runs on the worker's thread afterwards. The same for the other verbs.
  using Done = std::function<void()>;
  void ApplyPlan(std::shared_ptr<const Plan> plan, ListenerSockets sockets, Done done);
  // Null: the identity is withdrawn.
  void ApplyIdentity(IdentityPtr identity, Done done);
  void ApplyDenials(identity::DenialSetPtr denials, Done done);
  // Accepts no more. `done` runs when the last connection has ended.
  void Drain(Done done);
  // Ends what is left.
  void CutAll(Done done);
  // Nothing but `done`: that the loop turns.
  void Turn(Done done);

  // Tells `done` of connections, the newest first and at most `limit`, on the worker's thread.
  void Describe(std::size_t limit, std::function<void(std::vector<LiveConnection>)> done);

  // Accepting was paused, for want of descriptors or memory, within the last seconds.
  bool IsStarved() const;

 private:
  struct Listener;
  using Alpn = std::vector<std::string>;

  Worker(std::unique_ptr<net::EventLoop> loop, std::shared_ptr<const net::TlsLibrary> library,
         const WorkerParts& parts);

  void Requeue(Connection& connection) override;
  void HandshakeOver(Connection& connection) override;
  void Remove(Connection& connection) override;

  void SwapPlan(const Plan& plan, ListenerSockets sockets);
  void SwapIdentity(IdentityPtr identity);
  void DecideAll();
  void MakeContexts();
  void MakeClientContexts(Lane* lane) const;
  void FollowBackends(Lane* lane) const;
  void WatchEndpoints();
  std::shared_ptr<const net::TlsContext> MakeContext(const Lane& lane, Alpn alpn) const;
  // This worker's part of a limit that counts for all.
  std::size_t Share(std::size_t limit) const { return std::max<std::size_t>(1, limit / workers_); }
  void StartListening();
  void StopListening(Listener& listener);
  // True when more may be waiting.
  bool Accept(Listener& listener);
  // False when accepting must pause.
  bool OnAcceptError(Listener& listener, int error);
  void Admit(Listener& listener, UniqueFd socket, const net::SocketAddress& remote);
  void RunQueue();
  void Bury();

  const std::unique_ptr<net::EventLoop> loop_;
  const std::shared_ptr<const net::TlsLibrary> library_;  // outlives the thread
  const std::size_t index_;
  const std::size_t workers_;
  const std::uint64_t process_;
  bool waits_for_identity_;
  BufferPool buffers_{64};
  std::unique_ptr<HttpShared> http_shared_;
  std::shared_ptr<const net::TlsContext> server_context_, http_server_context_;
  std::map<ListenerKey, std::unique_ptr<Listener>> listeners_;
  std::list<std::unique_ptr<Connection>> connections_;
  HandshakeQueue handshakes_;       // inbound ones in progress
  std::vector<Connection*> queue_;  // cut short by their budget
  std::vector<std::unique_ptr<Connection>> dead_;
  Done drained_;
  std::atomic<std::int64_t> starved_until_{0};  // steady nanoseconds
  std::thread thread_;
};

}  // namespace signet::proxy
