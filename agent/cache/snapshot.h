// What the agent serves at one moment: entries, their SVIDs, and bundles. Immutable; every change
// makes a new one (cache.h), so a reader sees entries, SVIDs and bundles that belong together.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "agent/cache/entry_set.h"
#include "ca/x509/certificate.h"
#include "identity/bundle/bundle.h"

namespace signet::agent {

// An X.509-SVID with its key, as minted for one version of one entry.
struct IssuedSvid {
  identity::SpiffeId id;
  ca::Chain chain;  // leaf first, without the root
  Bytes chain_der;  // the same, concatenated DER
  SecretBytes key;  // PKCS#8 DER
  std::int64_t entry_revision = 0;
  std::int64_t entry_created_at = 0;

  const ca::Certificate& leaf() const { return chain.front(); }
  WallTime not_before() const { return leaf().not_before(); }
  WallTime not_after() const { return leaf().not_after(); }
  bool IsFor(const AuthorizedEntry& entry) const {
    return entry_revision == entry.revision_number && entry_created_at == entry.created_at;
  }
};
using SvidPtr = std::shared_ptr<const IssuedSvid>;

// A bundle in the form workloads get it.
struct ServedBundle {
  explicit ServedBundle(identity::Bundle b);
  identity::Bundle bundle;
  Bytes x509_der;           // X.509 authorities, concatenated DER, in the bundle's order
  ca::Sha256Digest digest;  // over x509_der
};
using BundlePtr = std::shared_ptr<const ServedBundle>;

struct Snapshot {
  identity::TrustDomain trust_domain;
  bool synced = false;         // entries are known: from the server, or kept from before a restart
  std::uint64_t revision = 0;  // as in signet.sync.v1; 0 when the server does not count
  std::shared_ptr<const EntrySet> entries = EntrySet::Create({});
  std::vector<SvidPtr> svids;  // one per entry, same positions; null: none yet, or expired
  std::map<identity::TrustDomain, BundlePtr> bundles;

  // Null when not known.
  BundlePtr FindBundle(const identity::TrustDomain& trust_domain) const;
};
using SnapshotPtr = std::shared_ptr<const Snapshot>;

}  // namespace signet::agent
