// Authorities as the own bundle shows them: pure functions over the journal's records and a bundle.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "identity/store/store.h"

namespace signet::identity {

inline constexpr std::string_view kX509Authority = "x509";
inline constexpr std::string_view kJwtAuthority = "jwt";

// Whether verifiers of `bundle` accept what this authority signs.
bool IsPublished(const AuthorityRecord& record, const Bundle& bundle);
// Adds it to the bundle unless it is there. Fails when the record's certificate does not parse.
Status Publish(const AuthorityRecord& record, Bundle& bundle);

// Whether `bundle` holds authorities, recorded or not, that ended longer ago than the prune margin
// (24 h, or their lifetime where it is recorded and shorter).
bool HasPrunable(const Bundle& bundle, std::span<const AuthorityRecord> records, WallTime now);
// Removes them.
void PruneBundle(std::span<const AuthorityRecord> records, WallTime now, Bundle& bundle);

// The key's name for the next authority of `type`: "x509-CA-A" or "-B", "JWT-Signer-A" or "-B",
// whichever the active authority does not use; the prepared one's only when there is no other.
std::string ChooseKeyId(std::string_view type, std::span<const AuthorityRecord> records);

}  // namespace signet::identity
