#include "proxy/telemetry/record_ring.h"

#include <catch2/catch.hpp>
#include <thread>

namespace signet::proxy {
namespace {

Record Numbered(std::uint64_t number, const std::string& path) {
  Record record;
  record.figures.received = number;
  record.listener = "web";
  record.path = path;
  record.detail = "last";
  return record;
}

}  // namespace

TEST_CASE("records come out as they went in, in order, many times around") {
  RecordRing ring;
  std::uint64_t in = 0, out = 0;
  for (int round = 0; round < 200; ++round) {
    for (int i = 0; i < 37; ++i, ++in) REQUIRE(ring.Push(Numbered(in, std::string(in % 900, 'p'))));
    ring.Drain([&](const Record& record) {
      REQUIRE(record.figures.received == out);
      REQUIRE(record.listener == "web");
      REQUIRE(record.path == std::string(out % 900, 'p'));
      REQUIRE(record.detail == "last");
      ++out;
    });
    REQUIRE(out == in);
  }
  CHECK(ring.size() == 0);
  CHECK(ring.dropped() == 0);
}

TEST_CASE("a full ring drops what comes, counts it, and goes on when there is room") {
  RecordRing ring;
  std::uint64_t pushed = 0;
  while (ring.Push(Numbered(pushed, "/some/path"))) ++pushed;
  CHECK(ring.dropped() == 1);
  CHECK(pushed > 500);
  CHECK_FALSE(ring.Push(Numbered(0, "/some/path")));
  CHECK(ring.dropped() == 2);
  std::uint64_t out = 0;
  CHECK(ring.Drain([&](const Record& record) { CHECK(record.figures.received == out++); }) ==
        pushed);
  CHECK(ring.Push(Numbered(1, "/some/path")));
}

TEST_CASE("a text beyond the bound is cut") {
  RecordRing ring;
  REQUIRE(ring.Push(Numbered(1, std::string(5000, 'x'))));
  ring.Drain([](const Record& record) {
    CHECK(record.path.size() == RecordRing::kLongestText);
    CHECK(record.detail == "last");
  });
}

TEST_CASE("one thread writes while another reads") {
  RecordRing ring;
  constexpr std::uint64_t kMany = 200'000;
  std::thread writer([&ring] {
    for (std::uint64_t i = 0; i < kMany;)
      if (ring.Push(Numbered(i, i % 2 == 0 ? "/even" : "/odd/and/longer"))) ++i;
  });
  std::uint64_t out = 0;
  bool same = true;
  while (out < kMany)
    ring.Drain([&](const Record& record) {
      same &= record.figures.received == out &&
              record.path == (out % 2 == 0 ? "/even" : "/odd/and/longer");
      ++out;
    });
  writer.join();
  CHECK(same);
}

}  // namespace signet::proxy
