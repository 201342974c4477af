// Which of many a key belongs to, so that most keys stay where they are when one is added or goes:
// each member holds points on a circle, as many as its weight says, and a key belongs to the first
// point after it.
//
// Threads: immutable once made.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace signet::proxy {

std::uint64_t HashKey(std::string_view key);

class HashRing {
 public:
  HashRing() = default;
  // Names and weights; the positions in it are what Find() answers.
  explicit HashRing(const std::vector<std::pair<std::string, std::uint32_t>>& members);

  // The first member at or after `key` that `accepts` says yes to; `none` when there is none.
  template <class Accepts>
  std::size_t Find(std::uint64_t key, std::size_t none, Accepts accepts) const {
    const std::size_t first = FirstPoint(key);
    for (std::size_t i = 0; i < points_.size(); ++i) {
      const std::size_t member = points_[(first + i) % points_.size()].second;
      if (accepts(member)) return member;
    }
    return none;
  }

 private:
  static constexpr std::size_t kPointsPerMember = 128;  // of average weight
  static constexpr std::size_t kMaxPoints = 65536;

  std::size_t FirstPoint(std::uint64_t key) const;

  std::vector<std::pair<std::uint64_t, std::uint32_t>> points_;  // sorted
};

}  // namespace signet::proxy
