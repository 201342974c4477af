#include "identity/attest/sshpop_attestor.h"

#include <array>

#include "identity/proof/sshpop.h"

namespace signet::identity {
namespace {

constexpr std::array<TemplateField, 6> kFields = {{
    {".PluginName"},
    {".Fingerprint"},
    {".Hostname"},
    {".KeyId"},
    {".Serial"},
    {".ValidPrincipals", true, false},
}};

}  // namespace

std::span<const TemplateField> SshPopFields() { return kFields; }

Result<ca::SshHostCertificate> SshPopVerifier::VerifyCertificate(
    std::string_view payload, std::span<const ca::SshPublicKey> authorities, WallTime now) const {
  SIGNET_TRY(const Bytes blob, ParseSshPopPayload(payload));
  return ca::SshHostCertificate::VerifyHost(blob, authorities, now);
}

Result<std::string> SshPopVerifier::HostName(const ca::SshHostCertificate& certificate) const {
  std::string name = certificate.principals().front();
  if (settings_.canonical_domain.empty()) return name;
  const std::string suffix = "." + settings_.canonical_domain;
  if (!name.ends_with(suffix))
    return Fail(Code::kPermissionDenied, kProofInvalid,
                "the certificate's principal is not in the domain " + settings_.canonical_domain);
  name.resize(name.size() - suffix.size());
  return name;
}

Result<SshPopVerifier::Proven> SshPopVerifier::VerifyPossession(
    const ca::SshHostCertificate& certificate, const Nonce& nonce,
    std::string_view response) const {
  SIGNET_RETURN_IF_ERROR(CheckSshPopResponse(certificate.key(), nonce, response));
  SIGNET_TRY(auto name, HostName(certificate));
  return Proven(ProvenHost{certificate, std::move(name)});
}

Result<NodeAttributes> SshPopVerifier::Describe(const Proven& host,
                                                const TrustDomain& trust_domain) const {
  const auto& certificate = host->certificate;
  const TemplateValues values = {
      {".PluginName", {std::string(SshPopAttestor::kType)}},
      {".Fingerprint", {EncodeBase64Url(certificate.fingerprint())}},
      {".Hostname", {host->host_name}},
      {".KeyId", {certificate.key_id()}},
      {".Serial", {std::to_string(certificate.serial())}},
      {".ValidPrincipals", certificate.principals()},
  };
  NodeAttributes attributes;
  SIGNET_TRY(attributes.id,
             TemplateAgentId(trust_domain, SshPopAttestor::kType, *settings_.path, values));
  attributes.can_reattest = true;
  return attributes;
}

class SshPopAttestor::Conversation final : public Attestation {
 public:
  explicit Conversation(const SshPopAttestor& attestor)
      : attestor_(attestor), verifier_(attestor.settings_) {}

  Result<AttestationStep> Take(std::string_view message) override {
    if (!certificate_) {
      const Authorities authorities = attestor_.authorities_();
      SIGNET_TRY(certificate_,
                 verifier_.VerifyCertificate(message, *authorities, attestor_.clock_.Now()));
      nonce_ = DrawNonce(attestor_.random_);
      return Challenge{WriteSshPopChallenge(nonce_)};
    }
    SIGNET_TRY(const auto proven, verifier_.VerifyPossession(*certificate_, nonce_, message));
    SIGNET_TRY(auto attributes, verifier_.Describe(proven, attestor_.trust_domain_));
    return attributes;
  }

 private:
  const SshPopAttestor& attestor_;
  const SshPopVerifier verifier_;
  std::optional<ca::SshHostCertificate> certificate_;  // absent: the payload comes next
  Nonce nonce_{};
};

std::unique_ptr<Attestation> SshPopAttestor::Begin() const {
  return std::make_unique<Conversation>(*this);
}

}  // namespace signet::identity
