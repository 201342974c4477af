#include "agent/files/file_content.h"

#include "ca/crypto/pem.h"
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

SecretBytes Joined(const SecretBytes& first, std::string_view second) {
  SecretBytes joined(first.size() + second.size());
  const auto to = joined.mutable_view();
  std::copy(first.view().begin(), first.view().end(), to.begin());
  std::copy(second.begin(), second.end(), to.begin() + static_cast<std::ptrdiff_t>(first.size()));
  return joined;
}

std::string BundlePem(const Snapshot& snapshot, const AuthorizedEntry& entry, bool federated) {
  std::string pem;
  const auto add = [&](const identity::TrustDomain& name) {
    if (const BundlePtr bundle = snapshot.FindBundle(name))
      pem += ca::ToPem(bundle->bundle.X509Roots());
  };
  add(snapshot.trust_domain);
  if (!federated) return pem;
  for (const identity::TrustDomain& name : entry.federates_with)
    if (name != snapshot.trust_domain) add(name);
  return pem;
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
  const std::string certificate = ca::ToPem(*chain);
  const SecretBytes key = ca::Pkcs8ToPem(held->svid->key);
  FilePlan plan;
  plan.entry = held->entry;
  const auto add = [&](const std::string& path, SecretBytes content, const FileAccess& access) {
    if (!path.empty()) plan.files.push_back({path, std::move(content), access});
  };
  add(options.bundle, SecretBytes(AsBytes(BundlePem(snapshot, *held->entry, options.federated))),
      options.open);
  add(options.combined, Joined(key, certificate), options.secret);
  add(options.key, SecretBytes(key.view()), options.secret);
  add(options.certificate, SecretBytes(AsBytes(certificate)), options.open);
  return plan;
}

}  // namespace signet::agent
