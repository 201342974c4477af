#include "agent/endpoints/answers.h"

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

// Whether there is an answer to be made at all; else `answer` is complete.
template <class Response>
bool IsGranted(const WorkloadView& view, Answer<Response>* answer) {
  switch (view.state) {
    case WorkloadView::State::kGranted:
      return true;
    case WorkloadView::State::kNotReady:
      answer->kind = AnswerKind::kNotReady;
      answer->status = {grpc::StatusCode::UNAVAILABLE,
                        "the agent is not ready: not in step with its server yet"};
      return false;
    case WorkloadView::State::kDenied:
      answer->kind = AnswerKind::kEnd;
      answer->status = {grpc::StatusCode::PERMISSION_DENIED, "no identity issued"};
      return false;
  }
  return false;
}

}  // namespace

Answer<X509SVIDResponse> AnswerX509Svid(const WorkloadView& view) {
  Answer<X509SVIDResponse> answer;
  if (!IsGranted(view, &answer)) return answer;
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
  answer.status = {grpc::StatusCode::UNAVAILABLE, "the X.509-SVID has not been issued yet"};
  return answer;
}

Answer<X509BundlesResponse> AnswerX509Bundles(const WorkloadView& view) {
  Answer<X509BundlesResponse> answer;
  if (!IsGranted(view, &answer)) return answer;
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

}  // namespace signet::agent
