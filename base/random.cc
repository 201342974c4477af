#include "base/random.h"

#include <fmt/format.h>
#include <sys/random.h>

#include <array>
#include <cerrno>

#include "base/check.h"

namespace signet {

std::uint64_t Random::Below(std::uint64_t bound) {
  CHECK_TRUE(bound > 0);
  const std::uint64_t limit = UINT64_MAX - UINT64_MAX % bound;
  std::uint64_t value = 0;
  do {
    Fill({reinterpret_cast<std::uint8_t*>(&value), sizeof value});
  } while (value >= limit);
  return value % bound;
}

double Random::Unit() {
  return static_cast<double>(Below(1ULL << 53)) / static_cast<double>(1ULL << 53);
}

std::string Random::Uuid() {
  std::array<std::uint8_t, 16> b{};
  Fill(b);
  b[6] = static_cast<std::uint8_t>((b[6] & 0x0f) | 0x40);
  b[8] = static_cast<std::uint8_t>((b[8] & 0x3f) | 0x80);
  return fmt::format(
      "{:02x}{:02x}{:02x}{:02x}-{:02x}{:02x}-{:02x}{:02x}-{:02x}{:02x}-{:02x}{:02x}{:02x}{:02x}{:"
      "02x}{:02x}",
      b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14],
      b[15]);
}

void OsRandom::Fill(std::span<std::uint8_t> out) {
  std::size_t done = 0;
  while (done < out.size()) {
    const ssize_t got = getrandom(out.data() + done, out.size() - done, 0);
    if (got < 0) {
      CHECK_TRUE(errno == EINTR);
      continue;
    }
    done += static_cast<std::size_t>(got);
  }
}

}  // namespace signet
