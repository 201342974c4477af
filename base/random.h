// Entropy as a dependency: serial numbers, tokens, jitter. Keys come from OpenSSL's own generator.
//
// Threads: implementations are safe to call from any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace signet {

class Random {
 public:
  virtual ~Random() = default;
  // Fills all of `out`; cannot fail (the kernel's generator does not, once seeded).
  virtual void Fill(std::span<std::uint8_t> out) = 0;

  // Uniform in [0, bound), bound > 0.
  std::uint64_t Below(std::uint64_t bound);
  // Uniform in [0, 1).
  double Unit();
  // RFC 9562 version 4, lower case.
  std::string Uuid();
};

class OsRandom final : public Random {
 public:
  void Fill(std::span<std::uint8_t> out) override;
};

}  // namespace signet
