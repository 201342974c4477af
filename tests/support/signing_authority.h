// An issuer for tests that certifies keys it is given, by our own authority: what a server does.
//
// Threads: safe from any thread.
#pragma once

#include <memory>
#include <string>

#include "base/random.h"
#include "ca/authority/x509_authority.h"
#include "identity/bundle/bundle.h"

namespace signet::test {

class SigningAuthority {
 public:
  // Roots start an hour before `now` and last a year.
  SigningAuthority(const std::string& trust_domain, WallTime now);

  const ca::Certificate& root() const { return authority_->certificate(); }
  const identity::TrustDomain& trust_domain() const { return trust_domain_; }
  // With this one authority.
  identity::Bundle bundle() const;
  ca::Chain Certify(const ca::PublicKey& key, const std::string& uri, WallTime not_before,
                    WallTime not_after, ca::Purpose purpose = ca::Purpose::kWorkload) const;
  // The same over the key of a PKCS#10 request.
  ca::Chain CertifyRequest(ByteView request, const std::string& uri, WallTime not_before,
                           WallTime not_after, ca::Purpose purpose = ca::Purpose::kWorkload) const;

 private:
  identity::TrustDomain trust_domain_;
  mutable OsRandom random_;
  std::shared_ptr<const ca::X509Authority> authority_;
};

}  // namespace signet::test
