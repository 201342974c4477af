// One row for each caller of late, by what Caller::Account() says: bounded, and forgetting those
// that are as good as new.
//
// Threads: none of its own; guarded by its owner.
#pragma once

#include <algorithm>
#include <functional>
#include <string>
#include <unordered_map>

#include "base/clock.h"

namespace signet::identity {

// So many units a second, and `most` at once. Starts full.
class TokenBucket {
 public:
  TokenBucket(double rate, double most, SteadyTime now)
      : rate_(rate), most_(most), units_(most), filled_(now) {}
  // What it holds by now; less than nothing after Charge().
  double At(SteadyTime now) const {
    return std::min(most_, units_ + std::chrono::duration<double>(now - filled_).count() * rate_);
  }
  bool Take(double units, SteadyTime now) {
    const double there = At(now);
    Set(there < units ? there : there - units, now);
    return there >= units;
  }
  // What was used already, whether it was there or not.
  void Charge(double units, SteadyTime now) { Set(At(now) - units, now); }
  bool IsIdle(SteadyTime now) const { return At(now) >= most_; }

 private:
  void Set(double units, SteadyTime now) {
    units_ = units;
    filled_ = now;
  }
  double rate_, most_, units_;
  SteadyTime filled_;
};

// `Row` has IsIdle(now): a new one would say the same.
template <class Row>
class CallerRows {
 public:
  // `make` answers the row of a caller that has none.
  CallerRows(std::size_t most, std::function<Row(SteadyTime)> make)
      : most_(most), make_(std::move(make)) {}

  // Null: there is no room, for everybody in it is at work.
  Row* Find(const std::string& account, SteadyTime now) {
    const auto found = rows_.find(account);
    if (found != rows_.end()) return &found->second;
    if (rows_.size() >= sweep_at_) Sweep(now);
    if (rows_.size() >= most_) return nullptr;
    return &rows_.emplace(account, make_(now)).first->second;
  }
  std::size_t size() const { return rows_.size(); }

 private:
  static constexpr std::size_t kFirstSweep = 1024;
  static constexpr Duration kSweepPause = std::chrono::seconds(1);

  void Sweep(SteadyTime now) {
    if (now < next_sweep_) return;
    next_sweep_ =
        now + kSweepPause;  // whoever fills it must not make us look at all of it each time
    std::erase_if(rows_, [&](const auto& row) { return row.second.IsIdle(now); });
    sweep_at_ = std::min(most_, std::max(kFirstSweep, 2 * rows_.size()));
  }

  const std::size_t most_;
  const std::function<Row(SteadyTime)> make_;
  std::size_t sweep_at_ = kFirstSweep;
  SteadyTime next_sweep_{};
  std::unordered_map<std::string, Row> rows_;
};

}  // namespace signet::identity
