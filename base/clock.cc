#include "base/clock.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

namespace signet {

WallTime SystemClock::Now() const { return std::chrono::system_clock::now(); }
SteadyTime SystemClock::SteadyNow() const { return std::chrono::steady_clock::now(); }

std::int64_t UnixSeconds(WallTime time) {
  return std::chrono::floor<std::chrono::seconds>(time.time_since_epoch()).count();
}

WallTime FromUnixSeconds(std::int64_t seconds) { return WallTime(std::chrono::seconds(seconds)); }

std::string FormatTime(WallTime time) {
  const std::time_t seconds = UnixSeconds(time);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", parts);
}

std::string FormatDuration(Duration duration) {
  struct Unit {
    Duration size;
    const char* name;
  };
  static constexpr Unit kUnits[] = {
      {std::chrono::hours(24), "d"},        {std::chrono::hours(1), "h"},
      {std::chrono::minutes(1), "m"},       {std::chrono::seconds(1), "s"},
      {std::chrono::milliseconds(1), "ms"}, {std::chrono::microseconds(1), "us"}};
  std::string text = duration < Duration::zero() ? "-" : "";
  Duration rest = duration < Duration::zero() ? -duration : duration;
  int shown = 0;
  for (const Unit& unit : kUnits) {
    const auto count = rest / unit.size;
    if (count == 0 && shown == 0) continue;
    if (count != 0) text += fmt::format("{}{}", count, unit.name);
    rest -= count * unit.size;
    if (++shown == 2) break;
  }
  return shown == 0 ? "0s" : text;
}

}  // namespace signet
