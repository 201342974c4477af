// Strictness about DER that OpenSSL's readers do not have: definite and shortest lengths, canonical
// BOOLEAN and INTEGER, no constructed strings, everything nested where it says it is.
//
// It reads structure only and knows no type of X.509. Pure functions over bytes.
#pragma once

#include <cstddef>
#include <optional>

#include "base/bytes.h"

namespace signet::ca {

inline constexpr int kMaxDerDepth = 24;

// One tag-length-value at the front of some bytes.
struct DerElement {
  std::uint8_t tag = 0;  // the identifier octet; multi-octet tags are not read
  ByteView content;      // the value
  std::size_t size = 0;  // of the whole element
};

// The element at the front of `bytes`; absent when it is not DER or runs past the end.
std::optional<DerElement> ReadDerElement(ByteView bytes);

// True when `bytes` is exactly one element, DER all the way down to depth kMaxDerDepth. What lies
// inside OCTET STRINGs and BIT STRINGs is not looked at.
bool IsStrictDer(ByteView bytes);

}  // namespace signet::ca
