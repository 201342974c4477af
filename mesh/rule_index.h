// Many rules compiled: which is the first that matches a request. For each thing a rule may ask
// (caller, path, method, …) the index knows, by hash, the rules that a value satisfies, as a set of
// bits; a request's sets are intersected and the first bit left is the answer. What it costs
// depends on the number of rules by one bit each, not on what they say.
//
// Threads: immutable once made.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "mesh/policy_rule.h"
#include "mesh/rule_match.h"

namespace signet::mesh {

// A set of rule positions: a list while it is short, bits from there on.
class RuleSet {
 public:
  void Add(std::uint32_t position, std::size_t words);
  void AddTo(std::span<std::uint64_t> bits) const;

 private:
  std::vector<std::uint32_t> few_;
  std::vector<std::uint64_t> many_;
};

struct TextHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const {
    return std::hash<std::string_view>()(text);
  }
};
using RuleSets = std::unordered_map<std::string, RuleSet, TextHash, std::equal_to<>>;

// One thing a rule may ask: the rules that do not, and those that do by the value asked for.
class RuleDimension {
 public:
  explicit RuleDimension(std::size_t words) : indifferent_(words) {}
  void AddIndifferent(std::uint32_t position);
  void Add(std::string_view key, std::uint32_t position);
  bool asked() const { return !sets_.empty(); }
  const std::vector<std::uint64_t>& indifferent() const { return indifferent_; }
  void Collect(std::string_view key, std::span<std::uint64_t> bits) const;

 private:
  std::vector<std::uint64_t> indifferent_;
  RuleSets sets_;
};

// Path patterns as a tree of segments.
class PathTree {
 public:
  explicit PathTree(std::size_t words) : words_(words), nodes_(1) {}
  void Add(const PathPattern& pattern, Effect effect, std::uint32_t position);
  bool asked() const { return asked_; }
  // `decoded`: empty or starts with a slash.
  void Collect(std::string_view decoded, std::span<std::uint64_t> bits) const;

 private:
  struct Node {
    RuleSet here;                 // patterns that end in this segment
    RuleSet below;                // patterns that want more
    std::uint32_t any_child = 0;  // 0: none, as the root is nobody's child
  };
  using Segments = std::span<const PathPattern::Segment>;
  std::uint32_t Descend(Segments segments);
  std::uint32_t Child(std::uint32_t parent, const PathPattern::Segment& segment);
  void CollectFrom(std::uint32_t node, std::string_view rest, std::span<std::uint64_t> bits) const;

  std::size_t words_;
  bool asked_ = false;
  std::vector<Node> nodes_;
  // By parent and segment: one table, not one a node.
  struct ChildKey {
    std::uint32_t parent = 0;
    std::string segment;
  };
  struct ChildView {
    std::uint32_t parent = 0;
    std::string_view segment;
  };
  struct ChildHash {
    using is_transparent = void;
    std::size_t operator()(const ChildView& key) const;
    std::size_t operator()(const ChildKey& key) const {
      return (*this)(ChildView{key.parent, key.segment});
    }
  };
  struct ChildEqual {
    using is_transparent = void;
    template <class A, class B>
    bool operator()(const A& a, const B& b) const {
      return a.parent == b.parent && a.segment == b.segment;
    }
  };
  std::unordered_map<ChildKey, std::uint32_t, ChildHash, ChildEqual> children_;
};

class RuleIndex {
 public:
  // `rules`: in order of precedence; they outlive this.
  explicit RuleIndex(std::vector<const PolicyRule*> rules);

  // The first that matches; null: none.
  const PolicyRule* FindFirst(const PreparedFacts& prepared) const;
  // Some rule asks for it, so that a request whose path or host is ambiguous is not decided.
  bool asks_path() const { return paths_.asked(); }
  bool asks_host() const { return hosts_.asked(); }

 private:
  using Bits = std::span<std::uint64_t>;
  // The values of one header or claim that rules ask for word by word. Prefixes, presence and
  // absence are left to ConditionsHold().
  struct NamedDimension {
    std::string name;
    RuleDimension dimension;
  };

  void AddRule(const PolicyRule& rule, std::uint32_t position);
  void AddCallers(const PolicyRule& rule, std::uint32_t position);
  void AddHosts(const PolicyRule& rule, std::uint32_t position);
  void AddSources(const PolicyRule& rule, std::uint32_t position);
  void AddNamed(bool header, std::vector<NamedDimension>* dimensions);
  void CollectCallers(const identity::SpiffeId& caller, Bits bits) const;
  void CollectHosts(const HostParts& host, Bits bits) const;
  void CollectSources(const IpAddress& source, Bits bits) const;
  // Each narrows `found` and answers whether something is left.
  bool Narrow(const PreparedFacts& prepared, Bits found) const;
  bool NarrowByRequest(const PreparedFacts& prepared, Bits found) const;

  const std::vector<const PolicyRule*> rules_;
  const std::size_t words_;
  RuleDimension callers_;
  RuleDimension sources_;
  RuleDimension ports_;
  RuleDimension methods_;
  RuleDimension grpc_;
  RuleDimension hosts_;
  RuleDimension path_indifferent_;  // its keys are in paths_
  PathTree paths_;
  std::vector<NamedDimension> headers_;
  std::vector<NamedDimension> claims_;
  std::vector<std::pair<IpAddress::Family, int>> source_lengths_;  // that some range has
};

}  // namespace signet::mesh
