// Work that waits for a thread, taken in turn from all who asked for it: however much one of them
// asks for, another's next piece waits behind one piece of each, not behind all of it. What renews
// what is about to end goes ahead of the rest, in turn as well; after so much of it in a row one
// piece of the rest is taken. Of one who asks for much only a few pieces are done at once. Bounded
// in pieces and bytes, for all and for each.
//
// Threads: none of its own; guarded by its owner.
#pragma once

#include <deque>
#include <functional>
#include <list>
#include <optional>
#include <string>
#include <unordered_map>

namespace signet::identity {

enum class Urgency { kNormal, kRenewal };

struct Work {
  std::string account;  // Caller::Account() of who asked
  Urgency urgency = Urgency::kNormal;
  bool is_heavy = false;  // who asks has asked for much of late
  std::size_t bytes = 0;  // what it keeps in memory, about
  std::function<void()> run;
};

struct QueueLimits {
  std::size_t all = 4096;
  std::size_t of_one = 512;
  std::size_t heavy_at_once = 2;  // of one, between Pop() and Done()
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
  // Absent when empty, or when all that waits is heavy and enough of it is being done.
  std::optional<Work> Pop();
  // What Pop() answered was done.
  void Done(const Work& work);
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
  // Whose turn it is in this lane; the end when it is nobody's.
  std::list<std::string>::iterator Next(Lane* lane);
  Work Take(Lane* lane, std::list<std::string>::iterator turn);

  const QueueLimits limits_;
  Lane normal_, renewals_;
  std::unordered_map<std::string, Share> shares_;
  std::unordered_map<std::string, std::size_t> heavy_;  // being done, by account
  std::size_t size_ = 0;
  std::size_t bytes_ = 0;
  int renewals_in_row_ = 0;
};

}  // namespace signet::identity
