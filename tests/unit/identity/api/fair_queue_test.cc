#include "identity/api/fair_queue.h"

#include <catch2/catch.hpp>

namespace signet::identity {
namespace {

Work Of(const std::string& account, Urgency urgency = Urgency::kNormal, std::size_t bytes = 0) {
  return {.account = account, .urgency = urgency, .bytes = bytes, .run = [] {}};
}

// Whose work is taken, in the order it is.
std::string TakeAll(FairQueue* queue) {
  std::string order;
  while (const auto work = queue->Pop()) order += work->account;
  return order;
}

TEST_CASE("fair queue: however much one asks for, another waits behind one piece of each") {
  FairQueue queue{QueueLimits()};
  for (int i = 0; i < 100; ++i) REQUIRE(queue.Push(Of("h")));
  REQUIRE(queue.Push(Of("a")));
  REQUIRE(queue.Push(Of("b")));
  REQUIRE(queue.Push(Of("a")));
  CHECK(TakeAll(&queue).starts_with("habhahh"));
}

TEST_CASE("fair queue: what one account asked for is done in that order") {
  FairQueue queue{QueueLimits()};
  std::vector<int> done;
  for (int i = 0; i < 5; ++i)
    REQUIRE(queue.Push({.account = "a", .run = [&done, i] { done.push_back(i); }}));
  REQUIRE(queue.Push(Of("b")));
  while (const auto work = queue.Pop()) work->run();
  CHECK(done == std::vector<int>{0, 1, 2, 3, 4});
}

TEST_CASE("fair queue: renewals go ahead, in turn among themselves, and do not starve the rest") {
  FairQueue queue{QueueLimits()};
  for (int i = 0; i < 3; ++i) REQUIRE(queue.Push(Of("w")));
  for (int i = 0; i < 12; ++i) REQUIRE(queue.Push(Of("r", Urgency::kRenewal)));
  REQUIRE(queue.Push(Of("s", Urgency::kRenewal)));
  CHECK(TakeAll(&queue) ==
        "rsrrrrrr"
        "w"
        "rrrrr"
        "ww");
}

TEST_CASE("fair queue: the bound on one leaves room for others, the bound on all does not") {
  FairQueue queue{{.all = 4, .of_one = 3}};
  for (int i = 0; i < 3; ++i) CHECK(queue.Push(Of("h")));
  CHECK_FALSE(queue.Push(Of("h")));
  CHECK_FALSE(queue.Push(Of("h", Urgency::kRenewal)));
  CHECK(queue.Push(Of("a")));
  CHECK_FALSE(queue.Push(Of("b")));
  CHECK(queue.size() == 4);
  CHECK(queue.Pop());
  CHECK(queue.Push(Of("h")));
}

TEST_CASE("fair queue: bytes are bounded too, for each and for all; one large piece passes") {
  FairQueue queue{{.bytes = 100, .bytes_of_one = 60}};
  CHECK(queue.Push(Of("a", Urgency::kNormal, 50)));
  CHECK_FALSE(queue.Push(Of("a", Urgency::kNormal, 20)));
  CHECK(queue.Push(Of("b", Urgency::kNormal, 50)));
  CHECK_FALSE(queue.Push(Of("c", Urgency::kNormal, 1)));
  CHECK(queue.Push(Of("c", Urgency::kNormal, 0)));
  TakeAll(&queue);
  CHECK(queue.Push(Of("a", Urgency::kNormal, 1000)));
}

TEST_CASE("fair queue: of one who asks for much a few pieces are done at once, others pass") {
  FairQueue queue{{.heavy_at_once = 2}};
  const auto heavy = [&](Urgency urgency) {
    Work work = Of("h", urgency);
    work.is_heavy = true;
    return queue.Push(std::move(work));
  };
  for (int i = 0; i < 3; ++i) REQUIRE(heavy(Urgency::kNormal));
  const auto first = queue.Pop();
  REQUIRE(heavy(Urgency::kRenewal));
  REQUIRE(queue.Pop());
  CHECK_FALSE(queue.Pop());
  CHECK_FALSE(queue.empty());
  REQUIRE(queue.Push(Of("a")));
  const auto other = queue.Pop();
  REQUIRE(other);
  CHECK(other->account == "a");
  queue.Done(*other);
  CHECK_FALSE(queue.Pop());
  queue.Done(*first);
  CHECK(queue.Pop());
  CHECK_FALSE(queue.Pop());
}

TEST_CASE("fair queue: one caller's share of the default is what one connection may ask for") {
  CHECK(QueueLimits::Of(4096).of_one == 512);
  CHECK(QueueLimits::Of(1000).of_one == 256);
  CHECK(QueueLimits::Of(10).of_one == 10);
}

}  // namespace
}  // namespace signet::identity
