#include "agent/endpoints/delegated_service.h"
#include "agent/endpoints/refusal.h"
#include "agent/endpoints/workload_answers.h"
#include "base/check.h"

namespace signet::agent::delegated {
namespace {

grpc::Status NotReady() {
  return Refusal(grpc::StatusCode::UNAVAILABLE, kAgentNotReady, "not in step with its server yet");
}

// All bundles the agent holds, by the ID of their trust domain.
template <class Response, class Add>
Answer<Response> AnswerBundles(const Snapshot& snapshot, Add add) {
  Answer<Response> answer;
  if (!snapshot.synced || !snapshot.FindBundle(snapshot.trust_domain)) {
    answer.kind = AnswerKind::kNotReady;
    answer.status = NotReady();
    return answer;
  }
  ca::Sha256Hasher hasher;
  for (const auto& [name, bundle] : snapshot.bundles) {
    hasher.Update(AsBytes(name.name() + "\n"));
    hasher.Update(add(&answer.response, name.IdString(), *bundle));
  }
  answer.fingerprint = hasher.Finish();
  answer.kind = AnswerKind::kSend;
  return answer;
}

void Write(const Grant& grant, api::X509SVIDWithKey* told) {
  auto* svid = told->mutable_x509_svid();
  svid->mutable_id()->set_trust_domain(grant.entry->spiffe_id.trust_domain().name());
  svid->mutable_id()->set_path(grant.entry->spiffe_id.path());
  const auto chain = ca::ParseConcatenatedDer(grant.svid->ChainDer(), ca::kMaxChainLength);
  CHECK_TRUE(chain.has_value());  // it was made from certificates
  for (const ca::Certificate& certificate : *chain)
    svid->add_cert_chain(ToString(certificate.der()));
  svid->set_expires_at(UnixSeconds(grant.svid->not_after));
  svid->set_hint(grant.entry->hint);
  told->set_x509_svid_key(ToString(grant.svid->key.view()));
}

}  // namespace

grpc::Status Authorize(const Snapshot& snapshot, const identity::SelectorSet& caller,
                       const Delegates& delegates, WallTime now) {
  const WorkloadView view = ViewFor(snapshot, caller, now, EqualHints::kAll);
  AnswerKind kind = AnswerKind::kEnd;
  grpc::Status status;
  if (!IsGranted(view, &kind, &status)) return status;
  for (const Grant& grant : view.grants)
    if (delegates.contains(grant.entry->spiffe_id)) return grpc::Status::OK;
  return Refusal(grpc::StatusCode::PERMISSION_DENIED, kNotDelegate);
}

tl::expected<identity::SelectorSet, grpc::Status> ReadSelectors(
    const google::protobuf::RepeatedPtrField<spire::api::types::Selector>& selectors) {
  std::vector<identity::Selector> read;
  for (const auto& selector : selectors) {
    if (selector.type().empty() || selector.value().empty() ||
        selector.type().find(':') != std::string::npos)
      return tl::unexpected(
          grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "could not parse provided selectors"));
    read.push_back({selector.type(), selector.value()});
  }
  return identity::MakeSelectorSet(std::move(read));
}

Answer<api::SubscribeToX509SVIDsResponse> AnswerX509Svids(const WorkloadView& view) {
  Answer<api::SubscribeToX509SVIDsResponse> answer;
  if (view.state == WorkloadView::State::kNotReady) {
    answer.kind = AnswerKind::kNotReady;
    answer.status = NotReady();
    return answer;
  }
  ca::Sha256Hasher hasher;
  for (const BundlePtr& bundle : view.federated) {
    answer.response.add_federates_with(bundle->bundle.trust_domain.IdString());
    hasher.Update(AsBytes(bundle->bundle.trust_domain.name() + "\n"));
  }
  for (const Grant& grant : view.grants) {
    if (grant.entry->admin || grant.entry->downstream) continue;
    if (!grant.svid) {
      answer.missing.push_back(grant.entry->id);
      continue;
    }
    Write(grant, answer.response.add_x509_svids());
    hasher.Update(grant.svid->fingerprint);
    hasher.Update(AsBytes(grant.entry->hint + "\n"));
  }
  answer.fingerprint = hasher.Finish();
  answer.kind = AnswerKind::kSend;
  return answer;
}

Answer<api::SubscribeToX509BundlesResponse> AnswerX509Bundles(const Snapshot& snapshot) {
  using Response = api::SubscribeToX509BundlesResponse;
  return AnswerBundles<Response>(
      snapshot, [](Response* response, const std::string& id, const ServedBundle& bundle) {
        (*response->mutable_ca_certificates())[id] = ToString(bundle.x509_der);
        return ByteView(bundle.x509_der);
      });
}

Answer<api::SubscribeToJWTBundlesResponse> AnswerJwtBundles(const Snapshot& snapshot) {
  using Response = api::SubscribeToJWTBundlesResponse;
  return AnswerBundles<Response>(
      snapshot, [](Response* response, const std::string& id, const ServedBundle& bundle) {
        (*response->mutable_bundles())[id] = bundle.jwks;
        return AsBytes(bundle.jwks);
      });
}

}  // namespace signet::agent::delegated
