#include "agent/endpoints/sds_answers.h"

#include <fmt/format.h>

#include "agent/endpoints/refusal.h"
#include "agent/endpoints/workload_answers.h"
#include "base/check.h"
#include "base/log.h"
#include "ca/crypto/pem.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls_spiffe_validator_config.pb.h"

namespace signet::agent {
namespace {

namespace core = envoy::config::core::v3;
namespace tls = envoy::extensions::transport_sockets::tls::v3;

constexpr std::string_view kValidator = "envoy.tls.cert_validator.spiffe";
constexpr std::size_t kVersionBytes = 16;

std::optional<bool> ReadBool(std::string_view text) {
  for (const std::string_view yes : {"1", "t", "T", "true", "TRUE", "True"})
    if (text == yes) return true;
  for (const std::string_view no : {"0", "f", "F", "false", "FALSE", "False"})
    if (text == no) return false;
  return std::nullopt;
}

ca::Chain CertificatesOf(const IssuedSvid& svid) {
  auto chain = ca::ParseConcatenatedDer(svid.ChainDer(), ca::kMaxChainLength);
  CHECK_TRUE(chain.has_value());  // it was made from certificates
  return *std::move(chain);
}

// What the node says about the validator; absent when it says nothing that can be understood.
std::optional<bool> IsDisabledBy(const core::Node& node) {
  const auto& fields = node.metadata().fields();
  const auto found = fields.find("disable_spiffe_cert_validation");
  if (found == fields.end()) return std::nullopt;
  switch (found->second.kind_case()) {
    case google::protobuf::Value::kBoolValue:
      return found->second.bool_value();
    case google::protobuf::Value::kStringValue:
      return ReadBool(found->second.string_value());
    default:
      return std::nullopt;
  }
}

bool KnowsValidator(const core::Node& node) {
  if (!node.user_agent_build_version().has_version()) return true;
  const auto& version = node.user_agent_build_version().version();
  return version.major_number() > 1 ||
         (version.major_number() == 1 && version.minor_number() >= 18);
}

std::string VersionOf(std::string_view kind, const std::vector<ByteView>& parts) {
  ca::Sha256Hasher hasher;
  hasher.Update(AsBytes(kind));
  for (const ByteView part : parts) {
    const std::string size = fmt::format("{}:", part.size());
    hasher.Update(AsBytes(size));
    hasher.Update(part);
  }
  const ca::Sha256Digest digest = hasher.Finish();
  return EncodeHex(ByteView(digest).first(kVersionBytes));
}

NamedSecret SvidSecret(std::string name, const IssuedSvid& svid) {
  NamedSecret made;
  made.secret.set_name(std::move(name));
  auto* certificate = made.secret.mutable_tls_certificate();
  certificate->mutable_certificate_chain()->set_inline_bytes(ca::ToPem(CertificatesOf(svid)));
  const SecretBytes key = ca::Pkcs8ToPem(svid.key);
  certificate->mutable_private_key()->set_inline_bytes(ToString(key.view()));
  made.version = VersionOf("svid", {svid.fingerprint});
  return made;
}

NamedSecret BundleSecret(std::string name, const std::vector<BundlePtr>& bundles,
                         ValidationForm form) {
  NamedSecret made;
  made.secret.set_name(std::move(name));
  auto* context = made.secret.mutable_validation_context();
  std::vector<ByteView> parts;
  tls::SPIFFECertValidatorConfig validator;
  for (const BundlePtr& bundle : bundles) {
    const std::string pem = ca::ToPem(bundle->bundle.X509Roots());
    parts.push_back(AsBytes(bundle->bundle.trust_domain.name()));
    parts.push_back(bundle->digest);
    if (form == ValidationForm::kPlain) {
      context->mutable_trusted_ca()->set_inline_bytes(pem);
      continue;
    }
    auto* trust_domain = validator.add_trust_domains();
    trust_domain->set_name(bundle->bundle.trust_domain.name());
    trust_domain->mutable_trust_bundle()->set_inline_bytes(pem);
  }
  if (form == ValidationForm::kSpiffe) {
    context->mutable_custom_validator_config()->set_name(std::string(kValidator));
    context->mutable_custom_validator_config()->mutable_typed_config()->PackFrom(validator);
  }
  made.version = VersionOf(form == ValidationForm::kPlain ? "plain" : "spiffe", parts);
  return made;
}

// Gathers what `names` stand for out of one view.
class Selector {
 public:
  Selector(const WorkloadView& view, const std::set<std::string>& names, ValidationForm form,
           const SdsOptions& options)
      : view_(view), form_(form), options_(options), everything_(names.empty()) {
    selection_.unknown = names;
  }

