// Keys and signatures as values; OpenSSL stays behind key.cc. A Signer may be software or hardware.
//
// Threads: all types are immutable after creation and may be shared between threads.
#pragma once

#include <memory>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

typedef struct evp_pkey_st EVP_PKEY;

namespace signet::ca {

inline constexpr Reason kKeyMalformed{"malformed key"};
inline constexpr Reason kKeyTypeRefused{"key type not allowed"};
inline constexpr Reason kSignatureInvalid{"signature does not verify"};
inline constexpr Reason kSigningFailed{"signing failed"};

enum class KeyType { kEcP256, kEcP384, kRsa2048, kRsa4096 };
std::string_view KeyTypeName(KeyType type);  // "ec-p256", …, as SPIRE names them
Result<KeyType> ParseKeyType(std::string_view name);

enum class SignatureAlgorithm {
  kEcdsaSha256,
  kEcdsaSha384,
  kRsaPkcs1Sha256,
  kRsaPkcs1Sha384,
  kRsaPkcs1Sha512,
  kRsaPssSha256,
  kRsaPssSha384,
  kRsaPssSha512,
  kEcdsaSha512,
  kEd25519
};
// The algorithm an authority with such a key signs certificates with.
SignatureAlgorithm CertificateAlgorithm(KeyType type);

// A public key with its SubjectPublicKeyInfo. Any type OpenSSL reads; policy is the caller's.
class PublicKey {
 public:
  // DER of a SubjectPublicKeyInfo without trailing bytes; at most 4 KiB. Fails with kKeyMalformed.
  static Result<PublicKey> FromSpki(ByteView der);
  // Takes a reference of its own.
  static Result<PublicKey> FromHandle(EVP_PKEY* key);

  ByteView spki() const;
  // SHA-1 over the key bits (RFC 5280, 4.2.1.2 method 1): 20 bytes; identifies, secures nothing.
  Bytes SubjectKeyId() const;
  // Absent for types that are none of KeyType (P-521, Ed25519, RSA-3072, …).
  bool HasType(KeyType type) const;
  Result<KeyType> Type() const;
  // Fails with kSignatureInvalid; also when the algorithm does not fit the key. ECDSA signatures in
  // DER.
  Status Verify(SignatureAlgorithm algorithm, ByteView message, ByteView signature) const;
  bool operator==(const PublicKey& other) const;

  EVP_PKEY* handle() const;  // inside the fence only; owned by this

 private:
  struct State;
  std::shared_ptr<const State> state_;
};

// What can sign: the private half stays inside.
class Signer {
 public:
  virtual ~Signer() = default;
  virtual const PublicKey& public_key() const = 0;
  // ECDSA in DER. May block on hardware. Fails with kSigningFailed.
  virtual Result<Bytes> Sign(SignatureAlgorithm algorithm, ByteView message) const = 0;
};

// A software key.
class PrivateKey final : public Signer {
 public:
  static Result<PrivateKey> Generate(KeyType type);
  // Unencrypted PKCS#8 DER. Fails with kKeyMalformed.
  static Result<PrivateKey> FromPkcs8(ByteView der);

  const PublicKey& public_key() const override;
  Result<Bytes> Sign(SignatureAlgorithm algorithm, ByteView message) const override;
  SecretBytes ToPkcs8() const;
  EVP_PKEY* handle() const;  // inside the fence only; owned by this

 private:
  struct State;
  std::shared_ptr<const State> state_;
};

}  // namespace signet::ca
