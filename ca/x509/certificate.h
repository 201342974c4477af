// A parsed X.509 certificate (RFC 5280) and a chain of them: immutable, cheap to copy. Parsing is
// strict about DER and about trailing bytes; whether a certificate is *good* for something is asked
// elsewhere (path.h, identity/svid).
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "ca/crypto/digest.h"
#include "ca/crypto/key.h"

typedef struct x509_st X509;

namespace signet::ca {

inline constexpr Reason kCertificateMalformed{"malformed certificate"};
inline constexpr std::size_t kMaxCertificateBytes = 64 * 1024;
inline constexpr std::size_t kMaxChainLength = 10;

// keyUsage bits as RFC 5280 4.2.1.3 numbers them: bit 0 is digitalSignature.
struct KeyUsage {
  bool digital_signature = false;
  bool key_cert_sign = false;
  bool crl_sign = false;
  std::uint16_t bits = 0;  // all of them, bit n = 1 << n
  bool critical = false;
};

// What a leaf holds that this process laid out and linted itself: nothing is left to be read.
struct IssuedLeaf {
  Bytes serial;  // magnitude, big-endian, no leading zero
  Bytes subject;
  Bytes issuer;
  WallTime not_before;
  WallTime not_after;
  PublicKey public_key;
  std::string uri_san;
  std::vector<std::string> dns_sans;
  std::uint16_t key_usage_bits = 1;
  Bytes authority_key_id;
};

class Certificate {
 public:
  // One DER certificate and nothing after it. Fails with kCertificateMalformed.
  static Result<Certificate> Parse(ByteView der);
  // A leaf of our own making, as Parse() would answer it, twenty times faster: OpenSSL decodes it
  // only when its handle is asked for. Only for X509Authority, whose lint read the very bytes.
  static Certificate FromIssuedLeaf(ByteView der, IssuedLeaf leaf);

  ByteView der() const;
  ByteView tbs() const;     // the signed part
  ByteView serial() const;  // magnitude, big-endian, no leading zero
  std::string SerialDecimal() const;
  std::string SerialHex() const;
  ByteView subject() const;  // DER Name
  ByteView issuer() const;
  bool HasEmptySubject() const;
  std::string SubjectText() const;  // RFC 2253-like, for people
  WallTime not_before() const;
  WallTime not_after() const;
  const PublicKey& public_key() const;
  const std::vector<std::string>& uri_sans() const;  // raw bytes of each URI, in order
  const std::vector<std::string>& dns_sans() const;
  std::size_t other_san_count() const;  // SANs that are neither
  bool subject_alt_name_critical() const;
  bool is_ca() const;  // basicConstraints present with cA TRUE
  std::optional<int> path_length() const;
  const std::optional<KeyUsage>& key_usage() const;  // absent: extension absent
  const std::vector<std::string>& extended_key_usages()
      const;                            // dotted OIDs; empty: extension absent
  const Bytes& subject_key_id() const;  // empty when absent
  const Bytes& authority_key_id() const;
  bool self_issued() const;  // subject equals issuer
  // Signed by its own key (checked).
  bool IsSelfSigned() const;
  const Sha256Digest& fingerprint() const;  // SHA-256 over der()

  X509* handle() const;  // inside the fence only; owned by this
  bool operator==(const Certificate& other) const;

 private:
  struct State;
  std::shared_ptr<const State> state_;
};

using Chain = std::vector<Certificate>;  // leaf first

// Concatenated DER (Workload API, `x509_svid` and `bundle`). At most `limit` certificates.
Result<std::vector<Certificate>> ParseConcatenatedDer(ByteView der, std::size_t limit);
Bytes ConcatenateDer(std::span<const Certificate> certificates);
// PEM CERTIFICATE blocks; other blocks are refused, text between blocks is skipped.
Result<std::vector<Certificate>> ParsePem(std::string_view pem, std::size_t limit);
std::string ToPem(std::span<const Certificate> certificates);
std::string ToPem(const Certificate& certificate);

}  // namespace signet::ca
