#include "agent/cache/snapshot.h"

namespace signet::agent {

ServedBundle::ServedBundle(identity::Bundle b)
    : bundle(std::move(b)),
      x509_der(ca::ConcatenateDer(bundle.X509Roots())),
      digest(ca::Sha256(x509_der)) {}

BundlePtr Snapshot::FindBundle(const identity::TrustDomain& name) const {
  const auto found = bundles.find(name);
  return found == bundles.end() ? nullptr : found->second;
}

}  // namespace signet::agent
