// An ordered map that never changes: a change makes a new map that shares with the old one all but
// the path to what changed. So a snapshot costs nothing to keep, a change costs the logarithm of
// the size, and what differs between two maps is found by looking only where they differ.
//
// A treap whose priorities are digests of the keys: the shape depends on the set of keys alone,
// not on the order in which they came, and so two maps of nearly the same keys have nearly the same
// shape.
//
// `Value` is cheap to copy; `Traits` has KeyOf(value), ordered by <=>, and Priority(key).
//
// Threads: immutable; copies may be used by any threads.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace signet::agent {

template <class Value, class Traits>
class PersistentMap {
 public:
  PersistentMap() = default;

  // `values` ascending by key, none twice. Linear, but for the logarithm of the depth.
  static PersistentMap FromSorted(const std::vector<Value>& values) {
    std::vector<std::uint64_t> priorities;
    priorities.reserve(values.size());
    for (const Value& value : values) priorities.push_back(Traits::Priority(Traits::KeyOf(value)));
    return PersistentMap(Build(values, priorities, 0, values.size()));
  }

  std::size_t size() const { return SizeOf(root_); }
  bool empty() const { return root_ == nullptr; }

  // Null when there is none; lives as long as this map.
  template <class Key>
  const Value* Find(const Key& key) const {
    for (const Node* node = root_.get(); node != nullptr;) {
      const auto order = key <=> Traits::KeyOf(node->value);
      if (order == 0) return &node->value;
      node = (order < 0 ? node->left : node->right).get();
    }
    return nullptr;
  }

  // With `value` in place of what had its key, if anything.
  PersistentMap With(Value value) const {
    const std::uint64_t priority = Traits::Priority(Traits::KeyOf(value));
    return PersistentMap(Insert(root_, std::move(value), priority));
  }
  template <class Key>
  PersistentMap Without(const Key& key) const {
    return Find(key) == nullptr ? *this : PersistentMap(Remove(root_, key));
  }

  // Ascending by key.
  template <class Visit>
  void ForEach(Visit visit) const {
    Walk(root_, visit);
  }

  // Calls visit(const Value* before, const Value* after) for each key whose values may differ: null
  // where the key is not in that map. Values shared by both are passed over. In no order.
  template <class Visit>
  static void Diff(const PersistentMap& before, const PersistentMap& after, Visit visit) {
    DiffNodes(before.root_, after.root_, visit);
  }

  bool SharesAllWith(const PersistentMap& other) const { return root_ == other.root_; }

 private:
  struct Node;
  using NodePtr = std::shared_ptr<const Node>;
  struct Node {
    Node(Value v, std::uint64_t p, NodePtr l, NodePtr r)
        : value(std::move(v)),
          priority(p),
          size(1 + SizeOf(l) + SizeOf(r)),
          left(std::move(l)),
          right(std::move(r)) {}
    const Value value;
    const std::uint64_t priority;
    const std::size_t size;
    const NodePtr left, right;
  };

  explicit PersistentMap(NodePtr root) : root_(std::move(root)) {}

  static std::size_t SizeOf(const NodePtr& node) { return node ? node->size : 0; }
  static NodePtr Make(Value value, std::uint64_t priority, NodePtr left, NodePtr right) {
    return std::make_shared<const Node>(std::move(value), priority, std::move(left),
                                        std::move(right));
  }
  static NodePtr Replace(const Node& node, NodePtr left, NodePtr right) {
    return Make(node.value, node.priority, std::move(left), std::move(right));
  }

  static NodePtr Build(const std::vector<Value>& values,
                       const std::vector<std::uint64_t>& priorities, std::size_t first,
                       std::size_t last) {
    if (first == last) return nullptr;
    std::size_t top = first;
    for (std::size_t i = first; i < last; ++i)
      if (Outranks(values[i], priorities[i], values[top], priorities[top])) top = i;
    return Make(values[top], priorities[top], Build(values, priorities, first, top),
                Build(values, priorities, top + 1, last));
  }

