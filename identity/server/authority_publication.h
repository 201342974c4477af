// Authorities as the own bundle shows them: pure functions over the journal's records and a bundle.
#pragma once

#include <optional>
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

// Adds what is not there yet. What is there and tainted stays tainted.
void AddAuthorities(const Bundle& added, Bundle& bundle);

// Whether `bundle` holds authorities, recorded or not, that ended longer ago than the prune margin
// (24 h, or their lifetime where it is recorded and shorter).
bool HasPrunable(const Bundle& bundle, std::span<const AuthorityRecord> records, WallTime now);
// Removes them.
void PruneBundle(std::span<const AuthorityRecord> records, WallTime now, Bundle& bundle);

// How an authority of `type` stands in the bundle, ours or not: X.509 by its subject key id in hex,
// JWT by its key id.
enum class Publication { kAbsent, kTrusted, kTainted };
Publication PublicationOf(const Bundle& bundle, std::string_view type, std::string_view id);
void TaintInBundle(std::string_view type, std::string_view id, Bundle& bundle);
void RevokeFromBundle(std::string_view type, std::string_view id, Bundle& bundle);

// The authorities of a type as SPIRE shows them: the one in use, and beside it either the next or
// the one that was in use before.
struct SlotView {
  std::optional<ca::AuthoritySlot> active;
  std::optional<ca::AuthoritySlot> prepared;
  std::optional<ca::AuthoritySlot> old;
};
SlotView ViewSlots(std::string_view type, std::span<const AuthorityRecord> records);

// The key's name for the next authority of `type`: "x509-CA-A" or "-B", "JWT-Signer-A" or "-B",
// whichever the active authority does not use; the prepared one's only when there is no other.
std::string ChooseKeyId(std::string_view type, std::span<const AuthorityRecord> records);

}  // namespace signet::identity
