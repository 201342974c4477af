// What around the server may go wrong before anything of its own does: the room on its disk, and
// the clock that every certificate's life is measured by. Each is a Status for the health board.
//
// Threads: one at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/result.h"

namespace signet::identity {

inline constexpr Reason kDiskNearlyFull{"the disk is nearly full"};
inline constexpr Reason kClockStepped{"the clock was stepped"};

struct DiskRoom {
  std::uint64_t free = 0;  // bytes that this user may still write
  std::uint64_t all = 0;
};
// Of the file system `folder` is on; nothing when it cannot be told.
std::optional<DiskRoom> RoomOf(const std::string& folder);

class SystemWatch {
 public:
  using Room = std::function<std::optional<DiskRoom>()>;
  SystemWatch(Room room, const Clock& clock);

  // Fails below kLeastRoom, and below a fiftieth of the disk when that is more than kAmpleRoom.
  Status CheckDisk() const;
  // Call every few seconds. Fails for kRemembered after the wall clock went another way than the
  // steady one by more than kTolerated: SVIDs made meanwhile may be of the past or the future.
  Status CheckClock();

  static constexpr std::uint64_t kLeastRoom = std::uint64_t{64} << 20;
  static constexpr std::uint64_t kAmpleRoom = std::uint64_t{1} << 30;
  static constexpr Duration kTolerated = std::chrono::seconds(5);
  static constexpr Duration kRemembered = std::chrono::minutes(10);

 private:
  const Room room_;
  const Clock& clock_;
  WallTime wall_;
  SteadyTime steady_;
  std::string stepped_;  // what happened, for people
  SteadyTime stepped_at_;
};

}  // namespace signet::identity
