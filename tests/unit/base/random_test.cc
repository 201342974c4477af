#include "base/random.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <set>

namespace signet {
namespace {

// The given bytes over and over.
class RepeatingRandom final : public Random {
 public:
  explicit RepeatingRandom(std::vector<std::uint8_t> bytes) : bytes_(std::move(bytes)) {}
  void Fill(std::span<std::uint8_t> out) override {
    for (std::uint8_t& byte : out) byte = bytes_[next_++ % bytes_.size()];
  }

 private:
  std::vector<std::uint8_t> bytes_;
  std::size_t next_ = 0;
};

TEST_CASE("a version 4 UUID has its version and variant bits and the rest from the source") {
  RepeatingRandom ones({0xFF});
  CHECK(ones.Uuid() == "ffffffff-ffff-4fff-bfff-ffffffffffff");
  RepeatingRandom zeros({0x00});
  CHECK(zeros.Uuid() == "00000000-0000-4000-8000-000000000000");
}

TEST_CASE("a number below a bound is below it and draws again past the last whole multiple") {
  RepeatingRandom low({5, 0, 0, 0, 0, 0, 0, 0});
  CHECK(low.Below(3) == 2);
  CHECK(low.Below(1) == 0);
  // The first draw is past the last multiple of 10 and would make small numbers likelier.
  RepeatingRandom again({0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 17, 0, 0, 0, 0, 0, 0, 0});
  CHECK(again.Below(10) == 7);
}

TEST_CASE("a unit draw lies in [0, 1)") {
  RepeatingRandom zeros({0});
  CHECK(zeros.Unit() == 0);
  RepeatingRandom high({0xFE});
  CHECK(high.Unit() < 1);
  CHECK(high.Unit() >= 0);
}

TEST_CASE("the system's source gives other bytes each time") {
  OsRandom random;
  std::set<std::string> seen;
  for (int i = 0; i < 100; ++i) seen.insert(random.Uuid());
  CHECK(seen.size() == 100);
}

}  // namespace
}  // namespace signet