  SecretSelection Select() {
    selection_.kind = AnswerKind::kSend;
    AddBundle(view_.own_bundle->bundle.trust_domain.IdString(), view_.own_bundle);
    if (Takes(options_.default_bundle_name))
      selection_.secrets.push_back(
          BundleSecret(options_.default_bundle_name, {view_.own_bundle}, form_));
    if (Takes(options_.default_all_bundles_name)) AddAllBundles();
    for (const BundlePtr& bundle : view_.federated)
      AddBundle(bundle->bundle.trust_domain.IdString(), bundle);
    for (const Grant& grant : view_.grants) {
      if (&grant == &view_.grants.front() && Takes(options_.default_svid_name))
        AddSvid(options_.default_svid_name, grant);
      const std::string id = grant.entry->spiffe_id.ToString();
      if (everything_ || Takes(id)) AddSvid(id, grant);
    }
    if (selection_.kind == AnswerKind::kSend && selection_.secrets.empty() &&
        !selection_.missing.empty()) {
      selection_.kind = AnswerKind::kWait;
      selection_.status = Refusal(grpc::StatusCode::UNAVAILABLE, kNotIssuedYet);
    }
    return std::move(selection_);
  }

 private:
  // Whether it is asked for by exactly this name.
  bool Takes(const std::string& name) { return selection_.unknown.erase(name) > 0; }

  void AddBundle(const std::string& id, const BundlePtr& bundle) {
    if (everything_ || Takes(id)) selection_.secrets.push_back(BundleSecret(id, {bundle}, form_));
  }

  void AddAllBundles() {
    if (form_ == ValidationForm::kPlain) {
      selection_.kind = AnswerKind::kEnd;
      selection_.status = {grpc::StatusCode::INTERNAL,
                           "several trust domains in one validation context need Envoy's SPIFFE "
                           "certificate validator"};
      return;
    }
    std::map<identity::TrustDomain, BundlePtr> sorted;
    sorted.emplace(view_.own_bundle->bundle.trust_domain, view_.own_bundle);
    for (const BundlePtr& bundle : view_.federated)
      sorted.emplace(bundle->bundle.trust_domain, bundle);
    std::vector<BundlePtr> all;
    for (const auto& [name, bundle] : sorted) all.push_back(bundle);
    selection_.secrets.push_back(BundleSecret(options_.default_all_bundles_name, all, form_));
  }

  void AddSvid(const std::string& name, const Grant& grant) {
    if (grant.svid) {
      selection_.secrets.push_back(SvidSecret(name, *grant.svid));
    } else {
      selection_.missing.push_back(grant.entry->id);
    }
  }

  const WorkloadView& view_;
  const ValidationForm form_;
  const SdsOptions& options_;
  const bool everything_;
  SecretSelection selection_;
};

}  // namespace

ValidationForm FormFor(const core::Node& node, const SdsOptions& options) {
  const bool disabled = IsDisabledBy(node).value_or(options.disable_spiffe_cert_validation);
  return disabled || !KnowsValidator(node) ? ValidationForm::kPlain : ValidationForm::kSpiffe;
}

SecretSelection SelectSecrets(const WorkloadView& view, const std::set<std::string>& names,
                              ValidationForm form, const SdsOptions& options) {
  if (view.state == WorkloadView::State::kNotReady) {
    SecretSelection selection;
    IsGranted(view, &selection.kind, &selection.status);
    return selection;
  }
  return Selector(view, names, form, options).Select();
}

grpc::Status NotAuthorized(const std::set<std::string>& names) {
  constexpr std::size_t kMaxShown = 16;
  std::string list;
  std::size_t shown = 0;
  for (const std::string& name : names) {
    if (++shown > kMaxShown) break;
    list += fmt::format("{}\"{}\"", list.empty() ? "" : " ", EscapeForLog(name, 256));
  }
  return {grpc::StatusCode::INVALID_ARGUMENT,
          fmt::format("workload is not authorized for the requested identities [{}]", list)};
}

std::optional<ca::Sha256Digest> DigestOfView(const WorkloadView& view) {
  if (view.state == WorkloadView::State::kNotReady) return std::nullopt;
  ca::Sha256Hasher hasher;
  hasher.Update(view.own_bundle->digest);
  for (const BundlePtr& bundle : view.federated) {
    hasher.Update(AsBytes(bundle->bundle.trust_domain.name()));
    hasher.Update(bundle->digest);
  }
  for (const Grant& grant : view.grants) {
    hasher.Update(AsBytes(grant.entry->id));
    if (grant.svid) hasher.Update(grant.svid->fingerprint);
  }
  return hasher.Finish();
}

}  // namespace signet::agent
