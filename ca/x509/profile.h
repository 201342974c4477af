// What a certificate of ours holds, one profile per purpose, and the lint that reads the exact
// to-be-signed bytes again before they are signed. Field by field the sources are SPIRE's leaf
// (subject C=US, O=SPIRE), the X.509-SVID standard and RFC 5280; EC leaves carry digitalSignature
// only (RFC 8813, 3).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ca/x509/certificate.h"

namespace signet::ca {

inline constexpr Reason kProfileRefused{"certificate does not meet its profile"};

enum class Purpose { kWorkload, kAgent, kServer, kDownstreamCa, kRoot };

// One attribute of a subject: dotted OID and UTF-8 value, in the order of the certificate.
struct NameAttribute {
  std::string oid;
  std::string value;
};

struct LeafProfile {
  Purpose purpose = Purpose::kWorkload;  // kWorkload, kAgent or kServer
  std::string uri_san;                   // the SPIFFE ID
  std::vector<std::string> dns_sans;     // the first one is also the CN
  Bytes subject;                         // DER Name; empty: SPIRE's default C=US, O=SPIRE [, CN]
  WallTime not_before;
  WallTime not_after;  // cut to the authority's own end by the issuer
};

struct RootProfile {
  std::string uri_san;                 // "spiffe://td"
  std::vector<NameAttribute> subject;  // empty: C=US, O=SPIFFE; serialNumber is appended
  WallTime not_before;
  WallTime not_after;
};

// What stands below a downstream authority, as its certificate says (RFC 5280, 4.2.1.9 and
// 4.2.1.10). Nothing stated, nothing limited.
struct DownstreamLimits {
  std::optional<int> path_length;  // how many further authorities may stand below it; 0: none
  std::vector<std::string> permitted_uri_hosts;  // "example.org": SPIFFE IDs of that name, no other
  std::vector<std::string> permitted_dns_names;  // "example.org": it and the names below it
};

struct DownstreamProfile {
  std::string uri_san;  // "spiffe://td"
  DownstreamLimits limits;
  WallTime not_before;
  WallTime not_after;  // cut to the authority's own end by the issuer
};

// The authority that is about to sign, as a certificate is held against it.
struct SigningAuthority {
  ByteView name;  // DER Name
  ByteView key_id;
  WallTime not_after;
};

struct Finding {
  std::string rule;  // "X-15", "R-05": the checklist's row
  std::string problem;
};
using Findings = std::vector<Finding>;

// Reads a DER TBSCertificate with a reader that shares no code with the writers and checks every
// rule of `purpose`. Empty: may be signed.
Findings LintTbs(ByteView tbs, Purpose purpose, std::string_view expected_uri, ByteView issuer_name,
                 ByteView authority_key_id, WallTime authority_not_after);
// The same for an authority below ours: that of a root, and the limits exactly as they were asked.
Findings LintDownstreamTbs(ByteView tbs, const DownstreamProfile& profile,
                           const SigningAuthority& authority);

}  // namespace signet::ca
