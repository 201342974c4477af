// What processes on the node send to Envoy's secret discovery: a request is answered with what the
// caller may have, and nothing else, whatever it holds.
#include "agent/endpoints/sds_delta_stream.h"
#include "agent/endpoints/sds_stream.h"
#include "base/check.h"

namespace {

using namespace signet;
using namespace signet::agent;
namespace discovery = envoy::service::discovery::v3;

// A caller with one identity and the bundle it belongs to, neither with a certificate: what is
// selected does not depend on what is in it.
const WorkloadView& View() {
  static const WorkloadView view = [] {
    identity::Bundle bundle;
    bundle.trust_domain = identity::TrustDomain::Parse("example.org").value();
    auto entry = std::make_shared<AuthorizedEntry>();
    entry->id = "1";
    entry->spiffe_id = identity::SpiffeId::Parse("spiffe://example.org/one").value();
    WorkloadView made;
    made.state = WorkloadView::State::kGranted;
    made.grants.push_back({std::move(entry), nullptr});
    made.own_bundle = std::make_shared<const ServedBundle>(std::move(bundle));
    return made;
  }();
  return view;
}

bool MayHave(const std::string& name) {
  return name == "ROOTCA" || name == "ALL" || name == "spiffe://example.org";
}

void Fetch(ByteView input) {
  const SdsOptions options;
  discovery::DiscoveryRequest request;
  if (!request.ParseFromArray(input.data(), static_cast<int>(input.size()))) return;
  const auto answer = AnswerSecrets(View(), request, options);
  if (answer.kind != AnswerKind::kSend) return;
  for (const auto& packed : answer.response.resources()) {
    envoy::extensions::transport_sockets::tls::v3::Secret secret;
    CHECK_TRUE(packed.UnpackTo(&secret) && MayHave(secret.name()));
  }
}

void Subscribe(ByteView input) {
  const SdsOptions options;
  DeltaSubscription::Request request;
  if (!request.ParseFromArray(input.data(), static_cast<int>(input.size()))) return;
  DeltaSubscription subscription;
  for (int turn = 0; turn < 2; ++turn) {
    if (!subscription.Take(request)) return;
    CHECK_TRUE(subscription.names().size() <= kMaxSecretNames);
    const auto selection =
        SelectSecrets(View(), subscription.names(), FormFor(request.node(), options), options);
    if (const auto changes = subscription.Changes(selection)) {
      for (const auto& resource : changes->resources()) CHECK_TRUE(MayHave(resource.name()));
      subscription.NoteSent(*changes);
    }
    CHECK_TRUE(!subscription.Changes(selection));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const ByteView input(data + 1, size - 1);
  (data[0] % 2 == 0) ? Fetch(input) : Subscribe(input);
  return 0;
}
