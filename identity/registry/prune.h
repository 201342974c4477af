// Forgetting nodes whose SVIDs ended long ago.
#pragma once

#include <chrono>
#include <optional>

#include "base/clock.h"
#include "identity/registry/registry.h"

namespace signet::identity {

// Who cannot attest again is kept from joining anew by being forgotten, so that is asked for apart.
enum class NodeRemoval { kReattestable, kAll };

// At least an hour, the time in which an ended SVID may still be renewed: whoever is removed while
// it attests again does so once more.
inline constexpr std::chrono::hours kMinExpiredFor{1};

struct NodePruning {
  std::optional<std::chrono::seconds> expired_for;  // absent: nobody is forgotten
  NodeRemoval removal = NodeRemoval::kReattestable;
};

// Removes, as Registry::DeleteNode() does, up to `limit` nodes whose SVIDs, current and new, ended
// at least `expired_for` ago; answers how many. Banned ones stay banned.
Result<std::size_t> PruneNodes(Registry& registry, const NodePruning& pruning, WallTime now,
                               std::size_t limit);

}  // namespace signet::identity
