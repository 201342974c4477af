// JSON from outside, read strictly (RFC 8259): nothing after the document, no byte order mark, no
// member twice in one object (after unescaping), bounded size and depth. Which of two members wins
// must never decide who is trusted.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "base/result.h"

namespace signet::ca {

inline constexpr Reason kJsonMalformed{"malformed JSON"};
inline constexpr int kMaxJsonDepth = 32;

// Whole numbers keep 64 bits; anything else with digits becomes a float. Fails with kJsonMalformed,
// saying where.
Result<nlohmann::json> ParseStrictJson(std::string_view text, std::size_t max_bytes);

}  // namespace signet::ca
