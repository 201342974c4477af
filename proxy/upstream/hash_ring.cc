#include "proxy/upstream/hash_ring.h"

#include <algorithm>

namespace signet::proxy {
namespace {

std::uint64_t Mixed(std::uint64_t value) {  // splitmix64's last step
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
  value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
  return value ^ (value >> 31);
}

}  // namespace

std::uint64_t HashKey(std::string_view key) {
  std::uint64_t hash = 0xcbf29ce484222325;  // FNV-1a, then mixed
  for (const char c : key) hash = (hash ^ static_cast<std::uint8_t>(c)) * 0x100000001b3;
  return Mixed(hash);
}

HashRing::HashRing(const std::vector<std::pair<std::string, std::uint32_t>>& members) {
  std::uint64_t total = 0;
  for (const auto& [name, weight] : members) total += weight;
  if (total == 0) return;
  const std::uint64_t points =
      std::min<std::uint64_t>(kMaxPoints, kPointsPerMember * members.size());
  for (std::size_t member = 0; member < members.size(); ++member) {
    const auto& [name, weight] = members[member];
    const std::uint64_t own = std::max<std::uint64_t>(1, points * weight / total);
    const std::uint64_t base = HashKey(name);
    for (std::uint64_t i = 0; i < own; ++i)
      points_.emplace_back(Mixed(base + i * 0x9e3779b97f4a7c15),
                           static_cast<std::uint32_t>(member));
  }
  std::ranges::sort(points_);
}

std::size_t HashRing::FirstPoint(std::uint64_t key) const {
  const auto at =
      std::ranges::lower_bound(points_, key, {}, &std::pair<std::uint64_t, std::uint32_t>::first);
  return at == points_.end() ? 0 : static_cast<std::size_t>(at - points_.begin());
}

}  // namespace signet::proxy
