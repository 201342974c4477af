#include "agent/cache/snapshot.h"

#include <algorithm>
#include <tuple>

namespace signet::agent {
namespace {

// The order of authorities says nothing, so it must not look like a change.
std::string OrderedJwks(identity::Bundle bundle) {
  std::sort(bundle.jwt_authorities.begin(), bundle.jwt_authorities.end(),
            [](const auto& a, const auto& b) {
              return std::tie(a.key_id, a.public_key) < std::tie(b.key_id, b.public_key);
            });
  return identity::FormatJwtBundle(bundle);
}

}  // namespace

ServedBundle::ServedBundle(identity::Bundle b)
    : bundle(std::move(b)),
      x509_der(ca::ConcatenateDer(bundle.X509Roots())),
      digest(ca::Sha256(x509_der)),
      jwks(OrderedJwks(bundle)) {}

BundlePtr Snapshot::FindBundle(const identity::TrustDomain& name) const {
  const auto found = bundles.find(name);
  return found == bundles.end() ? nullptr : found->second;
}

}  // namespace signet::agent
