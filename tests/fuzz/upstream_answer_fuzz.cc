// What a server above or an agent answers, from any bytes: the bundle, a grant, keys, an identity.
#include "base/check.h"
#include "identity/server/upstream_messages.h"
#include "identity/workload/workload_response.h"
#include "spiffe/workload.pb.h"
#include "spire/api/server/bundle/v1/bundle.pb.h"

using namespace signet;            // NOLINT: a fuzz target is a program of its own
using namespace signet::identity;  // NOLINT

namespace {

void ReadIdentity(const std::uint8_t* data, int size) {
  X509SVIDResponse response;
  if (!response.ParseFromArray(data, size)) return;
  const auto workload = ReadX509SvidResponse(&response, FromUnixSeconds(1767225600));
  if (workload) {
    CHECK_TRUE(!workload->tls.chain.empty() && workload->tls.key != nullptr);
    CHECK_TRUE(!workload->bundles.at(workload->id.trust_domain()).x509_authorities.empty());
  }
  for (const X509SVID& svid : response.svids())
    for (const char byte : svid.x509_svid_key()) CHECK_TRUE(byte == 0);  // wiped either way
}

}  // namespace

// The first byte chooses the message.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const TrustDomain trust_domain = TrustDomain::Parse("example.org").value();
  if (size == 0) return 0;
  const int length = static_cast<int>(size) - 1;
  switch (data[0] % 4) {
    case 0:
      ReadIdentity(data + 1, length);
      break;
    case 1: {
      spire::api::types::Bundle bundle;
      if (!bundle.ParseFromArray(data + 1, length)) break;
      const auto trust = ReadUpstreamTrust(bundle, trust_domain);
      CHECK_TRUE(!trust || (trust->is_whole && !trust->x509.empty()));
      break;
    }
    case 2: {
      spire::api::server::svid::v1::NewDownstreamX509CAResponse answer;
      if (!answer.ParseFromArray(data + 1, length)) break;
      const auto grant = ReadUpstreamGrant(answer);
      CHECK_TRUE(!grant || (!grant->chain.empty() && !grant->roots.empty()));
      break;
    }
    default: {
      spire::api::server::bundle::v1::PublishJWTAuthorityResponse answer;
      if (answer.ParseFromArray(data + 1, length)) (void)ReadUpstreamKeys(answer.jwt_authorities());
      break;
    }
  }
  return 0;
}
