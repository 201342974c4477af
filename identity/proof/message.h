// What the messages of SPIRE's node attestors have in common: JSON objects with bytes in base64
// (RFC 4648, 4), small, read strictly, unknown members ignored. Private to identity/proof.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

namespace signet::identity {

// The object; fails with kProofMalformed.
Result<nlohmann::json> ParseProofMessage(std::string_view text);
// The bytes in `object[name]`, of 1 to `max` bytes; fails with kProofMalformed when absent or
// otherwise.
Result<Bytes> ReadProofBytes(const nlohmann::json& object, const char* name, std::size_t max);

}  // namespace signet::identity
