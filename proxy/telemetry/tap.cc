#include "proxy/telemetry/tap.h"

#include <algorithm>

#include "proxy/telemetry/access_log.h"
#include "proxy/telemetry/json_members.h"

namespace signet::proxy {
namespace {

constexpr Duration kWatchedFor = std::chrono::seconds(5);

}  // namespace

void Tap::Watch() {
  until_ = clock_.SteadyNow() + kWatchedFor;
  watched_.store(true, std::memory_order_relaxed);
}

std::uint64_t Tap::Begin() {
  const std::lock_guard lock(mutex_);
  Watch();
  return next_;
}

std::string Tap::Since(std::uint64_t next) {
  const std::lock_guard lock(mutex_);
  Watch();
  const std::uint64_t oldest = next_ - lines_.size();
  const std::uint64_t from = std::clamp(next, oldest, next_);
  const std::size_t count = std::min<std::size_t>(next_ - from, kMaxAnswer);
  std::vector<std::string> records;
  for (std::size_t i = 0; i < count; ++i) {
    std::string_view line = lines_[static_cast<std::size_t>(from - oldest) + i];
    line.remove_suffix(1);
    records.emplace_back(line);
  }
  std::string out;
  JsonMembers members(&out);
  members.Number("next", from + count);
  members.Number("missed", from > next ? from - next : 0);
  members.Raw("records", JsonArray(records));
  members.End();
  return out;
}

void Tap::Take(const Record& record) {
  if (!watched()) return;
  std::string line = AccessLogLine(record);
  const std::lock_guard lock(mutex_);
  lines_.push_back(std::move(line));
  ++next_;
  if (lines_.size() > kKept) lines_.pop_front();
}

void Tap::Flush() {
  if (!watched()) return;
  const std::lock_guard lock(mutex_);
  if (clock_.SteadyNow() < until_) return;
  watched_.store(false, std::memory_order_relaxed);
  lines_.clear();
}

}  // namespace signet::proxy
