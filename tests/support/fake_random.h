// Randomness a test can foresee: the bytes of a counter, or one byte for ever.
//
// Threads: safe from any thread.
#pragma once

#include <mutex>
#include <optional>

#include "base/random.h"

namespace signet::test {

class FakeRandom final : public Random {
 public:
  FakeRandom() = default;
  // Every byte is this one.
  explicit FakeRandom(std::uint8_t constant) : constant_(constant) {}

  void Fill(std::span<std::uint8_t> out) override {
    const std::lock_guard lock(mutex_);
    ++fills_;
    for (std::size_t i = 0; i < out.size(); ++i) {
      out[i] = constant_ ? *constant_ : static_cast<std::uint8_t>(fills_ >> (8 * (i % 8)));
    }
  }

 private:
  std::mutex mutex_;
  const std::optional<std::uint8_t> constant_;
  std::uint64_t fills_ = 0;
};

}  // namespace signet::test
