#include "identity/registry/node_table.h"

#include <utility>

namespace signet::identity {
namespace {

std::size_t SelectorKey(const Selector& selector) { return HashOf(selector.type, selector.value); }

}  // namespace

const NodeTable::Row* NodeTable::FindRow(const SpiffeId& id) const {
  for (const Row* row : by_id_.Find(HashOf(id))) {
    if (row->second->id == id) return row;
  }
  return nullptr;
}

void NodeTable::Index(const Row* row) {
  by_id_.Add(HashOf(row->second->id), row);
  for (const Selector& selector : row->second->selectors)
    by_selector_.Add(SelectorKey(selector), row);
}

void NodeTable::Unindex(const Row* row) {
  by_id_.Remove(HashOf(row->second->id), row);
  for (const Selector& selector : row->second->selectors)
    by_selector_.Remove(SelectorKey(selector), row);
}

void NodeTable::Put(NodePtr node) {
  if (const Row* row = FindRow(node->id); row != nullptr) {
    Unindex(row);
    const auto place = rows_.find(row->first);
    place->second = std::move(node);
    Index(&*place);
    return;
  }
  const auto place = rows_.emplace_hint(rows_.end(), next_++, std::move(node));
  Index(&*place);
}

void NodeTable::Remove(const SpiffeId& id) {
  const Row* row = FindRow(id);
  if (row == nullptr) return;
  Unindex(row);
  rows_.erase(row->first);
}

NodePtr NodeTable::Find(const SpiffeId& id) const {
  const Row* row = FindRow(id);
  return row == nullptr ? nullptr : row->second;
}

void NodeTable::Visit(const NodeFilter& filter, std::uint64_t after,
                      const std::function<bool(const Row&)>& visit) const {
  for (auto row = rows_.upper_bound(after); row != rows_.end(); ++row) {
    if (Matches(*row->second, filter) && !visit(*row)) return;
  }
}

void NodeTable::VisitHolding(const SelectorSet& selectors,
                             const std::function<void(const NodePtr&)>& visit) const {
  CHECK_TRUE(!selectors.empty());
  std::span<const Row* const> rarest = by_selector_.Find(SelectorKey(selectors.front()));
  for (const Selector& selector : selectors) {
    const auto rows = by_selector_.Find(SelectorKey(selector));
    if (rows.size() < rarest.size()) rarest = rows;
  }
  for (const Row* row : rarest) {
    if (IsSubset(selectors, row->second->selectors)) visit(row->second);
  }
}

}  // namespace signet::identity
