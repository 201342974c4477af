// sshpop: the node shows an OpenSSH host certificate of an authority the operator trusts, and
// proves that it holds the host key.
#pragma once

#include <functional>
#include <span>

#include "base/clock.h"
#include "base/random.h"
#include "ca/ssh/certificate.h"
#include "identity/attest/attestor.h"
#include "identity/attest/path_template.h"
#include "identity/attest/verified.h"

namespace signet::identity {

struct SshPopSettings {
  std::vector<ca::SshPublicKey> cert_authorities;  // written into the configuration
  std::string cert_authorities_path;               // lines as in authorized_keys; empty: none
  std::string canonical_domain;      // principals must be below it, and it is cut off; empty: any
  std::optional<PathTemplate> path;  // always set by the configuration
};

// What agent_path_template may refer to.
std::span<const TemplateField> SshPopFields();
inline constexpr std::string_view kSshPopDefaultTemplate = "/{{ .PluginName }}/{{ .Fingerprint }}";

class SshPopVerifier {
 public:
  // The holder of the host key, with the host name it goes by.
  struct ProvenHost {
    ca::SshHostCertificate certificate;
    std::string host_name;
  };
  using Proven = Verified<ProvenHost, SshPopVerifier>;

  // `settings` outlives it.
  explicit SshPopVerifier(const SshPopSettings& settings) : settings_(settings) {}

  // Fails with kProofMalformed, or as SshHostCertificate::VerifyHost() does.
  Result<ca::SshHostCertificate> VerifyCertificate(std::string_view payload,
                                                   std::span<const ca::SshPublicKey> authorities,
                                                   WallTime now) const;
  // Fails with kProofMalformed or kProofInvalid, which a name outside canonical_domain is too.
  Result<Proven> VerifyPossession(const ca::SshHostCertificate& certificate, const Nonce& nonce,
                                  std::string_view response) const;
  Result<NodeAttributes> Describe(const Proven& host, const TrustDomain& trust_domain) const;

 private:
  Result<std::string> HostName(const ca::SshHostCertificate& certificate) const;
  const SshPopSettings& settings_;
};

class SshPopAttestor final : public NodeAttestor {
 public:
  static constexpr std::string_view kType = "sshpop";
  using Authorities = std::shared_ptr<const std::vector<ca::SshPublicKey>>;

  // `authorities` is asked at each attestation.
  SshPopAttestor(TrustDomain trust_domain, SshPopSettings settings,
                 std::function<Authorities()> authorities, const Clock& clock, Random& random)
      : trust_domain_(std::move(trust_domain)),
        settings_(std::move(settings)),
        authorities_(std::move(authorities)),
        clock_(clock),
        random_(random) {}

  std::string_view type() const override { return kType; }
  std::unique_ptr<Attestation> Begin() const override;

 private:
  class Conversation;
  const TrustDomain trust_domain_;
  const SshPopSettings settings_;
  const std::function<Authorities()> authorities_;
  const Clock& clock_;
  Random& random_;
};

}  // namespace signet::identity
