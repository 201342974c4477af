// The challenge of x509pop and sshpop: a nonce of the server and one of the node, so that neither
// side alone chooses what is signed.
#pragma once

#include <array>

#include "base/bytes.h"
#include "base/random.h"
#include "base/result.h"

namespace signet::identity {

inline constexpr Reason kProofMalformed{"malformed node attestation message"};
inline constexpr Reason kProofInvalid{"proof of possession does not verify"};

// Of one message, before anything in it is looked at.
inline constexpr std::size_t kMaxProofBytes = 128 * 1024;

inline constexpr std::size_t kNonceBytes = 32;
using Nonce = std::array<std::uint8_t, kNonceBytes>;

Nonce DrawNonce(Random& random);
// Fails with kProofMalformed when it has another size.
Result<Nonce> ToNonce(ByteView bytes);
// The server's, then the node's.
Bytes JoinNonces(const Nonce& server, const Nonce& node);

}  // namespace signet::identity
