// One JWT signing authority: a key, the id it is published under, and its end. It knows nothing of
// SPIFFE, storage or rotation: authority_slots.h decides which one is in use.
//
// Threads: immutable after Create(); Prepare() and Sign() may run in parallel. The signer may wait
// on an HSM, so Sign() must not be called from an event loop.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "ca/jose/jws.h"

namespace signet::ca {

inline constexpr Reason kJwtAuthorityUnusable{"JWT authority unusable"};
inline constexpr Reason kJwtAuthorityExpired{"JWT authority expired"};
inline constexpr Reason kJwtClaimsRefused{"claims of a token not allowed"};

// What a token is to say. All texts are UTF-8.
struct JwtClaims {
  std::string subject;                // "sub"
  std::vector<std::string> audience;  // "aud": one or more, none empty; a list even when it is one
  std::chrono::seconds lifetime{0};   // at least one second
  std::string issuer;                 // "iss"; empty: left out
  std::string token_id;               // "jti"; empty: left out
};

// A token laid out, not yet signed; for whoever records what is about to be signed.
struct PreparedJwt {
  std::string key_id;      // of the authority that laid it out and alone may sign it
  std::string payload;     // JSON
  WallTime issued_at;      // whole seconds, as "iat" says
  WallTime expires_at;     // whole seconds, as "exp" says; never after the authority's end
  bool shortened = false;  // the authority's end came before the lifetime's
};

class JwtAuthority {
 public:
  // `key_id` is the "kid", never used for another key (RFC 7517, 4.5). Fails with
  // kJwtAuthorityUnusable when it is empty or the signer's key is none of KeyType.
  static Result<std::shared_ptr<const JwtAuthority>> Create(std::string key_id, WallTime not_after,
                                                            std::shared_ptr<const Signer> signer);

  // Lays out the claims as SPIRE does: sub, aud, exp, iat, and iss and jti where given; no nbf.
  // Fails with kJwtClaimsRefused, or kJwtAuthorityExpired when less than a second is left.
  Result<PreparedJwt> Prepare(const JwtClaims& claims, WallTime now) const;
  // The token in compact serialization. Fails with kSigningFailed.
  Result<std::string> Sign(const PreparedJwt& prepared) const;

  const std::string& key_id() const { return key_id_; }
  WallTime not_after() const { return not_after_; }
  const PublicKey& public_key() const { return signer_->public_key(); }
  JwsAlgorithm algorithm() const { return algorithm_; }

 private:
  JwtAuthority(std::string key_id, WallTime not_after, std::shared_ptr<const Signer> signer,
               JwsAlgorithm algorithm);

  const std::string key_id_;
  const WallTime not_after_;
  const std::shared_ptr<const Signer> signer_;
  const JwsAlgorithm algorithm_;
};

}  // namespace signet::ca
