// The upstream authority in files: a CA's certificate with its key in a file of mode 0600, or in a
// PKCS#11 token. Files are read again when they have changed; what cannot be used leaves what was
// read last.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "ca/keys/key_store.h"
#include "identity/attest/trusted_file.h"
#include "identity/server/upstream.h"
#include "identity/server/upstream_config.h"

namespace signet::identity {

class DiskUpstream final : public UpstreamAuthority {
 public:
  // Fails with kUpstreamUnusable naming the file, or as the token does.
  static Result<std::unique_ptr<DiskUpstream>> Open(const DiskUpstreamConfig& config,
                                                    const Clock& clock, Random& random,
                                                    const Logger& log);

  Result<ca::Chain> Certify(const Request& request,
                            const ca::X509Authority::RecordIntent& record) override;
  // Its roots; files keep no bundle, so nothing is ever withdrawn.
  UpstreamTrust Trust() override;
  bool TakesJwtAuthorities() const override { return false; }
  Status PublishJwt(const JwtBundleAuthority&) override { return {}; }
  std::vector<std::string> Problems() const override { return {}; }

 private:
  struct Material {
    std::shared_ptr<const ca::X509Authority> authority;
    ca::Chain above;  // its own certificate first, the root last
    std::vector<ca::Certificate> roots;
  };
  DiskUpstream(const DiskUpstreamConfig& config, std::unique_ptr<ca::KeyStore> token,
               const Clock& clock, Random& random);
  Result<Material> Read() const;
  Result<std::shared_ptr<const ca::Signer>> ReadKey() const;

  const DiskUpstreamConfig config_;
  const std::unique_ptr<ca::KeyStore> token_;  // null: the key is in a file
  const Clock& clock_;
  Random& random_;
  std::unique_ptr<TrustedFiles<Material>> files_;
};

}  // namespace signet::identity
