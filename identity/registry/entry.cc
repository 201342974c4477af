#include "identity/registry/entry.h"

#include <algorithm>

#include "identity/registry/dns_name.h"
#include "identity/registry/match.h"

namespace signet::identity {
namespace {

constexpr std::size_t kMaxEntryIdBytes = 255;
constexpr std::size_t kMaxHintBytes = 1024;

auto Invalid(std::string detail) {
  return Fail(Code::kInvalidArgument, kEntryInvalid, std::move(detail));
}

std::string Quoted(const SpiffeId& id) { return '"' + id.ToString() + '"'; }

Status CheckMember(const SpiffeId& id, const TrustDomain& trust_domain, const std::string& field) {
  if (id.empty()) return Invalid(field + ": request must specify SPIFFE ID");
  const std::string domain = "trust domain \"" + trust_domain.name() + "\"";
  if (!id.IsMemberOf(trust_domain))
    return Invalid(field + ": " + Quoted(id) + " is not a member of " + domain);
  if (id.path().empty()) {
    return Invalid(field + ": " + Quoted(id) + " is not a member of " + domain + "; path is empty");
  }
  return {};
}

Status CheckSpiffeId(const SpiffeId& id, const TrustDomain& trust_domain) {
  const std::string field = "invalid spiffe ID";
  SIGNET_RETURN_IF_ERROR(CheckMember(id, trust_domain, field));
  if (id.path() == "/spire" || id.path().starts_with("/spire/")) {
    return Invalid(field + ": " + Quoted(id) + " is not a workload in trust domain \"" +
                   trust_domain.name() + "\"; path is in the reserved namespace");
  }
  return {};
}

Status CheckSelectors(const SelectorSet& selectors) {
  if (selectors.empty()) return Invalid("selector list is empty");
  for (const Selector& selector : selectors) {
    if (selector.type.empty()) return Invalid("missing selector type");
    if (selector.type.find(':') != std::string::npos) return Invalid("selector type contains ':'");
    if (selector.value.empty()) return Invalid("missing selector value");
  }
  return {};
}

Status CheckDnsNames(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (const Status status = CheckDnsName(name); !status) return Invalid(status.error().Message());
  }
  return {};
}

Status CheckEntryId(const std::string& id) {
  if (id.size() > kMaxEntryIdBytes) return Invalid("invalid entry ID: longer than 255 characters");
  const auto refused = [](char c) {
    return !((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             c == '-' || c == '.' || c == '_');
  };
  if (std::any_of(id.begin(), id.end(), refused)) {
    return Invalid(
        "invalid entry ID: characters are limited to letters, numbers, dots, dashes, and "
        "underscores");
  }
  return {};
}

}  // namespace

Status CheckEntry(const Entry& entry, const TrustDomain& trust_domain, const EntryMask& mask) {
  if (mask.parent_id)
    SIGNET_RETURN_IF_ERROR(CheckMember(entry.parent_id, trust_domain, "invalid parent ID"));
  if (mask.spiffe_id) SIGNET_RETURN_IF_ERROR(CheckSpiffeId(entry.spiffe_id, trust_domain));
  if (mask.dns_names) SIGNET_RETURN_IF_ERROR(CheckDnsNames(entry.dns_names));
  if (mask.selectors) SIGNET_RETURN_IF_ERROR(CheckSelectors(entry.selectors));
  if (mask.x509_svid_ttl && entry.x509_svid_ttl < 0)
    return Invalid("invalid X509-SVID TTL: it is negative");
  if (mask.jwt_svid_ttl && entry.jwt_svid_ttl < 0)
    return Invalid("invalid JWT-SVID TTL: it is negative");
  if (mask.hint && entry.hint.size() > kMaxHintBytes) {
    return Invalid("invalid hint: longer than 1024 bytes");
  }
  return {};
}

Status CheckStoreSvidSelectors(const Entry& entry) {
  const auto other_type = [&](const Selector& selector) {
    return selector.type != entry.selectors.front().type;
  };
  if (entry.store_svid && std::any_of(entry.selectors.begin(), entry.selectors.end(), other_type)) {
    return Invalid("selector types must be the same when store SVID is enabled");
  }
  return {};
}

Status CheckEntry(const Entry& entry, const TrustDomain& trust_domain) {
  SIGNET_RETURN_IF_ERROR(CheckEntryId(entry.id));
  SIGNET_RETURN_IF_ERROR(CheckEntry(entry, trust_domain, EntryMask{}));
  SIGNET_RETURN_IF_ERROR(CheckStoreSvidSelectors(entry));
  if (entry.store_svid && entry.disable_x509_svid_prefetch) {
    return Invalid("disabling the X509-SVID prefetch is incompatible with storable SVIDs");
  }
  return {};
}

bool Matches(const Entry& entry, const EntryFilter& filter) {
  if (filter.spiffe_id && entry.spiffe_id != *filter.spiffe_id) return false;
  if (filter.parent_id && entry.parent_id != *filter.parent_id) return false;
  if (filter.selectors &&
      !MatchesSet(entry.selectors, filter.selectors->selectors, filter.selectors->match)) {
    return false;
  }
  if (filter.federates_with &&
      !MatchesSet(entry.federates_with, filter.federates_with->trust_domains,
                  filter.federates_with->match)) {
    return false;
  }
  if (filter.hint && !filter.hint->empty() && entry.hint != *filter.hint) return false;
  return entry.downstream || !filter.downstream.value_or(false);
}

}  // namespace signet::identity
