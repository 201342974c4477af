// All open streams of a socket, and the one thread that brings them up to date: changes that come
// while it works are seen in its next round, so bursts are merged.
//
// Threads: safe from any thread.
#pragma once

#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace signet::agent {

class Subscriber {
 public:
  virtual ~Subscriber() = default;
  // Sends what changed, or ends the stream. Must not block.
  virtual void Evaluate() = 0;
  // Ends the stream: the agent stops.
  virtual void Stop() = 0;
  // Has a deadline to keep: wants to be evaluated each second.
  virtual bool IsWaiting() const = 0;
};

class StreamHub {
 public:
  StreamHub();
  ~StreamHub();
  void Add(std::shared_ptr<Subscriber> subscriber);
  void Remove(Subscriber* subscriber);
  // The cache changed.
  void Wake();
  // This one wants to be evaluated, whether it was added or not.
  void Ask(std::shared_ptr<Subscriber> subscriber);
  // Ends every stream.
  void Stop();

 private:
  using Round = std::vector<std::shared_ptr<Subscriber>>;
  void Loop();
  // Whom to evaluate now; under mutex_.
  Round NextRound();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<Subscriber*, std::shared_ptr<Subscriber>> subscribers_;
  Round asked_;
  std::chrono::steady_clock::time_point look_at_;  // after whom has a deadline
  bool awake_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace signet::agent
