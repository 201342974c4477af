// Numbers for choices that protect nothing: weights, percentages, two endpoints out of many. One
// per worker, so that a request costs no system call for them.
//
// Threads: one worker's.
#pragma once

#include <cstdint>

namespace signet::proxy {

class Dice {
 public:
  explicit Dice(std::uint64_t seed) : state_(seed) {}
  // Uniform over all numbers (splitmix64).
  std::uint64_t Throw() {
    state_ += 0x9e3779b97f4a7c15;
    std::uint64_t mixed = state_;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
    return mixed ^ (mixed >> 31);
  }

 private:
  std::uint64_t state_;
};

}  // namespace signet::proxy
