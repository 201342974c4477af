// What the log of a trust domain holds: who did what, and every signature. Values only; how they
// are chained is log_chain.h's, where they are kept the store's.
//
// Threads: values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "ca/crypto/digest.h"

namespace signet::identity {

// Who causes a change: "spiffe://…" by its verified leaf, "uid:0" by the kernel, "anonymous", or
// the server itself on its own schedule.
struct Actor {
  std::string name = "server";
};

// Names of events: what changed, then how.
namespace event {
inline constexpr std::string_view kIssued = "certificate.issued";
inline constexpr std::string_view kRefused = "call.refused";
inline constexpr std::string_view kEntryCreated = "entry.created";
inline constexpr std::string_view kEntryUpdated = "entry.updated";
inline constexpr std::string_view kEntryDeleted = "entry.deleted";
inline constexpr std::string_view kAgentAttested = "agent.attested";
inline constexpr std::string_view kAgentRenewed = "agent.renewed";
inline constexpr std::string_view kAgentChanged = "agent.changed";
inline constexpr std::string_view kAgentBanned = "agent.banned";
inline constexpr std::string_view kAgentEvicted = "agent.evicted";
inline constexpr std::string_view kTokenCreated = "join_token.created";
inline constexpr std::string_view kBundleChanged = "bundle.changed";
inline constexpr std::string_view kBundleRemoved = "bundle.removed";
inline constexpr std::string_view kFederationSet = "federation.set";
inline constexpr std::string_view kFederationRemoved = "federation.removed";
inline constexpr std::string_view kDenialAdded = "denial.added";
inline constexpr std::string_view kDenialRemoved = "denial.removed";
inline constexpr std::string_view kAuthorityPrepared = "authority.prepared";
inline constexpr std::string_view kAuthorityActivated = "authority.activated";
inline constexpr std::string_view kAuthorityRetired = "authority.retired";
inline constexpr std::string_view kAuthorityTainted = "authority.tainted";
inline constexpr std::string_view kAuthorityRemoved = "authority.removed";
inline constexpr std::string_view kLogPruned = "log.pruned";
inline constexpr std::string_view kLogFoundOlder = "log.found_older";
}  // namespace event

// One line of the log. Which fields an event fills is docs/formats/audit-log.md's; the others are
// empty or 0. Times are Unix seconds.
struct AuditRecord {
  std::string event = {};  // empty: an issuance of the journal's first format
  std::int64_t recorded_at = 0;
  std::string actor = {};
  std::string subject = {};       // the SPIFFE ID it is about
  std::string object = {};        // id of the entry or denial, trust domain, method
  std::int64_t revision = 0;      // of the entry
  std::string serial = {};        // of a certificate, hex; of a JWT-SVID its token id
  std::string purpose = {};       // "workload", "agent", "server", "root", "jwt"
  std::string authority_id = {};  // that signed, or that changed
  std::int64_t not_before = 0;    // of what was signed
  std::int64_t not_after = 0;     // of what was signed
  std::string detail = {};        // one JSON object, or empty; never a secret

  bool operator==(const AuditRecord&) const = default;
};

// A place in the log: the record numbered `seq` (from 1, without gaps) and the hash that covers it
// and all before it.
struct LogHead {
  std::uint64_t seq = 0;
  ca::Sha256Digest hash{};

  bool operator==(const LogHead&) const = default;
};

struct LoggedRecord {
  LogHead place;
  AuditRecord record;
};

// A head that the server vouches for: whoever keeps one can show that the log was cut or changed.
struct LogCheckpoint {
  LogHead head;
  std::int64_t made_at = 0;
  Bytes public_key;  // SubjectPublicKeyInfo of the log key
  Bytes signature;   // over CheckpointMessage() (log_chain.h)

  bool operator==(const LogCheckpoint&) const = default;
};

// An SVID in force: the newest one of its holder and identity that has not ended.
struct CurrentSvid {
  std::string authority_id;
  std::string purpose;
  std::string actor;   // who asked for it
  std::string object;  // the entry; empty: an agent's own, or minted by hand
  std::string subject;
  std::int64_t not_after = 0;
};

// What a reader asks for. Empty fields do not restrict.
struct LogFilter {
  std::uint64_t after = 0;   // seq greater than this
  std::uint64_t before = 0;  // 0: no bound; else seq less than this
  std::int64_t since = 0;    // recorded_at at or after
  std::int64_t until = 0;    // 0: no bound; else recorded_at before
  std::string subject = {};
  std::string serial = {};
  std::string event = {};  // whole, or the part before the dot: "entry"
  std::string object = {};
  bool newest_first = false;
  std::size_t limit = 500;
};

}  // namespace signet::identity
