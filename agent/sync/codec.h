// SPIRE's messages to the agent's values and back. What does not parse is an error of that one
// message; nothing is guessed.
#pragma once

#include "agent/cache/cache.h"
#include "spire/api/types/bundle.pb.h"
#include "spire/api/types/entry.pb.h"
#include "spire/api/types/x509svid.pb.h"

namespace signet::agent {

inline constexpr Reason kMessageMalformed{"malformed message from the server"};

Result<identity::SpiffeId> ToSpiffeId(const spire::api::types::SPIFFEID& message);
// The fields an agent needs; identity, selectors and id must be good.
Result<AuthorizedEntry> ToEntry(const spire::api::types::Entry& message);
spire::api::types::Entry FromEntry(const AuthorizedEntry& entry);
Result<identity::Bundle> ToBundle(const spire::api::types::Bundle& message);
spire::api::types::Bundle FromBundle(const identity::Bundle& bundle);
// At least a leaf, at most ca::kMaxChainLength.
Result<ca::Chain> ToChain(const spire::api::types::X509SVID& message);

}  // namespace signet::agent
