// An attested node: an agent with its current SVID's serial, its selectors, and whether it is
// banned.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "identity/registry/entry.h"

namespace signet::identity {

inline constexpr Reason kAgentNotFound{"agent not found"};

struct Node {
  SpiffeId id;
  std::string attestation_type;        // "join_token"
  std::string serial;                  // decimal; empty: banned
  std::int64_t serial_expires_at = 0;  // Unix seconds
  std::string new_serial;              // issued, not yet seen in use (SPIRE's "new" slot)
  std::int64_t new_serial_expires_at = 0;
  SelectorSet selectors;
  bool can_reattest = false;
  std::string agent_version;

  bool banned() const { return serial.empty(); }
  friend bool operator==(const Node&, const Node&) = default;
};

struct NodeFilter {
  std::optional<std::string> attestation_type;
  std::optional<EntryFilter::Selectors> selectors;
  std::optional<bool> banned;
  std::optional<bool> can_reattest;
  std::optional<std::int64_t> expires_before;  // Unix seconds
};
bool Matches(const Node& node, const NodeFilter& filter);

// A join token at rest: only its digest is kept.
struct JoinToken {
  std::string digest;  // hex of SHA-256 over the token
  std::int64_t expires_at = 0;
  std::string
      agent_path;  // alias ID's path to be granted as an entry by the one who made it; may be empty
};

}  // namespace signet::identity
