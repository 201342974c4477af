// Digests, and sealing of bytes at rest.
#pragma once

#include <array>

#include "base/bytes.h"
#include "base/result.h"

namespace signet::ca {

inline constexpr Reason kSealBroken{"sealed data does not open"};

using Sha256Digest = std::array<std::uint8_t, 32>;
Sha256Digest Sha256(ByteView bytes);
// For key identifiers (RFC 5280, 4.2.1.2 method 1) and nothing else: it secures nothing.
using Sha1Digest = std::array<std::uint8_t, 20>;
Sha1Digest Sha1(ByteView bytes);

// An incremental SHA-256.
class Sha256Hasher {
 public:
  Sha256Hasher();
  ~Sha256Hasher();
  Sha256Hasher(Sha256Hasher&&) noexcept;
  void Update(ByteView bytes);
  Sha256Digest Finish();  // call once

 private:
  void* context_;
};

// AES-256-GCM with a fresh random 96-bit nonce: returns nonce || ciphertext || tag. `key` has 32
// bytes; `associated` is bound but not kept (use it for the purpose and name of what is sealed).
Result<Bytes> Seal(const SecretBytes& key, ByteView plaintext, ByteView associated);
// Fails with kSealBroken when anything differs.
Result<SecretBytes> Open(const SecretBytes& key, ByteView sealed, ByteView associated);

}  // namespace signet::ca
