#include "identity/spiffe/selector.h"

#include <catch2/catch.hpp>

namespace signet::identity {
namespace {

TEST_CASE("a selector splits at the first colon and prints as it was written") {
  const auto selector = Selector::Parse("unix:uid:1000");
  REQUIRE(selector);
  CHECK(selector->type == "unix");
  CHECK(selector->value == "uid:1000");
  CHECK(selector->ToString() == "unix:uid:1000");
}

TEST_CASE("a selector with an empty side is refused") {
  for (const std::string text : {"", "unix", "unix:", ":uid:1000", ":"}) {
    const auto selector = Selector::Parse(text);
    REQUIRE_FALSE(selector);
    CHECK(selector.error().reason == kSelectorMalformed);
  }
}

TEST_CASE("a selector set is sorted and holds each selector once") {
  const SelectorSet set = MakeSelectorSet({{"unix", "uid:2"}, {"k8s", "ns:x"}, {"unix", "uid:2"}});
  REQUIRE(set.size() == 2);
  CHECK(set[0].type == "k8s");
  CHECK(set[1].ToString() == "unix:uid:2");
}

TEST_CASE("a set is a subset when each of its selectors is held") {
  const SelectorSet held =
      MakeSelectorSet({{"unix", "uid:1"}, {"unix", "gid:1"}, {"unix", "user:a"}});
  CHECK(IsSubset(MakeSelectorSet({{"unix", "uid:1"}}), held));
  CHECK(IsSubset(held, held));
  CHECK_FALSE(IsSubset(MakeSelectorSet({{"unix", "uid:1"}, {"unix", "uid:2"}}), held));
  CHECK_FALSE(IsSubset(held, MakeSelectorSet({{"unix", "uid:1"}})));
  CHECK_FALSE(IsSubset(MakeSelectorSet({{"docker", "uid:1"}}), held));
}

}  // namespace
}  // namespace signet::identity
