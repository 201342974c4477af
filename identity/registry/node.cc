#include "identity/registry/node.h"

#include "identity/registry/match.h"

namespace signet::identity {

bool Matches(const Node& node, const NodeFilter& filter) {
  if (filter.attestation_type && node.attestation_type != *filter.attestation_type) return false;
  if (filter.selectors &&
      !MatchesSet(node.selectors, filter.selectors->selectors, filter.selectors->match)) {
    return false;
  }
  if (filter.banned && node.banned() != *filter.banned) return false;
  if (filter.can_reattest && node.can_reattest != *filter.can_reattest) return false;
  return !filter.expires_before || node.serial_expires_at < *filter.expires_before;
}

}  // namespace signet::identity
