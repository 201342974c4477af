// One X.509 signing authority: a key, the certificate over it, and what it signs. It knows nothing
// of SPIFFE, storage or rotation: authority_slots.h decides which one is in use.
//
// Threads: immutable after Create(); Issue() may run in parallel. The signer may wait on an HSM, so
// Issue() must not be called from an event loop.
#pragma once

#include <functional>
#include <memory>

#include "base/random.h"
#include "ca/x509/profile.h"

namespace signet::ca {

inline constexpr Reason kAuthorityKeyMismatch{"authority key is another one"};
inline constexpr Reason kAuthorityMayNotSign{"authority may not sign certificates"};
inline constexpr Reason kAuthorityExpired{"authority expired"};

// What is about to be signed, for the durable journal that must hold it first.
struct IssuanceIntent {
  Bytes serial;  // 1 to 20 bytes, big-endian
  std::string uri_san;
  Purpose purpose = Purpose::kWorkload;
  WallTime not_before;
  WallTime not_after;
  Bytes authority_key_id;

  std::string SerialDecimal() const;  // as Certificate::SerialDecimal() of what is signed
};

// A certificate laid out and linted, not yet signed.
struct PreparedCertificate {
  IssuanceIntent intent;
  Bytes tbs;
  // What `tbs` holds besides, so that it need not be read again once signed.
  PublicKey subject_key;
  Bytes subject;
  std::vector<std::string> dns_sans;
  bool own_subject = false;  // the subject is the profile's own, written by us
};

class X509Authority {
 public:
  // `chain` is leaf first, so chain.front() is this authority's own certificate; the others lead
  // towards (not including) the root and are sent along with what it signs.
  //
  // Fails with kAuthorityKeyMismatch if the signer's key is another one, kAuthorityMayNotSign if
  // basicConstraints or keyUsage forbids it (RFC 5280, 4.2.1.9 and 4.2.1.3).
  static Result<std::shared_ptr<const X509Authority>> Create(Chain chain,
                                                             std::shared_ptr<const Signer> signer);
  // A new self-signed root over `signer`: laid out, linted, given to `record` (which makes it
  // durable) and only then signed. Fails with kProfileRefused, kKeyTypeRefused or as `record` does.
  using RecordIntent = std::function<Status(const IssuanceIntent&)>;
  static Result<std::shared_ptr<const X509Authority>> CreateRoot(
      const RootProfile& profile, std::shared_ptr<const Signer> signer, Random& random,
      const RecordIntent& record);

  // Lays out and lints a leaf over `subject_key`; the serial has 127 random bits and is never zero.
  // The end is cut to the earliest in this authority's chain. Fails with kProfileRefused (naming
  // the findings), kKeyTypeRefused (P-256, P-384, Ed25519, RSA-2048 and RSA-4096 are certified) or
  // kAuthorityExpired.
  Result<PreparedCertificate> Prepare(const PublicKey& subject_key, const LeafProfile& profile,
                                      Random& random, WallTime now) const;
  // The same for the certificate of an authority below this one: pathLenConstraint is also one less
  // than this authority's own, where it has one. Fails with kAuthorityMayNotSign when that leaves
  // none.
  Result<PreparedCertificate> PrepareDownstream(const PublicKey& subject_key,
                                                const DownstreamProfile& profile, Random& random,
                                                WallTime now) const;
  // Signs what Prepare() of this same authority laid out; only after the intent is durable. Fails
  // with kAuthorityKeyMismatch when another one prepared it, kSigningFailed.
  Result<Certificate> Sign(const PreparedCertificate& prepared) const;

  const Certificate& certificate() const;
  // What goes behind a leaf in a chain: intermediates, never the self-signed root.
  const Chain& upstream_chain() const;
  // Hex of the subject key identifier, as SPIRE's localauthority names an authority.
  const std::string& id() const;

 private:
  struct State;
  Status CheckAlive(WallTime now) const;
  std::shared_ptr<const State> state_;
};

}  // namespace signet::ca
