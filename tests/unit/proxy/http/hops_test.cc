#include "proxy/http/hops.h"

#include <catch2/catch.hpp>
#include <set>

namespace signet::proxy {
namespace {

Fields Lines(std::initializer_list<std::string_view> values) {
  Fields fields;
  fields.Add("host-like", "x");
  for (const std::string_view value : values) fields.Add("Signet-Hops", value);
  return fields;
}

TEST_CASE("names differ by process, direction and listener, and are made the same way again") {
  std::set<std::string> names;
  for (const std::uint64_t process : {1ULL, 2ULL, 0xffffffffffffffffULL})
    for (const Direction direction : {Direction::kInbound, Direction::kOutbound})
      for (const char* listener : {"web", "wed", "w", "a.b_c-d"}) {
        const std::string name = MakeHopName(process, direction, listener);
        CHECK(name.size() == 8);
        CHECK(name == MakeHopName(process, direction, listener));
        names.insert(name);
      }
  CHECK(names.size() == 24);
}

TEST_CASE("attack 38: a request may pass a listener three times and comes no fourth") {
  Fields fields;
  for (int pass = 0; pass < kMostPasses; ++pass) {
    CHECK(CheckHops(fields, "mine") == HopFault::kNone);
    AddHop("mine", &fields);
    AddHop("another", &fields);
  }
  CHECK(CheckHops(fields, "mine") == HopFault::kRing);
  CHECK(CheckHops(fields, "another") == HopFault::kRing);
  CHECK(CheckHops(fields, "third") == HopFault::kNone);
}

TEST_CASE("attack 38: lines that a server joined count one by one, in any case of the name") {
  CHECK(CheckHops(Lines({"mine, x", "y,mine ,mine"}), "mine") == HopFault::kRing);
  CHECK(CheckHops(Lines({"mine, x", "y,mine"}), "mine") == HopFault::kNone);
  CHECK(CheckHops(Lines({"minemineminemine", "mine2,mine3,min", ""}), "mine") == HopFault::kNone);
}

TEST_CASE("attack 38: however many a request names, what is read of them is bounded") {
  std::string many;
  for (int i = 0; i < kMostHops - 1; ++i) many += "x,";
  CHECK(CheckHops(Lines({many}), "mine") == HopFault::kNone);
  CHECK(CheckHops(Lines({many, "y"}), "mine") == HopFault::kTooMany);
  CHECK(CheckHops(Lines({many + many}), "mine") == HopFault::kTooMany);
}

}  // namespace
}  // namespace signet::proxy
