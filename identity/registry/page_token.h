// Page tokens: the number of the last row a page held, bound to the kind of listing and to this
// process by a keyed digest, so that a token that is none of ours is told apart.
//
// Threads: immutable.
#pragma once

#include <cstdint>
#include <string>

#include "base/bytes.h"
#include "base/random.h"
#include "base/result.h"

namespace signet::identity {

inline constexpr Reason kPageTokenMalformed{"page token is not one of ours"};

enum class Listing : std::uint8_t { kEntries = 1, kNodes = 2, kBundles = 3, kRelationships = 4 };

class PageTokens {
 public:
  explicit PageTokens(Random& random);
  std::string Make(Listing listing, std::uint64_t last) const;
  // Fails with kPageTokenMalformed (INVALID_ARGUMENT), also on a token from before a restart.
  Result<std::uint64_t> Parse(Listing listing, const std::string& token) const;

 private:
  Bytes Tag(ByteView content) const;
  SecretBytes key_;
};

}  // namespace signet::identity
