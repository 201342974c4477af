// Records as they happen, for who watches: kept for a short while, numbered, and only while
// somebody asks.
//
// Threads: Take() and Flush() are the telemetry thread's; the rest is safe from any thread.
#pragma once

#include <atomic>
#include <deque>
#include <mutex>
#include <string>

#include "proxy/telemetry/record.h"

namespace signet::proxy {

class Tap final : public RecordSink {
 public:
  static constexpr std::size_t kKept = 2048;
  static constexpr std::size_t kMaxAnswer = 512;

  // `clock` outlives this.
  explicit Tap(const Clock& clock) : clock_(clock) {}

  // Somebody asked within the last seconds.
  bool watched() const { return watched_.load(std::memory_order_relaxed); }
  // {"next":17,"missed":0,"records":[…]}: the records from number `next` on, at most kMaxAnswer;
  // `missed`: how many of these are no longer kept.
  std::string Since(std::uint64_t next);
  // The number of the next record; it is watched from now on.
  std::uint64_t Begin();

  void Take(const Record& record) override;
  void Flush() override;
  std::vector<Count> counts() const override { return {}; }

 private:
  void Watch();

  const Clock& clock_;
  std::atomic<bool> watched_{false};
  std::mutex mutex_;
  SteadyTime until_;               // guarded by mutex_
  std::uint64_t next_ = 0;         // guarded by mutex_: of the record to come
  std::deque<std::string> lines_;  // guarded by mutex_: the last ones before next_
};

}  // namespace signet::proxy
