// Entries, SVIDs and deltas for tests of the agent, in few words.
#pragma once

#include <string>
#include <vector>

#include "agent/cache/cache.h"
#include "agent/cache/minter.h"
#include "ca/x509/request.h"
#include "tests/support/signing_authority.h"

namespace signet::agent::test {

inline identity::TrustDomain ExampleOrg() { return *identity::TrustDomain::Parse("example.org"); }

inline identity::SelectorSet Selectors(const std::vector<std::string>& texts) {
  std::vector<identity::Selector> selectors;
  for (const std::string& text : texts) selectors.push_back(*identity::Selector::Parse(text));
  return identity::MakeSelectorSet(std::move(selectors));
}

inline AuthorizedEntry Entry(const std::string& id, const std::string& path,
                             const std::vector<std::string>& selectors) {
  AuthorizedEntry entry;
  entry.id = id;
  entry.spiffe_id = *identity::SpiffeId::Parse("spiffe://example.org" + path);
  entry.selectors = Selectors(selectors);
  entry.created_at = 1000;
  return entry;
}

inline Delta Full(std::uint64_t revision, std::vector<AuthorizedEntry> entries,
                  std::vector<identity::Bundle> bundles = {}) {
  Delta delta;
  delta.revision = revision;
  delta.full = true;
  delta.upserts = std::move(entries);
  delta.bundles = std::move(bundles);
  return delta;
}

inline Delta Change(std::uint64_t revision, std::vector<AuthorizedEntry> entries,
                    std::vector<std::string> removed = {}) {
  Delta delta;
  delta.revision = revision;
  delta.upserts = std::move(entries);
  delta.removed_entries = std::move(removed);
  return delta;
}

// An SVID as the minter would have made it.
inline SvidPtr Svid(const signet::test::SigningAuthority& authority, const AuthorizedEntry& entry,
                    WallTime not_before, WallTime not_after) {
  const auto key = ca::PrivateKey::Generate(ca::KeyType::kEcP256);
  const ca::Chain chain =
      authority.Certify(key->public_key(), entry.spiffe_id.ToString(), not_before, not_after);
  static IssuerPool issuers;
  auto svid = std::make_shared<IssuedSvid>();
  svid->id = entry.spiffe_id;
  svid->leaf_der = ToBytes(chain.front().der());
  svid->issuers = issuers.Of(chain);
  svid->key = key->ToPkcs8();
  svid->not_before = not_before;
  svid->not_after = not_after;
  svid->fingerprint = chain.front().fingerprint();
  svid->entry_revision = entry.revision_number;
  svid->entry_created_at = entry.created_at;
  return svid;
}

}  // namespace signet::agent::test
