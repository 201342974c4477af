#include "agent/files/file_content.h"

#include "ca/x509/certificate.h"

namespace signet::agent {
namespace {

constexpr std::size_t kMostCertificates = 16;

FilePlan Missing(std::string why, EntryPtr entry = nullptr) {
  FilePlan plan;
  plan.missing = std::move(why);
  plan.entry = std::move(entry);
  return plan;
}

const HeldEntry* FindHeld(const Snapshot& snapshot, const identity::SpiffeId& id, WallTime now) {
  const HeldEntry* found = nullptr;
  snapshot.entries.ForEach([&](const HeldEntry& held) {
    const AuthorizedEntry& entry = *held.entry;
    if (found == nullptr && entry.spiffe_id == id && !entry.store_svid && !entry.HasExpired(now))
      found = &held;
  });
  return found;
}

std::vector<ca::Certificate> Roots(const Snapshot& snapshot, const AuthorizedEntry& entry,
                                   bool federated) {
  std::vector<ca::Certificate> roots;
  const auto add = [&](const identity::TrustDomain& name) {
    const BundlePtr bundle = snapshot.FindBundle(name);
    if (!bundle) return;
    for (ca::Certificate& root : bundle->bundle.X509Roots()) roots.push_back(std::move(root));
  };
  add(snapshot.trust_domain);
  if (!federated) return roots;
  for (const identity::TrustDomain& name : entry.federates_with)
    if (name != snapshot.trust_domain) add(name);
  return roots;
}

}  // namespace

FilePlan PlanFiles(const Snapshot& snapshot, const FileSetOptions& options, WallTime now) {
  if (!snapshot.synced) return Missing("entries were never received");
  const HeldEntry* held = FindHeld(snapshot, options.spiffe_id, now);
  if (held == nullptr) return Missing("no entry of this agent grants it");
  if (snapshot.IsDenied(options.spiffe_id, now)) return Missing("it is revoked", held->entry);
  if (!held->svid || held->svid->not_after <= now || snapshot.IsDenied(*held->svid, now))
    return Missing("its SVID is not minted yet", held->entry);
  const auto chain = ca::ParseConcatenatedDer(held->svid->ChainDer(), kMostCertificates);
  if (!chain) return Missing(chain.error().Message(), held->entry);
  const auto roots = Roots(snapshot, *held->entry, options.federated);
  FilePlan plan;
  plan.entry = held->entry;
  plan.files = files::PlanFiles(options.files, {*chain, held->svid->key, roots});
  return plan;
}

}  // namespace signet::agent
