// The attested nodes in memory, by ID and by selector.
//
// Threads: none of its own; the registry's lock guards it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>

#include "identity/registry/node.h"
#include "identity/registry/row_index.h"

namespace signet::identity {

using NodePtr = std::shared_ptr<const Node>;

class NodeTable {
 public:
  using Row = std::map<std::uint64_t, NodePtr>::value_type;

  NodeTable() = default;
  NodeTable(const NodeTable&) = delete;
  NodeTable& operator=(const NodeTable&) = delete;

  void Put(NodePtr node);
  void Remove(const SpiffeId& id);
  NodePtr Find(const SpiffeId& id) const;  // null: none
  // In order, after the row `after`, until `visit` answers false.
  void Visit(const NodeFilter& filter, std::uint64_t after,
             const std::function<bool(const Row&)>& visit) const;
  // Nodes that hold all of `selectors`, which must not be empty.
  void VisitHolding(const SelectorSet& selectors,
                    const std::function<void(const NodePtr&)>& visit) const;

 private:
  const Row* FindRow(const SpiffeId& id) const;
  void Index(const Row* row);
  void Unindex(const Row* row);

  std::map<std::uint64_t, NodePtr> rows_;
  std::uint64_t next_ = 1;
  RowIndex<Row> by_id_;
  RowIndex<Row> by_selector_;
};

}  // namespace signet::identity
