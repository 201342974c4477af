#include "identity/registry/prune.h"

#include <algorithm>

namespace signet::identity {

Result<std::size_t> PruneNodes(Registry& registry, const NodePruning& pruning, WallTime now,
                               std::size_t limit) {
  if (!pruning.expired_for) return std::size_t{0};
  const std::int64_t before = UnixSeconds(now - *pruning.expired_for);
  NodeFilter filter;
  filter.expires_before = before;
  filter.banned = false;
  if (pruning.removal == NodeRemoval::kReattestable) filter.can_reattest = true;
  SIGNET_TRY(const auto page, registry.ListNodes(filter, limit, {}));
  std::size_t removed = 0;
  for (const NodePtr& node : page.items) {
    if (node->new_serial_expires_at >= before) continue;
    SIGNET_RETURN_IF_ERROR(registry.DeleteNode(node->id));
    ++removed;
  }
  return removed;
}

}  // namespace signet::identity
