// What a registration entry means to an agent.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "identity/spiffe/selector.h"
#include "identity/spiffe/spiffe_id.h"

namespace signet::agent {

struct AuthorizedEntry {
  std::string id;
  identity::SpiffeId spiffe_id;
  identity::SelectorSet selectors;
  std::vector<identity::TrustDomain> federates_with;
  std::int64_t revision_number = 0;
  std::int64_t created_at = 0;  // Unix seconds
  std::int64_t expires_at = 0;  // Unix seconds; 0: never
  std::string hint;
  bool store_svid = false;  // kept by a store plug-in, not granted to workloads
  bool disable_x509_svid_prefetch = false;
  // What JWT-SVIDs and the delegated identity API go by.
  std::int32_t jwt_svid_ttl = 0;  // seconds; 0: the server's default
  bool jwt_svid_include_jti = false;
  bool admin = false;
  bool downstream = false;

  // Any update raises the revision, also one of fields not kept here; an entry made anew under its
  // old id has another creation time.
  bool IsSameVersionAs(const AuthorizedEntry& other) const {
    return revision_number == other.revision_number && created_at == other.created_at;
  }
  bool HasExpired(WallTime now) const { return expires_at != 0 && UnixSeconds(now) >= expires_at; }
};

using EntryPtr = std::shared_ptr<const AuthorizedEntry>;

}  // namespace signet::agent
