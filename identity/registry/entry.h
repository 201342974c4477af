// A registration entry: which workloads (selectors) on which agents (parent) get which identity.
// And what the registry refuses in one. SPIRE's semantics; texts name the field.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "identity/spiffe/selector.h"
#include "identity/spiffe/spiffe_id.h"

namespace signet::identity {

inline constexpr Reason kEntryInvalid{"invalid entry"};
inline constexpr Reason kEntryExists{"similar entry already exists"};
inline constexpr Reason kEntryNotFound{"entry not found"};

struct Entry {
  std::string id;                  // at most 255 of [a-zA-Z0-9-._]; a UUID unless the caller chose
  SpiffeId spiffe_id;              // with a path
  SpiffeId parent_id;              // an agent, an alias, or ServerId() for node entries
  SelectorSet selectors;           // at least one
  std::int32_t x509_svid_ttl = 0;  // seconds; 0: the server's default
  std::int32_t jwt_svid_ttl = 0;
  std::vector<TrustDomain> federates_with;  // sorted, no repetition
  bool admin = false;
  bool downstream = false;
  std::int64_t expires_at = 0;         // Unix seconds; 0: never
  std::vector<std::string> dns_names;  // order kept
  std::int64_t revision_number = 0;    // counts the entry's updates
  bool store_svid = false;
  std::string hint;             // at most 1024 bytes
  std::int64_t created_at = 0;  // Unix seconds
  bool disable_x509_svid_prefetch = false;
  bool jwt_svid_include_jti = false;

  friend bool operator==(const Entry&, const Entry&) = default;
};

// Which fields an update or an answer takes; true is taken.
struct EntryMask {
  bool spiffe_id = true, parent_id = true, selectors = true, x509_svid_ttl = true,
       federates_with = true, admin = true, downstream = true, expires_at = true, dns_names = true,
       revision_number = true, store_svid = true, jwt_svid_ttl = true, hint = true,
       created_at = true, additional_attributes = true;
};

// The rules that need no registry: formats, limits, combinations. Fails with kEntryInvalid.
Status CheckEntry(const Entry& entry, const TrustDomain& trust_domain);
// The same for the fields of `mask` alone, as an update brings them; combinations of fields are not
// checked.
Status CheckEntry(const Entry& entry, const TrustDomain& trust_domain, const EntryMask& mask);
// With store_svid all selectors are of one type. Fails with kEntryInvalid.
Status CheckStoreSvidSelectors(const Entry& entry);

enum class MatchBehavior { kExact, kSubset, kSuperset, kAny };

struct EntryFilter {
  std::optional<SpiffeId> spiffe_id;
  std::optional<SpiffeId> parent_id;
  struct Selectors {
    SelectorSet selectors;
    MatchBehavior match = MatchBehavior::kExact;
  };
  std::optional<Selectors> selectors;
  struct FederatesWith {
    std::vector<TrustDomain> trust_domains;  // sorted
    MatchBehavior match = MatchBehavior::kExact;
  };
  std::optional<FederatesWith> federates_with;
  std::optional<std::string> hint;  // empty: no filter, as in SPIRE
  std::optional<bool> downstream;   // true: only those; false: no filter, as in SPIRE
};
bool Matches(const Entry& entry, const EntryFilter& filter);

}  // namespace signet::identity
