// What the agent serves at one moment: entries, their SVIDs, and bundles. Immutable; every change
// makes a new one (cache.h), so a reader sees entries, SVIDs and bundles that belong together.
#pragma once

#include <map>
#include <memory>

#include "agent/cache/entry_set.h"
#include "identity/bundle/bundle.h"
#include "identity/svid/denial.h"

namespace signet::agent {

// A bundle in the form workloads get it.
struct ServedBundle {
  explicit ServedBundle(identity::Bundle b);
  identity::Bundle bundle;
  Bytes x509_der;           // X.509 authorities, concatenated DER, in the bundle's order
  ca::Sha256Digest digest;  // over x509_der
  std::string jwks;         // JWT authorities as a JWKS, in the order of their key IDs
};
using BundlePtr = std::shared_ptr<const ServedBundle>;

struct Snapshot {
  identity::TrustDomain trust_domain;
  bool synced = false;         // entries are known: from the server, or kept from before a restart
  std::uint64_t revision = 0;  // as in signet.sync.v1; 0 when the server does not count
  EntrySet entries;            // with their SVIDs
  std::map<identity::TrustDomain, BundlePtr> bundles;
  identity::DenialSetPtr denials = identity::DenialSet::Create({});
  std::uint64_t denials_revision = 0;  // of the server; 0: it never said any

  // Nothing is served under this ID, or with this SVID.
  bool IsDenied(const identity::SpiffeId& id, WallTime now) const {
    return denials->Find(id, {}, now) != nullptr;
  }
  bool IsDenied(const IssuedSvid& svid, WallTime now) const {
    return denials->Find(svid.id, svid.SerialHex(), now) != nullptr;
  }

  // Null when not known.
  BundlePtr FindBundle(const identity::TrustDomain& trust_domain) const;
};
using SnapshotPtr = std::shared_ptr<const Snapshot>;

}  // namespace signet::agent
