// Strictness about DER (X.690, 10 and 11) all the way down, which OpenSSL's readers do not have:
// canonical BOOLEAN, INTEGER and BIT STRING, no constructed strings, everything nested where it
// says it is.
//
// It reads structure only and knows no type of X.509. A pure function over bytes.
#pragma once

#include "base/bytes.h"

namespace signet::ca {

inline constexpr int kMaxDerDepth = 24;

// True when `bytes` is exactly one element, DER down to depth kMaxDerDepth. What lies inside OCTET
// STRINGs and BIT STRINGs is not looked at.
bool IsStrictDer(ByteView bytes);

}  // namespace signet::ca
