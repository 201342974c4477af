#include "agent/endpoints/workload_answers.h"
#include "agent/endpoints/refusal.h"

#include <google/protobuf/util/json_util.h>

#include <nlohmann/json.hpp>

namespace signet::agent {
namespace {

void Mark(ca::Sha256Hasher* hasher, ByteView part) {
  const std::uint64_t size = part.size();
  hasher->Update(ByteView(reinterpret_cast<const std::uint8_t*>(&size), sizeof size));
  hasher->Update(part);
}

void Mark(ca::Sha256Hasher* hasher, const ServedBundle& bundle) {
  Mark(hasher, AsBytes(bundle.bundle.trust_domain.name()));
  Mark(hasher, bundle.digest);
}

grpc::Status NoIdentity() {
  return Refusal(grpc::StatusCode::PERMISSION_DENIED, kNoIdentityIssued);
}

grpc::Status Invalid(const std::string& text) { return {grpc::StatusCode::INVALID_ARGUMENT, text}; }

// The same for bundles, which a switch opens to callers whom no entry is for.
bool IsVerifier(const WorkloadView& view, UnregisteredCallers unregistered, AnswerKind* kind,
                grpc::Status* status) {
  return (view.state == WorkloadView::State::kDenied &&
          unregistered == UnregisteredCallers::kOwnBundle) ||
         IsGranted(view, kind, status);
}

identity::BundleMap BundlesOf(const WorkloadView& view) {
  identity::BundleMap bundles;
  bundles.emplace(view.own_bundle->bundle.trust_domain, view.own_bundle->bundle);
  for (const BundlePtr& bundle : view.federated)
    bundles.emplace(bundle->bundle.trust_domain, bundle->bundle);
  return bundles;
}

}  // namespace

bool IsGranted(const WorkloadView& view, AnswerKind* kind, grpc::Status* status) {
  switch (view.state) {
    case WorkloadView::State::kGranted:
      return true;
    case WorkloadView::State::kNotReady:
      *kind = AnswerKind::kNotReady;
      *status =
          Refusal(grpc::StatusCode::UNAVAILABLE, kAgentNotReady, "not in step with its server yet");
      return false;
    case WorkloadView::State::kDenied:
      *kind = AnswerKind::kEnd;
      *status = NoIdentity();
      return false;
  }
  return false;
}

Answer<X509SVIDResponse> AnswerX509Svid(const WorkloadView& view) {
  Answer<X509SVIDResponse> answer;
  if (!IsGranted(view, &answer.kind, &answer.status)) return answer;
  ca::Sha256Hasher hasher;
  const std::string own_bundle = ToString(view.own_bundle->x509_der);
  for (const Grant& grant : view.grants) {
    if (!grant.svid) continue;
    X509SVID* svid = answer.response.add_svids();
    svid->set_spiffe_id(grant.entry->spiffe_id.ToString());
    svid->set_x509_svid(ToString(grant.svid->ChainDer()));
    svid->set_x509_svid_key(ToString(grant.svid->key.view()));
    svid->set_bundle(own_bundle);
    svid->set_hint(grant.entry->hint);
    Mark(&hasher, grant.svid->fingerprint);
    Mark(&hasher, AsBytes(svid->hint()));
  }
  for (const BundlePtr& bundle : view.federated)
    (*answer.response.mutable_federated_bundles())[bundle->bundle.trust_domain.IdString()] =
        ToString(bundle->x509_der);
  Mark(&hasher, *view.own_bundle);
  for (const BundlePtr& bundle : view.federated) Mark(&hasher, *bundle);
  answer.fingerprint = hasher.Finish();
  answer.missing = view.Missing();
  answer.kind = answer.response.svids().empty() ? AnswerKind::kWait : AnswerKind::kSend;
  answer.status = Refusal(grpc::StatusCode::UNAVAILABLE, kNotIssuedYet);
  return answer;
}

Answer<X509BundlesResponse> AnswerX509Bundles(const WorkloadView& view,
                                              UnregisteredCallers unregistered) {
  Answer<X509BundlesResponse> answer;
  if (!IsVerifier(view, unregistered, &answer.kind, &answer.status)) return answer;
  ca::Sha256Hasher hasher;
  const auto add = [&](const ServedBundle& bundle) {
    (*answer.response.mutable_bundles())[bundle.bundle.trust_domain.IdString()] =
        ToString(bundle.x509_der);
    Mark(&hasher, bundle);
  };
  add(*view.own_bundle);
  for (const BundlePtr& bundle : view.federated) add(*bundle);
  answer.fingerprint = hasher.Finish();
  answer.kind = AnswerKind::kSend;
  return answer;
}

Answer<JWTBundlesResponse> AnswerJwtBundles(const WorkloadView& view,
                                            UnregisteredCallers unregistered) {
  Answer<JWTBundlesResponse> answer;
  if (!IsVerifier(view, unregistered, &answer.kind, &answer.status)) return answer;
  ca::Sha256Hasher hasher;
  const auto add = [&](const ServedBundle& bundle) {
    (*answer.response.mutable_bundles())[bundle.bundle.trust_domain.IdString()] = bundle.jwks;
    Mark(&hasher, AsBytes(bundle.bundle.trust_domain.name()));
    Mark(&hasher, AsBytes(bundle.jwks));
  };
  add(*view.own_bundle);
  for (const BundlePtr& bundle : view.federated) add(*bundle);
  answer.fingerprint = hasher.Finish();
  answer.kind = AnswerKind::kSend;
  return answer;
}

Answer<signet::mesh::v1::WatchResponse> AnswerDenials(const WorkloadView& view) {
  Answer<signet::mesh::v1::WatchResponse> answer;
  if (!IsGranted(view, &answer.kind, &answer.status)) return answer;
  answer.fingerprint = view.denials->digest();
  answer.response.set_version(ToString(*answer.fingerprint));
  answer.response.set_revision(view.denials_revision);
  for (const identity::DenialPtr& denial : view.denials->all()) {
    auto* added = answer.response.add_denials();
    added->set_id(denial->id);
    added->set_kind(static_cast<std::uint32_t>(denial->kind));
    added->set_subject(denial->subject);
    added->set_until(denial->until);
  }
  answer.kind = AnswerKind::kSend;
  return answer;
}

tl::expected<std::vector<std::string>, grpc::Status> ReadAudience(
    const google::protobuf::RepeatedPtrField<std::string>& audience) {
  std::vector<std::string> values;
  for (const std::string& value : audience)
    if (!value.empty()) values.push_back(value);
  if (values.empty()) return tl::unexpected(Invalid("audience must be specified"));
  if (values.size() > kMaxAudiences)
    return tl::unexpected(Invalid("more audiences than " + std::to_string(kMaxAudiences)));
  return values;
}

tl::expected<JwtQuestion, grpc::Status> ReadQuestion(const JWTSVIDRequest& request) {
  auto audience = ReadAudience(request.audience());
  if (!audience) return tl::unexpected(audience.error());
  JwtQuestion question{*std::move(audience)};
  if (request.spiffe_id().empty()) return question;
  auto id = identity::SpiffeId::Parse(request.spiffe_id());
  if (!id) return tl::unexpected(Invalid("invalid requested SPIFFE ID: " + id.error().Message()));
  question.spiffe_id = *std::move(id);
  return question;
}

tl::expected<ValidateJWTSVIDResponse, grpc::Status> ValidateJwt(
    const WorkloadView& view, const ValidateJWTSVIDRequest& request, WallTime now,
    const std::set<std::string, std::less<>>& foreign_claims) {
  if (request.audience().empty()) return tl::unexpected(Invalid("audience must be specified"));
  if (request.svid().empty()) return tl::unexpected(Invalid("svid must be specified"));
  if (view.state == WorkloadView::State::kNotReady)
    return tl::unexpected(grpc::Status(grpc::StatusCode::UNAVAILABLE,
                                       "the agent does not know its trust domain's bundle yet"));
  const auto svid = identity::ParseAndVerifyJwtSvid(
      request.svid(), BundlesOf(view), request.audience(), now, identity::kJwtSvidLeeway);
  if (!svid) return tl::unexpected(Invalid(svid.error().Message()));
  if (view.denials->Find(svid->id, {}, now) != nullptr)
    return tl::unexpected(Invalid(svid->id.ToString() + " is revoked"));
  nlohmann::json claims = nlohmann::json::parse(svid->claims_json, nullptr, false);
  if (svid->id.trust_domain() != view.own_bundle->bundle.trust_domain) {
    nlohmann::json told = nlohmann::json::object();
    for (const auto& [name, value] : claims.items())
      if (name == "sub" || name == "aud" || name == "exp" || foreign_claims.contains(name))
        told[name] = value;
    claims = std::move(told);
  }
  ValidateJWTSVIDResponse response;
  response.set_spiffe_id(svid->id.ToString());
  const auto converted =
      google::protobuf::util::JsonStringToMessage(claims.dump(), response.mutable_claims());
  if (!converted.ok()) return tl::unexpected(Invalid("a claim of the token cannot be told"));
  return response;
}

}  // namespace signet::agent
