#include "identity/server/system_watch.h"

#include <fmt/format.h>
#include <sys/statvfs.h>

#include <algorithm>

namespace signet::identity {

std::optional<DiskRoom> RoomOf(const std::string& folder) {
  struct statvfs found{};
  if (statvfs(folder.c_str(), &found) != 0) return std::nullopt;
  return DiskRoom{std::uint64_t{found.f_bavail} * found.f_frsize,
                  std::uint64_t{found.f_blocks} * found.f_frsize};
}

SystemWatch::SystemWatch(Room room, const Clock& clock)
    : room_(std::move(room)), clock_(clock), wall_(clock.Now()), steady_(clock.SteadyNow()) {}

Status SystemWatch::CheckDisk() const {
  const auto room = room_();
  const std::uint64_t wanted =
      room ? std::clamp(room->all / 50, kLeastRoom, kAmpleRoom) : std::uint64_t{0};
  if (!room || room->free >= wanted) return {};
  return Fail(Code::kResourceExhausted, kDiskNearlyFull,
              fmt::format("{} MB are left in data_dir; free some: without room nothing is signed",
                          room->free >> 20));
}

Status SystemWatch::CheckClock() {
  const WallTime wall = clock_.Now();
  const SteadyTime steady = clock_.SteadyNow();
  const Duration step = (wall - wall_) - (steady - steady_);
  wall_ = wall;
  steady_ = steady;
  if (std::max(step, -step) > kTolerated) {
    stepped_ = fmt::format("by {} s, to {}",
                           std::chrono::duration_cast<std::chrono::seconds>(step).count(),
                           FormatTime(wall));
    stepped_at_ = steady;
  }
  if (stepped_.empty() || steady - stepped_at_ > kRemembered) return {};
  return Fail(Code::kFailedPrecondition, kClockStepped, stepped_);
}

}  // namespace signet::identity
