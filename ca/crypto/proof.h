// What node attestation asks of keys beside ca/crypto/key.h: their kind and size, and signatures
// that are good for proofs of possession over fresh nonces and for nothing else.
#pragma once

#include "ca/crypto/key.h"

namespace signet::ca {

// Beside SignatureAlgorithm, for peers that cannot do otherwise. Neither is good for certificates
// or tokens.
enum class ProofAlgorithm {
  kRsaPssSha256AnySalt,  // SPIRE's x509pop salts as long as fits
  kRsaPkcs1Sha1,         // OpenSSH's "ssh-rsa"
};
// Fails with kSignatureInvalid; also when the algorithm does not fit the key.
Status VerifyProof(const PublicKey& key, ProofAlgorithm algorithm, ByteView message,
                   ByteView signature);

enum class KeyFamily { kOther, kRsa, kEc, kEd25519 };
KeyFamily FamilyOf(const PublicKey& key);
// Of the modulus, or of the curve's field.
int BitsOf(const PublicKey& key);

}  // namespace signet::ca
