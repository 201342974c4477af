// Work that waits for a thread, taken in turn from all who asked for it: however much one of them
// asks for, another's next piece waits behind one piece of each, not behind all of it. What renews
// what is about to end goes ahead of the rest, in turn as well; after so much of it in a row one
// piece of the rest is taken. Bounded in pieces and bytes, for all and for each.
//
// Threads: none of its own; guarded by its owner.
#pragma once

#include <deque>
#include <functional>
#include <list>
#include <string>
#include <unordered_map>

namespace signet::identity {

enum class Urgency { kNormal, kRenewal };

struct Work {
  std::string account;  // Caller::Account() of who asked
  Urgency urgency = Urgency::kNormal;
  std::size_t bytes = 0;  // what it keeps in memory, about
  std::function<void()> run;
};

struct QueueLimits {
  std::size_t all = 4096;
  std::size_t of_one = 512;
  std::size_t bytes = std::size_t{256} << 20;
  std::size_t bytes_of_one = std::size_t{64} << 20;

  // In pieces, an eighth of which may be one caller's, but 256 at least: what one connection can
  // ask for at a time.
  static QueueLimits Of(std::size_t all);
};

class FairQueue {
 public:
  explicit FairQueue(const QueueLimits& limits) : limits_(limits) {}

  // False: there is no room for it, or for more of its account's. A piece that is larger than the
  // bounds in bytes is taken when nothing else waits.
  [[nodiscard]] bool Push(Work work);
  // Not when empty.
  Work Pop();
  bool empty() const { return size_ == 0; }
  std::size_t size() const { return size_; }

 private:
  // Those of one urgency: each account's pieces, and whose turn it is.
  struct Lane {
    std::unordered_map<std::string, std::deque<Work>> waiting;
    std::list<std::string> turns;
  };
  struct Share {
    std::size_t pieces = 0, bytes = 0;
  };
  Lane& NextLane();

  const QueueLimits limits_;
  Lane normal_, renewals_;
  std::unordered_map<std::string, Share> shares_;
  std::size_t size_ = 0;
  std::size_t bytes_ = 0;
  int renewals_in_row_ = 0;
};

}  // namespace signet::identity
