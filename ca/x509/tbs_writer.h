// Certificates laid out by hand: the fixed shapes of profile.h in DER, in SPIRE's order of
// extensions. It checks nothing; LintTbs() reads what it wrote before it is signed.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "ca/crypto/key.h"
#include "ca/x509/profile.h"

namespace signet::ca {

// What goes into a TBSCertificate. All views outlive the call only.
struct TbsFields {
  ByteView serial;  // magnitude, big-endian
  SignatureAlgorithm algorithm = SignatureAlgorithm::kEcdsaSha256;
  ByteView issuer;      // DER Name
  WallTime not_before;  // whole seconds count
  WallTime not_after;
  ByteView subject;  // DER Name
  const PublicKey& subject_key;
  std::string_view uri_san;
  std::span<const std::string> dns_sans;  // leaves only
  ByteView authority_key_id;              // not of roots
};

// keyUsage (critical), extendedKeyUsage, basicConstraints (critical), subjectKeyIdentifier,
// authorityKeyIdentifier, subjectAltName (critical exactly when the subject is empty).
Bytes WriteLeafTbs(const TbsFields& fields);
// keyUsage (critical), basicConstraints (critical), subjectKeyIdentifier, subjectAltName.
Bytes WriteRootTbs(const TbsFields& fields);
// As a root, with authorityKeyIdentifier behind subjectKeyIdentifier, and nameConstraints
// (critical) at the end when `limits` names any.
Bytes WriteDownstreamTbs(const TbsFields& fields, const DownstreamLimits& limits);
// The certificate: what was signed, the algorithm again (RFC 5280, 4.1.1.2) and the signature.
Bytes WriteCertificate(ByteView tbs, SignatureAlgorithm algorithm, ByteView signature);

}  // namespace signet::ca
