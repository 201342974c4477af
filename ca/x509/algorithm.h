// Signature algorithms as X.509 writes them: each has one AlgorithmIdentifier in DER, compared as
// bytes. SHA-1 and MD5 have none.
#pragma once

#include <optional>

#include "base/bytes.h"
#include "ca/crypto/key.h"

namespace signet::ca {

// The whole AlgorithmIdentifier SEQUENCE (RFC 5758, 3.2; RFC 4055, 3 and 5; RFC 8410, 3).
ByteView AlgorithmIdentifier(SignatureAlgorithm algorithm);
// Absent for every other encoding, whatever it may mean.
std::optional<SignatureAlgorithm> FindAlgorithm(ByteView identifier);

}  // namespace signet::ca
