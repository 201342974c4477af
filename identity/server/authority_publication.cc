#include "identity/server/authority_publication.h"

#include <algorithm>
#include <array>
#include <chrono>

namespace signet::identity {
namespace {

constexpr Duration kLongestMargin = std::chrono::hours(24);

// The margin after its end during which an authority still stands in the bundle.
template <class IsSame>
Duration MarginOf(std::span<const AuthorityRecord> records, IsSame&& is_same) {
  const auto found = std::find_if(records.begin(), records.end(), is_same);
  if (found == records.end()) return kLongestMargin;
  return std::min<Duration>(found->slot.not_after - found->slot.issued_at, kLongestMargin);
}

bool IsSame(const AuthorityRecord& record, const X509BundleAuthority& authority) {
  return record.type == kX509Authority && !record.chain.empty() &&
         Equal(record.chain.back(), authority.certificate.der());
}
bool IsSame(const AuthorityRecord& record, const JwtBundleAuthority& authority) {
  return record.type == kJwtAuthority && record.slot.id == authority.key_id &&
         record.public_key == authority.public_key;
}

WallTime EndOf(const X509BundleAuthority& authority) { return authority.certificate.not_after(); }
WallTime EndOf(const JwtBundleAuthority& authority) {
  // 0: no end is stated, so there is none; and one may be stated that WallTime cannot name.
  if (authority.expires_at == 0 || authority.expires_at > UnixSeconds(WallTime::max()))
    return WallTime::max();
  return FromUnixSeconds(std::max<std::int64_t>(authority.expires_at, 0));
}

template <class Authority>
bool IsPrunable(const Authority& authority, std::span<const AuthorityRecord> records,
                WallTime now) {
  const WallTime end = EndOf(authority);
  if (now < end) return false;
  return now - end >= MarginOf(records, [&](const AuthorityRecord& record) {
           return IsSame(record, authority);
         });
}

bool IsNamed(const X509BundleAuthority& authority, std::string_view id) {
  return EncodeHex(authority.certificate.subject_key_id()) == id;
}
bool IsNamed(const JwtBundleAuthority& authority, std::string_view id) {
  return authority.key_id == id;
}

template <class Authority>
Publication PublicationIn(const std::vector<Authority>& authorities, std::string_view id) {
  bool found = false, tainted = true;
  for (const Authority& authority : authorities) {
    if (!IsNamed(authority, id)) continue;
    found = true;
    tainted = tainted && authority.tainted;
  }
  if (!found) return Publication::kAbsent;
  return tainted ? Publication::kTainted : Publication::kTrusted;
}

template <class Authority>
void TaintIn(std::vector<Authority>& authorities, std::string_view id) {
  for (Authority& authority : authorities)
    authority.tainted = authority.tainted || IsNamed(authority, id);
}

template <class Authority>
void RevokeIn(std::vector<Authority>& authorities, std::string_view id) {
  std::erase_if(authorities, [&](const Authority& authority) { return IsNamed(authority, id); });
}

// What is there and tainted must not come back untainted.
void Merge(const std::vector<X509BundleAuthority>& added,
           std::vector<X509BundleAuthority>& authorities) {
  for (const auto& authority : added) {
    if (std::ranges::find(authorities, authority.certificate, &X509BundleAuthority::certificate) ==
        authorities.end())
      authorities.push_back(authority);
  }
}
void Merge(const std::vector<JwtBundleAuthority>& added,
           std::vector<JwtBundleAuthority>& authorities) {
  for (const auto& authority : added) {
    const auto is_same = [&](const JwtBundleAuthority& other) {
      return other.key_id == authority.key_id && other.public_key == authority.public_key &&
             (other.tainted || other.expires_at == authority.expires_at);
    };
    if (std::ranges::none_of(authorities, is_same)) authorities.push_back(authority);
  }
}

bool Uses(const AuthorityRecord& record, std::string_view type, ca::AuthorityState state,
          std::string_view key_id) {
  return record.type == type && record.slot.state == state && record.slot.key_id == key_id;
}

}  // namespace

bool IsPublished(const AuthorityRecord& record, const Bundle& bundle) {
  const auto is_same = [&](const auto& authority) { return IsSame(record, authority); };
  return std::any_of(bundle.x509_authorities.begin(), bundle.x509_authorities.end(), is_same) ||
         std::any_of(bundle.jwt_authorities.begin(), bundle.jwt_authorities.end(), is_same);
}

Status Publish(const AuthorityRecord& record, Bundle& bundle) {
  if (IsPublished(record, bundle)) return {};
  if (record.type == kJwtAuthority) {
    bundle.jwt_authorities.push_back({.key_id = record.slot.id,
                                      .public_key = record.public_key,
                                      .expires_at = UnixSeconds(record.slot.not_after),
                                      .tainted = record.slot.tainted});
    return {};
  }
  SIGNET_TRY(ca::Certificate certificate,
             ca::Certificate::Parse(record.chain.empty() ? Bytes() : record.chain.back()));
  bundle.x509_authorities.push_back(
      {.certificate = std::move(certificate), .tainted = record.slot.tainted});
  return {};
}

bool HasPrunable(const Bundle& bundle, std::span<const AuthorityRecord> records, WallTime now) {
  const auto prunable = [&](const auto& authority) { return IsPrunable(authority, records, now); };
  return std::any_of(bundle.x509_authorities.begin(), bundle.x509_authorities.end(), prunable) ||
         std::any_of(bundle.jwt_authorities.begin(), bundle.jwt_authorities.end(), prunable);
}

void PruneBundle(std::span<const AuthorityRecord> records, WallTime now, Bundle& bundle) {
  const auto prunable = [&](const auto& authority) { return IsPrunable(authority, records, now); };
  std::erase_if(bundle.x509_authorities, prunable);
  std::erase_if(bundle.jwt_authorities, prunable);
}

void AddAuthorities(const Bundle& added, Bundle& bundle) {
  Merge(added.x509_authorities, bundle.x509_authorities);
  Merge(added.jwt_authorities, bundle.jwt_authorities);
}

Publication PublicationOf(const Bundle& bundle, std::string_view type, std::string_view id) {
  return type == kX509Authority ? PublicationIn(bundle.x509_authorities, id)
                                : PublicationIn(bundle.jwt_authorities, id);
}

void TaintInBundle(std::string_view type, std::string_view id, Bundle& bundle) {
  if (type == kX509Authority) {
    TaintIn(bundle.x509_authorities, id);
  } else {
    TaintIn(bundle.jwt_authorities, id);
  }
}

void RevokeFromBundle(std::string_view type, std::string_view id, Bundle& bundle) {
  if (type == kX509Authority) {
    RevokeIn(bundle.x509_authorities, id);
  } else {
    RevokeIn(bundle.jwt_authorities, id);
  }
}

SlotView ViewSlots(std::string_view type, std::span<const AuthorityRecord> records) {
  SlotView view;
  const auto latest = [](std::optional<ca::AuthoritySlot>& slot, const ca::AuthoritySlot& other) {
    if (!slot || other.issued_at >= slot->issued_at) slot = other;
  };
  for (const AuthorityRecord& record : records) {
    if (record.type != type) continue;
    if (record.slot.state == ca::AuthorityState::kActive) latest(view.active, record.slot);
    if (record.slot.state == ca::AuthorityState::kPrepared) latest(view.prepared, record.slot);
  }
  if (view.prepared || !view.active) return view;
  // One with the key's name of the active authority was prepared and never used.
  for (const AuthorityRecord& record : records) {
    if (record.type == type && record.slot.state == ca::AuthorityState::kOld &&
        record.slot.key_id != view.active->key_id)
      latest(view.old, record.slot);
  }
  return view;
}

std::string ChooseKeyId(std::string_view type, std::span<const AuthorityRecord> records) {
  const std::array<std::string, 2> names =
      type == kJwtAuthority ? std::array<std::string, 2>{"JWT-Signer-A", "JWT-Signer-B"}
                            : std::array<std::string, 2>{"x509-CA-A", "x509-CA-B"};
  const auto used = [&](ca::AuthorityState state, const std::string& name) {
    return std::any_of(records.begin(), records.end(), [&](const AuthorityRecord& record) {
      return Uses(record, type, state, name);
    });
  };
  for (const std::string& name : names) {
    if (!used(ca::AuthorityState::kActive, name) && !used(ca::AuthorityState::kPrepared, name))
      return name;
  }
  return used(ca::AuthorityState::kActive, names[0]) ? names[1] : names[0];
}

}  // namespace signet::identity
