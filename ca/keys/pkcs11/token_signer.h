// A key in a token as a Signer. It stays usable when another key is made under its name: its
// objects are destroyed when the last who holds it lets go.
//
// Threads: safe from any thread.
#pragma once

#include <atomic>
#include <memory>

#include "ca/keys/pkcs11/token.h"

namespace signet::ca {

class TokenSigner final : public Signer {
 public:
  TokenSigner(std::shared_ptr<Token> token, Bytes id, PublicKey public_key);
  ~TokenSigner() override;

  const PublicKey& public_key() const override { return public_key_; }
  // ECDSA with SHA-256, -384 or -512 and RSASSA-PKCS1-v1_5. Fails with kSigningFailed.
  Result<Bytes> Sign(SignatureAlgorithm algorithm, ByteView message) const override;

  ByteView id() const { return id_; }
  void DestroyWhenUnused() { doomed_ = true; }

 private:
  TokenResult SignIn(const Token::Session& session, CK_MECHANISM mechanism, ByteView input,
                     Bytes* signature) const;

  const std::shared_ptr<Token> token_;
  const Bytes id_;
  const PublicKey public_key_;
  std::atomic<bool> doomed_ = false;
};

}  // namespace signet::ca
