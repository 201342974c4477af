#include "agent/cache/renewal.h"

namespace signet::agent {
namespace {

using Seconds = std::chrono::duration<double>;

// In [0, 1): the first 53 bits.
double Fraction(const ca::Sha256Digest& fingerprint) {
  std::uint64_t bits = 0;
  for (std::size_t i = 0; i < 8; ++i) bits = (bits << 8) | fingerprint[i];
  return static_cast<double>(bits >> 11) / static_cast<double>(1ULL << 53);
}

// The part of `half` that is left at renewal.
WallTime::duration Left(Seconds half, const ca::Sha256Digest& fingerprint) {
  return std::chrono::duration_cast<WallTime::duration>(half * (0.9 + 0.2 * Fraction(fingerprint)));
}

}  // namespace

WallTime RenewalTime(WallTime not_before, WallTime not_after, const ca::Sha256Digest& fingerprint) {
  return not_after - Left(Seconds(not_after - not_before) / 2, fingerprint);
}

WallTime RenewalOfNew(WallTime not_before, WallTime not_after, WallTime now,
                      const ca::Sha256Digest& fingerprint) {
  const WallTime planned = RenewalTime(not_before, not_after, fingerprint);
  return planned > now ? planned : not_after - Left(Seconds(not_after - now) / 2, fingerprint);
}

}  // namespace signet::agent
