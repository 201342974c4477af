#include "identity/server/upstream_trust.h"

#include <algorithm>

#include "identity/server/authority_publication.h"

namespace signet::identity {
namespace {

template <class Authorities>
auto FindRoot(Authorities& authorities, const ca::Certificate& root) {
  return std::ranges::find(authorities, root, &X509BundleAuthority::certificate);
}

bool IsOwnRoot(const ca::Certificate& root, std::span<const AuthorityRecord> records) {
  return std::ranges::any_of(records, [&](const AuthorityRecord& record) {
    return record.type == kX509Authority && record.chain.size() == 1 &&
           Equal(record.chain.front(), root.der());
  });
}

bool IsOwnJwt(const JwtBundleAuthority& key, std::span<const AuthorityRecord> records) {
  return std::ranges::any_of(records, [&](const AuthorityRecord& record) {
    return record.type == kJwtAuthority && record.slot.id == key.key_id;
  });
}

void FollowRoots(const Bundle& own, const UpstreamTrust& above, const UpstreamHistory& seen,
                 std::span<const AuthorityRecord> records, TrustSteps* steps) {
  for (const X509BundleAuthority& held : own.x509_authorities) {
    const ca::Certificate& root = held.certificate;
    if (IsOwnRoot(root, records)) continue;
    const auto said = FindRoot(above.x509, root);
    const bool is_gone = above.is_whole && said == above.x509.end() &&
                         (held.tainted || seen.roots.contains(ToBytes(root.der())));
    const bool is_tainted = said != above.x509.end() && said->tainted;
    if (!held.tainted && (is_tainted || is_gone)) steps->tainted_roots.push_back(root);
    if (is_gone && held.tainted) steps->gone_roots.push_back(root);
  }
}

void FollowJwtKeys(const Bundle& own, const UpstreamTrust& above, const UpstreamHistory& seen,
                   std::span<const AuthorityRecord> records, TrustSteps* steps) {
  for (const JwtBundleAuthority& held : own.jwt_authorities) {
    if (IsOwnJwt(held, records)) continue;
    const auto said = std::ranges::find(above.jwt, held.key_id, &JwtBundleAuthority::key_id);
    if (said != above.jwt.end()) {
      if (said->tainted && !held.tainted) steps->tainted_jwt_keys.push_back(held.key_id);
    } else if (above.is_whole && (held.tainted || seen.jwt_keys.contains(held.key_id))) {
      steps->gone_jwt_keys.push_back(held.key_id);
    }
  }
}

}  // namespace

void UpstreamHistory::Add(const UpstreamTrust& trust) {
  for (const X509BundleAuthority& root : trust.x509) roots.insert(ToBytes(root.certificate.der()));
  for (const JwtBundleAuthority& key : trust.jwt) jwt_keys.insert(key.key_id);
}

TrustSteps FollowUpstream(const Bundle& own, const UpstreamTrust& above,
                          const UpstreamHistory& seen, std::span<const AuthorityRecord> records,
                          WallTime now) {
  TrustSteps steps;
  for (const X509BundleAuthority& root : above.x509) {
    if (root.certificate.not_after() > now &&
        FindRoot(own.x509_authorities, root.certificate) == own.x509_authorities.end())
      steps.added.x509_authorities.push_back(root);
  }
  for (const JwtBundleAuthority& key : above.jwt) {
    const bool has_ended = key.expires_at != 0 && key.expires_at <= UnixSeconds(now);
    const bool is_held =
        std::ranges::any_of(own.jwt_authorities, [&](const JwtBundleAuthority& held) {
          return held.key_id == key.key_id && held.public_key == key.public_key;
        });
    if (!has_ended && !is_held && !IsOwnJwt(key, records))
      steps.added.jwt_authorities.push_back(key);
  }
  FollowRoots(own, above, seen, records, &steps);
  FollowJwtKeys(own, above, seen, records, &steps);
  return steps;
}

std::string UpstreamIdOf(const AuthorityRecord& record) {
  if (record.type != kX509Authority || record.chain.size() < 2) return {};
  const auto root = ca::Certificate::Parse(record.chain.back());
  return root ? EncodeHex(root->subject_key_id()) : std::string();
}

bool IsBelow(const AuthorityRecord& record, std::span<const ca::Certificate> roots) {
  return record.type == kX509Authority && record.chain.size() > 1 &&
         std::ranges::any_of(roots, [&](const ca::Certificate& root) {
           return Equal(record.chain.back(), root.der());
         });
}

}  // namespace signet::identity
