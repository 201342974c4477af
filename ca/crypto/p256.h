// ECDSA over P-256 with SHA-256 as a busy issuer wants it: OpenSSL does all of it, but its objects
// are made once and used again, where the textbook way makes and frees dozens for each signature.
// Private to key.cc.
//
// Threads: the functions are safe from any thread (what they reuse is the thread's own);
// P256Signer is safe from any thread.
#pragma once

#include <mutex>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "ca/crypto/handle.h"

namespace signet::ca {

inline constexpr std::size_t kP256PointBytes = 65;  // 04 || x || y

// Whether the uncompressed point lies on the curve.
bool IsP256Point(ByteView point);
// The point as a key of its own; null when it is not on the curve.
PkeyHandle P256FromPoint(ByteView point);
// False also when the point is not on the curve. `signature` in DER.
bool VerifyP256(ByteView point, ByteView message, ByteView signature);

// Signs with one private key from many threads: contexts that are ready wait in a list.
class P256Signer {
 public:
  // Takes a reference of its own to `key`, whose private half is P-256.
  explicit P256Signer(EVP_PKEY* key);
  // DER. Absent when OpenSSL refuses; its error queue says why.
  std::optional<Bytes> Sign(ByteView message) const;

 private:
  PkeyContextHandle Take() const;
  void Return(PkeyContextHandle context) const;

  const PkeyHandle key_;
  mutable std::mutex mutex_;
  mutable std::vector<PkeyContextHandle> ready_;
};

}  // namespace signet::ca
