// PKCS#10 certificate requests (RFC 2986). A request contributes a public key and nothing else;
// what it asks for (subject, SANs) is readable only for MintX509SVID, whose caller is an
// administrator.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "ca/crypto/key.h"

namespace signet::ca {

inline constexpr Reason kRequestMalformed{"malformed certificate request"};
inline constexpr std::size_t kMaxRequestBytes = 16 * 1024;

struct CertificateRequest {
  PublicKey public_key;
  Bytes subject;                      // DER Name
  std::vector<std::string> uri_sans;  // of the extensionRequest attribute
  std::vector<std::string> dns_sans;
  std::size_t other_san_count = 0;
};

// Bounded and strict; the signature is always verified (proof of possession). Fails with
// kRequestMalformed, kKeyMalformed or kSignatureInvalid.
Result<CertificateRequest> ParseRequest(ByteView der);

// A request over `key`, with empty subject and, when given, one URI SAN and DNS SANs.
Result<Bytes> MakeRequest(const Signer& key, std::string_view uri_san = {},
                          std::span<const std::string> dns_sans = {});

}  // namespace signet::ca
