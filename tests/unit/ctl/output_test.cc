#include "tools/ctl/output.h"

#include <catch2/catch.hpp>

namespace signet::ctl {
namespace {

TEST_CASE("a table's columns are as wide as their widest cell and lines end without blanks") {
  CHECK(Table({"ID", "STATE"}, {{"spiffe://a/b", "active"}, {"x", ""}}) ==
        "ID            STATE\nspiffe://a/b  active\nx\n");
}

TEST_CASE("details align values and leave empty ones out") {
  CHECK(Details({{"Name", "n"}, {"Longer name", "l"}, {"Nothing", ""}}) ==
        "Name:         n\nLonger name:  l\n");
}

TEST_CASE("moments are told relative to now") {
  CHECK(Relative(1060, 1000) == "in 1m");
  CHECK(Relative(940, 1000) == "1m ago");
  CHECK(Relative(0, 1000) == "never");
}

}  // namespace
}  // namespace signet::ctl