  // Equal priorities are told apart by key, so that the shape stays a matter of the keys alone.
  static bool Outranks(const Value& a, std::uint64_t a_priority, const Value& b,
                       std::uint64_t b_priority) {
    if (a_priority != b_priority) return a_priority > b_priority;
    return (Traits::KeyOf(a) <=> Traits::KeyOf(b)) < 0;
  }

  // What is below `key`, and what is above it; `key` itself is left out.
  template <class Key>
  static std::pair<NodePtr, NodePtr> Split(const NodePtr& node, const Key& key) {
    if (!node) return {};
    const auto order = key <=> Traits::KeyOf(node->value);
    if (order == 0) return {node->left, node->right};
    if (order < 0) {
      auto [below, above] = Split(node->left, key);
      return {std::move(below), Replace(*node, std::move(above), node->right)};
    }
    auto [below, above] = Split(node->right, key);
    return {Replace(*node, node->left, std::move(below)), std::move(above)};
  }

  // All keys of `below` are less than those of `above`.
  static NodePtr Join(const NodePtr& below, const NodePtr& above) {
    if (!below) return above;
    if (!above) return below;
    if (Outranks(below->value, below->priority, above->value, above->priority))
      return Replace(*below, below->left, Join(below->right, above));
    return Replace(*above, Join(below, above->left), above->right);
  }

  static NodePtr Insert(const NodePtr& node, Value value, std::uint64_t priority) {
    if (!node) return Make(std::move(value), priority, nullptr, nullptr);
    const auto order = Traits::KeyOf(value) <=> Traits::KeyOf(node->value);
    if (order == 0) return Make(std::move(value), priority, node->left, node->right);
    if (Outranks(value, priority, node->value, node->priority)) {
      auto [below, above] = Split(node, Traits::KeyOf(value));
      return Make(std::move(value), priority, std::move(below), std::move(above));
    }
    if (order < 0)
      return Replace(*node, Insert(node->left, std::move(value), priority), node->right);
    return Replace(*node, node->left, Insert(node->right, std::move(value), priority));
  }

  template <class Key>
  static NodePtr Remove(const NodePtr& node, const Key& key) {
    const auto order = key <=> Traits::KeyOf(node->value);
    if (order == 0) return Join(node->left, node->right);
    if (order < 0) return Replace(*node, Remove(node->left, key), node->right);
    return Replace(*node, node->left, Remove(node->right, key));
  }

  template <class Visit>
  static void Walk(const NodePtr& node, Visit& visit) {
    if (!node) return;
    Walk(node->left, visit);
    visit(node->value);
    Walk(node->right, visit);
  }

  template <class Visit>
  static void DiffNodes(const NodePtr& before, const NodePtr& after, Visit& visit) {
    if (before == after) return;
    // The higher ranked root is a key the other map does not have, or both roots have one key.
    const bool by_before = before && (!after || !Outranks(after->value, after->priority,
                                                          before->value, before->priority));
    const Node& top = by_before ? *before : *after;
    const auto& key = Traits::KeyOf(top.value);
    const Value* old_value = by_before ? &before->value : nullptr;
    const Value* new_value = by_before ? nullptr : &after->value;
    std::pair<NodePtr, NodePtr> parts;  // of the other map
    if (by_before && after && (key <=> Traits::KeyOf(after->value)) == 0) {
      new_value = &after->value;
      parts = {after->left, after->right};
    } else {
      parts = Split(by_before ? after : before, key);
    }
    visit(old_value, new_value);
    if (by_before) {
      DiffNodes(before->left, parts.first, visit);
      DiffNodes(before->right, parts.second, visit);
    } else {
      DiffNodes(parts.first, after->left, visit);
      DiffNodes(parts.second, after->right, visit);
    }
  }

  NodePtr root_;
};

}  // namespace signet::agent
