// A throw-away certificate authority for tests, made with OpenSSL and none of our own code: roots,
// intermediates and leaves with stated names, SANs and times, good or bad as a test wants them.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ca/crypto/key.h"
#include "ca/x509/certificate.h"

namespace signet::test {

struct CertificateOptions {
  std::vector<std::string> uris;
  std::vector<std::string> dns_names;
  std::string common_name;  // empty: the subject is C=US, O=Test alone
  WallTime not_before = FromUnixSeconds(1767225600 - 86400);  // a day before FakeClock's start
  WallTime not_after = FromUnixSeconds(1767225600 + 20L * 365 * 86400);
  bool is_ca = false;
  std::string key_usage;           // in OpenSSL's words; empty: what fits is_ca
  std::string extended_key_usage;  // empty: serverAuth, clientAuth on leaves, none on authorities
  bool rsa = false;                // RSA-2048 instead of an elliptic curve
  std::string curve = "P-256";
};

struct CertifiedKey {
  ca::Chain chain;  // leaf first, without the root
  std::shared_ptr<const ca::PrivateKey> key;
};

class TestAuthority {
 public:
  // A self-signed root, such as of "spiffe://example.org".
  explicit TestAuthority(const std::string& uri);
  explicit TestAuthority(const CertificateOptions& options);
  ~TestAuthority();
  TestAuthority(TestAuthority&&) noexcept;

  const ca::Certificate& certificate() const;
  // A leaf under this authority with a key of its own.
  CertifiedKey Issue(const std::string& uri) const;
  CertifiedKey Issue(const CertificateOptions& options) const;
  // An authority below this one; what it issues carries its certificate in the chain.
  TestAuthority IssueAuthority(const std::string& uri) const;

 private:
  struct State;
  explicit TestAuthority(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace signet::test
