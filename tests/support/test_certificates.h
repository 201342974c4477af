// Certificates for tests, good and bad, made with OpenSSL's own extension language so that they
// share no code with what they test.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "ca/x509/certificate.h"

namespace signet::test {

// Valid for a day around FakeClock's default time (2026-01-01T00:00:00Z).
struct CertificateSpec {
  std::string common_name = "test";   // empty: empty subject
  std::vector<std::string> uri_sans;  // raw bytes
  std::vector<std::string> dns_sans;
  bool san_critical = false;
  std::optional<bool> ca = false;  // absent: no basicConstraints
  std::optional<int> path_length;
  std::string key_usage = "critical,digitalSignature";  // empty: none
  std::string extended_key_usage = "serverAuth,clientAuth";
  std::string name_constraints;  // "critical,permitted;URI:example.org"
  std::vector<std::pair<std::string, std::string>> more_extensions;  // OID or name, value
  bool subject_key_id = true;
  bool authority_key_id = true;
  std::string serial_hex = "01020304";
  std::int64_t not_before = 1767182400;  // 2025-12-31T12:00:00Z
  std::int64_t not_after = 1767268800;   // 2026-01-01T12:00:00Z
  // Or P-384, P-521, RSA-<bits>, ED25519; "P-256 spelt out" has explicit curve parameters.
  std::string key = "P-256";
  std::string digest = "SHA256";  // of the signature; not for ED25519 issuers
};

struct TestKey;  // owns an EVP_PKEY

struct TestCertificate {
  Bytes der;
  std::string common_name;
  std::shared_ptr<const TestKey> key;

  ca::Certificate Parsed() const;  // throws when refused
  Bytes Pkcs8() const;
};

// cA true, keyCertSign and cRLSign, no extended key usage.
CertificateSpec CaSpec(std::string common_name);
// A workload's: one URI.
CertificateSpec LeafSpec(std::string uri);

std::shared_ptr<const TestKey> MakeTestKey(const std::string& kind);

// Signed by `issuer`, or by itself when null. `key` overrides the one made from spec.key.
TestCertificate MakeCertificate(const CertificateSpec& spec,
                                const TestCertificate* issuer = nullptr,
                                std::shared_ptr<const TestKey> key = nullptr);

}  // namespace signet::test
