// A stream on the agent's public socket that is opened again, with full jitter, whenever it ends.
// What is asked and what is made of the answers is its user's. Private to proxy/identity.
//
// Threads: Start() makes one, on which the user is called; Start() and Stop() from one thread.
#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/support/status.h>

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>

#include "base/clock.h"
#include "base/random.h"

namespace signet::proxy {

class AgentStream {
 public:
  struct Retry {
    Duration first;    // the ceiling of the first pause; it doubles
    Duration longest;  // up to here
  };
  // One stream from its opening to its end; `context` has the Workload API's security header, and
  // is cancelled by Stop().
  using Session = std::function<grpc::Status(grpc::ClientContext& context)>;
  // What a session ended with; not called after Stop().
  using Judge = std::function<void(const grpc::Status& ended)>;

  // `random` outlives this.
  AgentStream(Retry retry, Random& random) : retry_(retry), random_(random) {}
  ~AgentStream() { Stop(); }
  AgentStream(const AgentStream&) = delete;

  void Start(Session session, Judge judge);
  // Returns when no call of either runs any more.
  void Stop();
  // From a session: a good answer came, the next pause is a first one again.
  void Worked() { failed_tries_ = 0; }

 private:
  void Run();
  grpc::Status RunOnce();
  bool IsStopping();
  // False when stopped.
  bool Pause();

  const Retry retry_;
  Random& random_;
  Session session_;
  Judge judge_;
  std::uint64_t failed_tries_ = 0;  // of the thread
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  grpc::ClientContext* open_call_ = nullptr;
  std::thread thread_;
};

}  // namespace signet::proxy
