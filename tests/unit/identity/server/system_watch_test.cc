#include "identity/server/system_watch.h"

#include <catch2/catch.hpp>

#include "tests/support/fake_clock.h"

namespace signet::identity {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr std::uint64_t kMega = std::uint64_t{1} << 20;

SystemWatch WithRoom(const Clock& clock, std::optional<DiskRoom> room) {
  return SystemWatch([room] { return room; }, clock);
}

}  // namespace

TEST_CASE("a disk that is nearly full is named, by its size") {
  const test::FakeClock clock;
  CHECK(WithRoom(clock, DiskRoom{64 * kMega, 100 * kMega}).CheckDisk());
  CHECK_FALSE(WithRoom(clock, DiskRoom{63 * kMega, 100 * kMega}).CheckDisk());
  CHECK_FALSE(WithRoom(clock, DiskRoom{199 * kMega, 10'000 * kMega}).CheckDisk());
  CHECK(WithRoom(clock, DiskRoom{200 * kMega, 10'000 * kMega}).CheckDisk());
  CHECK(WithRoom(clock, DiskRoom{1024 * kMega, 10'000'000 * kMega}).CheckDisk());
  CHECK(WithRoom(clock, std::nullopt).CheckDisk());  // unknown is no alarm
  const Status found = WithRoom(clock, DiskRoom{3 * kMega, 100 * kMega}).CheckDisk();
  REQUIRE_FALSE(found);
  CHECK(found.error().Message().find("3 MB are left") != std::string::npos);
  CHECK(RoomOf("/")->all > 0);
  CHECK_FALSE(RoomOf("/nonexistent"));
}

TEST_CASE("a step of the clock is told for ten minutes, a slow drift or a suspend is not one") {
  test::FakeClock clock;
  SystemWatch watch = WithRoom(clock, std::nullopt);
  CHECK(watch.CheckClock());
  clock.Advance(hours(12));  // both clocks
  CHECK(watch.CheckClock());
  clock.SetWall(clock.Now() + seconds(4));
  CHECK(watch.CheckClock());
  clock.SetWall(clock.Now() - hours(24));
  const Status back = watch.CheckClock();
  REQUIRE_FALSE(back);
  CHECK(back.error().Message().find("by -86400 s") != std::string::npos);
  clock.Advance(minutes(10));
  CHECK_FALSE(watch.CheckClock());
  clock.Advance(seconds(1));
  CHECK(watch.CheckClock());
  clock.SetWall(clock.Now() + hours(24));
  CHECK_FALSE(watch.CheckClock());
}

}  // namespace signet::identity
