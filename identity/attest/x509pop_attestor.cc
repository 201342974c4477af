#include "identity/attest/x509pop_attestor.h"

#include <fmt/format.h>

#include <array>

#include "ca/crypto/digest.h"
#include "ca/crypto/proof.h"
#include "ca/x509/name.h"
#include "ca/x509/path.h"
#include "identity/proof/x509pop.h"
#include "identity/svid/x509_svid.h"

namespace signet::identity {
namespace {

constexpr int kMinRsaBits = 2048;

constexpr std::array<TemplateField, 7> kFields = {{
    {".PluginName"},
    {".TrustDomain"},
    {".Fingerprint"},
    {".SerialNumberHex"},
    {".Subject.CommonName"},
    {".SVIDPathTrimmed", false, true},
    {".URISanSelectors.*", false, true},
}};

std::string Fingerprint(const ca::Certificate& certificate) {
  return EncodeHex(ca::Sha1(certificate.der()));
}

tl::unexpected<Error> Invalid(std::string detail) {
  return Fail(Code::kPermissionDenied, kProofInvalid, std::move(detail));
}

// URI SANs "x509pop://<trust domain>/<key>/<value>" as key and value; the last of a key counts.
std::map<std::string, std::string> UriSanSelectors(const ca::Certificate& leaf,
                                                   const TrustDomain& trust_domain) {
  const std::string prefix = "x509pop://" + trust_domain.name() + "/";
  std::map<std::string, std::string> selectors;
  for (std::string_view uri : leaf.uri_sans()) {
    if (!uri.starts_with(prefix)) continue;
    uri.remove_prefix(prefix.size());
    while (uri.starts_with('/')) uri.remove_prefix(1);
    while (uri.ends_with('/')) uri.remove_suffix(1);
    const auto slash = uri.find('/');
    if (slash != uri.npos) selectors[std::string(uri.substr(0, slash))] = uri.substr(slash + 1);
  }
  return selectors;
}

}  // namespace

std::span<const TemplateField> X509PopFields() { return kFields; }

std::string_view X509PopDefaultTemplate(X509PopMode mode) {
  return mode == X509PopMode::kSpiffe ? "/{{ .PluginName }}/{{ .SVIDPathTrimmed }}"
                                      : "/{{ .PluginName }}/{{ .Fingerprint }}";
}

Status X509PopVerifier::CheckKey(const ca::Certificate& certificate) const {
  const auto& key = certificate.public_key();
  if (ca::FamilyOf(key) != ca::KeyFamily::kRsa) return {};
  if (ca::BitsOf(key) >= kMinRsaBits && ca::BitsOf(key) <= settings_.max_rsa_bits) return {};
  return Fail(Code::kInvalidArgument, kProofInvalid,
              "an RSA key of " + std::to_string(ca::BitsOf(key)) + " bits; from " +
                  std::to_string(kMinRsaBits) + " to " + std::to_string(settings_.max_rsa_bits) +
                  " are allowed");
}

Result<X509PopVerifier::Trusted> X509PopVerifier::VerifyChain(
    std::string_view payload, std::span<const ca::Certificate> anchors, WallTime now) const {
  SIGNET_TRY(const auto ders, ParseX509PopPayload(payload, settings_.max_intermediates + 1));
  ca::Chain presented;
  for (const Bytes& der : ders) {
    SIGNET_TRY(auto certificate, ca::Certificate::Parse(der));
    SIGNET_RETURN_IF_ERROR(CheckKey(certificate));
    presented.push_back(std::move(certificate));
  }
  auto path = ca::BuildPath(presented, anchors, now);
  if (!path) {
    return Fail(Code::kPermissionDenied, path.error().reason,
                "certificate verification failed: " + path.error().detail);
  }
  const auto& usage = path->front().key_usage();
  if (!usage || !usage->digital_signature)
    return Invalid("the certificate's key usage does not allow digital signatures");
  return Trusted(TrustedChain{*std::move(path)});
}

Result<X509PopVerifier::Proven> X509PopVerifier::VerifyPossession(const Trusted& chain,
                                                                  const Nonce& nonce,
                                                                  std::string_view response) const {
  SIGNET_RETURN_IF_ERROR(CheckX509PopResponse(chain->path.front().public_key(), nonce, response));
  return Proven(ProvenChain{chain->path});
}

Result<std::string> X509PopVerifier::TrimmedSvidPath(const ca::Certificate& leaf,
                                                     const TrustDomain& trust_domain) const {
  SIGNET_TRY(const SpiffeId id, ParseX509Svid(leaf));
  if (!id.IsMemberOf(trust_domain)) return Invalid("the SVID is of another trust domain");
  // An agent, or the server, is no node to be attested by its own SVID.
  if (IsReservedPath(id.path()) || !id.path().starts_with(settings_.svid_prefix))
    return Invalid(id.ToString() + " is not below svid_prefix " + settings_.svid_prefix);
  return id.path().substr(settings_.svid_prefix.size());
}

Result<NodeAttributes> X509PopVerifier::Describe(const Proven& node,
                                                 const TrustDomain& trust_domain) const {
  const ca::Certificate& leaf = node->path.front();
  TemplateValues values = {{".PluginName", {std::string(X509PopAttestor::kType)}},
                           {".TrustDomain", {trust_domain.name()}},
                           {".Fingerprint", {Fingerprint(leaf)}},
                           {".SerialNumberHex", {leaf.SerialHex()}}};
  if (settings_.mode == X509PopMode::kSpiffe) {
    SIGNET_TRY(auto trimmed, TrimmedSvidPath(leaf, trust_domain));
    values[".SVIDPathTrimmed"] = {std::move(trimmed)};
  }
  NodeAttributes attributes;
  if (auto name = ca::FindCommonName(leaf.subject()); name && !name->empty()) {
    attributes.selector_values.push_back("subject:cn:" + *name);
    values[".Subject.CommonName"] = {*std::move(name)};
  }
  for (std::size_t i = 1; i < node->path.size(); ++i)
    attributes.selector_values.push_back("ca:fingerprint:" + Fingerprint(node->path[i]));
  attributes.selector_values.push_back("serialnumber:" + leaf.SerialHex());
  for (const auto& [key, value] : UriSanSelectors(leaf, trust_domain)) {
    attributes.selector_values.push_back(fmt::format("san:{}:{}", key, value));
    values[".URISanSelectors." + key] = {value};
  }
  SIGNET_TRY(attributes.id,
             TemplateAgentId(trust_domain, X509PopAttestor::kType, *settings_.path, values));
  attributes.can_reattest = true;
  return attributes;
}

class X509PopAttestor::Conversation final : public Attestation {
 public:
  explicit Conversation(const X509PopAttestor& attestor)
      : attestor_(attestor), verifier_(attestor.settings_) {}

  Result<AttestationStep> Take(std::string_view message) override {
    if (!trusted_) {
      const Anchors anchors = attestor_.anchors_();
      SIGNET_TRY(trusted_, verifier_.VerifyChain(message, *anchors, attestor_.clock_.Now()));
      nonce_ = DrawNonce(attestor_.random_);
      SIGNET_TRY(auto challenge,
                 WriteX509PopChallenge((*trusted_)->path.front().public_key(), nonce_));
      return Challenge{std::move(challenge)};
    }
    SIGNET_TRY(const auto proven, verifier_.VerifyPossession(*trusted_, nonce_, message));
    SIGNET_TRY(auto attributes, verifier_.Describe(proven, attestor_.trust_domain_));
    return attributes;
  }

 private:
  const X509PopAttestor& attestor_;
  const X509PopVerifier verifier_;
  std::optional<X509PopVerifier::Trusted> trusted_;  // absent: the payload comes next
  Nonce nonce_{};
};

std::unique_ptr<Attestation> X509PopAttestor::Begin() const {
  return std::make_unique<Conversation>(*this);
}

}  // namespace signet::identity
