#include "mesh/rule_index.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <map>

#include "base/check.h"

namespace signet::mesh {
namespace {

constexpr std::size_t kWordBits = 64;
constexpr std::size_t kMaxWords = kMaxRules / kWordBits;
// Headers and claims that have a table of values; those more rules ask for come first.
constexpr std::size_t kMaxNamedDimensions = 12;

constexpr char kExact = '=';
constexpr char kBelow = '<';
constexpr std::string_view kGrpcKey = "grpc";

void SetBit(std::span<std::uint64_t> bits, std::uint32_t position) {
  bits[position / kWordBits] |= std::uint64_t{1} << (position % kWordBits);
}

// Text put together without a heap.
template <std::size_t kSize>
class KeyBuffer {
 public:
  KeyBuffer& Append(std::string_view text) {
    CHECK_TRUE(size_ + text.size() <= kSize);
    std::memcpy(bytes_.data() + size_, text.data(), text.size());
    size_ += text.size();
    return *this;
  }
  void SetFirst(char c) { bytes_[0] = c; }
  std::string_view view() const { return {bytes_.data(), size_}; }

 private:
  std::array<char, kSize> bytes_;
  std::size_t size_ = 0;
};

using CallerKey = KeyBuffer<identity::kMaxSpiffeIdBytes + 8>;
using HostKey = KeyBuffer<kMaxHostBytes + 8>;
using SourceKey = KeyBuffer<18>;
using PortKey = KeyBuffer<2>;

SourceKey KeyOf(const IpAddress& prefix, int length) {
  const std::array<char, 2> head = {static_cast<char>(prefix.family()), static_cast<char>(length)};
  SourceKey key;
  key.Append({head.data(), head.size()});
  key.Append({reinterpret_cast<const char*>(prefix.bytes().data()), prefix.bytes().size()});
  return key;
}

PortKey KeyOf(std::uint16_t port) {
  const std::array<char, 2> bytes = {static_cast<char>(port >> 8), static_cast<char>(port & 0xff)};
  PortKey key;
  key.Append({bytes.data(), bytes.size()});
  return key;
}

// The caller's pattern as a key: "=td/path" or "<td/path".
std::string KeyOf(const identity::SpiffeIdPattern& pattern) {
  constexpr std::string_view kScheme = "spiffe://";
  std::string_view id = pattern.text();
  id.remove_prefix(kScheme.size());
  if (!id.ends_with("/*")) return kExact + std::string(id);
  id.remove_suffix(2);
  return kBelow + std::string(id);
}

bool AllExact(const ValueCondition& condition) {
  return condition.kind == ValueCondition::Kind::kValues &&
         std::ranges::none_of(condition.values, &ValuePattern::prefix);
}

// The first condition on `name` that asks for whole values; null: none.
const ValueCondition* FindExact(const std::vector<ValueCondition>& conditions,
                                std::string_view name) {
  const auto found = std::ranges::find_if(
      conditions, [&](const ValueCondition& c) { return c.name == name && AllExact(c); });
  return found == conditions.end() ? nullptr : &*found;
}

// The names that rules ask whole values of, those of most rules first.
std::vector<std::string> CommonNames(const std::vector<const PolicyRule*>& rules, bool header) {
  std::map<std::string, std::size_t> counts;
  for (const PolicyRule* rule : rules)
    for (const ValueCondition& condition : header ? rule->headers : rule->claims)
      if (AllExact(condition)) ++counts[condition.name];
  std::vector<std::pair<std::string, std::size_t>> sorted(counts.begin(), counts.end());
  std::ranges::sort(sorted, [](const auto& a, const auto& b) {
    return a.second != b.second ? a.second > b.second : a.first < b.first;
  });
  if (sorted.size() > kMaxNamedDimensions) sorted.resize(kMaxNamedDimensions);
  std::vector<std::string> names;
  for (auto& [name, count] : sorted) names.push_back(std::move(name));
  return names;
}

// found &= the rules that do not ask, and those that `collect` adds. False: none is left.
template <class Collect>
bool Intersect(const std::vector<std::uint64_t>& indifferent, std::span<std::uint64_t> found,
               Collect collect) {
  std::array<std::uint64_t, kMaxWords> buffer;
  const std::span<std::uint64_t> matching(buffer.data(), found.size());
  std::ranges::copy(indifferent, matching.begin());
  collect(matching);
  std::uint64_t left = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    found[i] &= matching[i];
    left |= found[i];
  }
  return left != 0;
}

}  // namespace

// ---- sets

void RuleSet::Add(std::uint32_t position, std::size_t words) {
  if (many_.empty() && few_.size() < words) {
    few_.push_back(position);
    return;
  }
  if (many_.empty()) {
    many_.resize(words);
    for (const std::uint32_t each : few_) SetBit(many_, each);
    few_ = {};
  }
  SetBit(many_, position);
}

void RuleSet::AddTo(std::span<std::uint64_t> bits) const {
  for (const std::uint32_t position : few_) SetBit(bits, position);
  for (std::size_t i = 0; i < many_.size(); ++i) bits[i] |= many_[i];
}

void RuleDimension::AddIndifferent(std::uint32_t position) { SetBit(indifferent_, position); }

void RuleDimension::Add(std::string_view key, std::uint32_t position) {
  sets_[std::string(key)].Add(position, indifferent_.size());
}

void RuleDimension::Collect(std::string_view key, std::span<std::uint64_t> bits) const {
  if (const auto found = sets_.find(key); found != sets_.end()) found->second.AddTo(bits);
}

// ---- paths

std::size_t PathTree::ChildHash::operator()(const ChildView& key) const {
  return std::hash<std::string_view>()(key.segment) ^ (key.parent * 0x9e3779b97f4a7c15U);
}

std::uint32_t PathTree::Child(std::uint32_t parent, const PathPattern::Segment& segment) {
  const auto next = static_cast<std::uint32_t>(nodes_.size());
  if (segment.any) {
    if (nodes_[parent].any_child != 0) return nodes_[parent].any_child;
    nodes_[parent].any_child = next;
  } else {
    const auto [found, added] = children_.emplace(ChildKey{parent, segment.text}, next);
    if (!added) return found->second;
  }
  nodes_.emplace_back();
  return next;
}

std::uint32_t PathTree::Descend(Segments segments) {
  std::uint32_t node = 0;
  for (const PathPattern::Segment& segment : segments) node = Child(node, segment);
  return node;
}

void PathTree::Add(const PathPattern& pattern, Effect effect, std::uint32_t position) {
  asked_ = true;
  Segments segments = pattern.segments();
  if (effect == Effect::kAllow) {
    Node& node = nodes_[Descend(segments)];
    (pattern.below() ? node.below : node.here).Add(position, words_);
    return;
  }
  // A deny rule holds with and without a slash at the end.
  if (!segments.empty() && !segments.back().any && segments.back().text.empty())
    segments = segments.first(segments.size() - 1);
  const std::uint32_t node = Descend(segments);
  nodes_[node].here.Add(position, words_);
  if (pattern.below())
    nodes_[node].below.Add(position, words_);
  else
    nodes_[Child(node, {})].here.Add(position, words_);
}

void PathTree::Collect(std::string_view decoded, std::span<std::uint64_t> bits) const {
  if (!decoded.empty()) CollectFrom(0, decoded, bits);
}

void PathTree::CollectFrom(std::uint32_t node, std::string_view rest,
                           std::span<std::uint64_t> bits) const {
  const Node& here = nodes_[node];
  if (rest.empty()) return here.here.AddTo(bits);
  here.below.AddTo(bits);
  rest.remove_prefix(1);
  const std::string_view segment = rest.substr(0, rest.find('/'));
  rest.remove_prefix(segment.size());
  if (const auto child = children_.find(ChildView{node, segment}); child != children_.end())
    CollectFrom(child->second, rest, bits);
  if (here.any_child != 0 && !segment.empty()) CollectFrom(here.any_child, rest, bits);
}

// ---- the index

RuleIndex::RuleIndex(std::vector<const PolicyRule*> rules)
    : rules_(std::move(rules)),
      words_((rules_.size() + kWordBits - 1) / kWordBits),
      callers_(words_),
      sources_(words_),
      ports_(words_),
      methods_(words_),
      grpc_(words_),
      hosts_(words_),
      path_indifferent_(words_),
      paths_(words_) {
  CHECK_TRUE(rules_.size() <= kMaxRules);
  for (std::uint32_t i = 0; i < rules_.size(); ++i) AddRule(*rules_[i], i);
  AddNamed(true, &headers_);
  AddNamed(false, &claims_);
}

void RuleIndex::AddRule(const PolicyRule& rule, std::uint32_t position) {
  AddCallers(rule, position);
  AddSources(rule, position);
  for (const std::uint16_t port : rule.ports) ports_.Add(KeyOf(port).view(), position);
  if (rule.ports.empty()) ports_.AddIndifferent(position);
  for (const std::string& method : rule.methods) methods_.Add(method, position);
  if (rule.methods.empty()) methods_.AddIndifferent(position);
  if (rule.grpc && rule.effect == Effect::kAllow)
    grpc_.Add(kGrpcKey, position);
  else
    grpc_.AddIndifferent(position);
  for (const PathPattern& path : rule.paths) paths_.Add(path, rule.effect, position);
  if (rule.paths.empty()) path_indifferent_.AddIndifferent(position);
  AddHosts(rule, position);
}

void RuleIndex::AddCallers(const PolicyRule& rule, std::uint32_t position) {
  for (const identity::SpiffeIdPattern& caller : rule.callers)
    callers_.Add(KeyOf(caller), position);
  // Never of an allow rule, also if one was made by hand: nobody is named, nobody is allowed.
  if (rule.callers.empty() && rule.effect == Effect::kDeny) callers_.AddIndifferent(position);
}

void RuleIndex::AddSources(const PolicyRule& rule, std::uint32_t position) {
  for (const IpRange& source : rule.sources) {
    sources_.Add(KeyOf(source.base(), source.length()).view(), position);
    const std::pair kind(source.base().family(), source.length());
    if (std::ranges::find(source_lengths_, kind) == source_lengths_.end())
      source_lengths_.push_back(kind);
  }
  if (rule.sources.empty()) sources_.AddIndifferent(position);
}

void RuleIndex::AddHosts(const PolicyRule& rule, std::uint32_t position) {
  for (const HostPattern& host : rule.hosts) {
    std::string key = (host.below() ? kBelow : kExact) + host.name();
    if (!host.port().empty()) key += ":" + host.port();
    hosts_.Add(key, position);
  }
  if (rule.hosts.empty()) hosts_.AddIndifferent(position);
}

void RuleIndex::AddNamed(bool header, std::vector<NamedDimension>* dimensions) {
  for (std::string& name : CommonNames(rules_, header)) {
    RuleDimension dimension(words_);
    for (std::uint32_t i = 0; i < rules_.size(); ++i) {
      const ValueCondition* exact =
          FindExact(header ? rules_[i]->headers : rules_[i]->claims, name);
      if (exact == nullptr)
        dimension.AddIndifferent(i);
      else
        for (const ValuePattern& value : exact->values) dimension.Add(value.text, i);
    }
    dimensions->push_back({std::move(name), std::move(dimension)});
  }
}

// ---- looking up

void RuleIndex::CollectCallers(const identity::SpiffeId& caller, Bits bits) const {
  CallerKey key;
  key.Append({&kExact, 1}).Append(caller.trust_domain().name()).Append(caller.path());
  callers_.Collect(key.view(), bits);
  key.SetFirst(kBelow);
  const std::string_view text = key.view();
  for (std::size_t slash = text.find('/'); slash != std::string_view::npos;
       slash = text.find('/', slash + 1))
    callers_.Collect(text.substr(0, slash), bits);
}

void RuleIndex::CollectHosts(const HostParts& host, Bits bits) const {
  if (host.fault != TargetFault::kNone) return;
  const auto collect = [&](char kind, std::string_view name) {
    HostKey key;
    key.Append({&kind, 1});
    for (const char c : name) {
      const char lower = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
      key.Append({&lower, 1});
    }
    hosts_.Collect(key.view(), bits);
    if (!host.port.empty()) hosts_.Collect(key.Append(":").Append(host.port).view(), bits);
  };
  collect(kExact, host.name);
  for (std::size_t dot = host.name.find('.'); dot != std::string_view::npos;
       dot = host.name.find('.', dot + 1))
    collect(kBelow, host.name.substr(dot + 1));
}

void RuleIndex::CollectSources(const IpAddress& source, Bits bits) const {
  for (const auto& [family, length] : source_lengths_)
    if (family == source.family())
      sources_.Collect(KeyOf(source.Prefix(length), length).view(), bits);
}

bool RuleIndex::Narrow(const PreparedFacts& prepared, Bits found) const {
  const RequestFacts& facts = prepared.facts();
  return Intersect(callers_.indifferent(), found,
                   [&](Bits bits) {
                     if (facts.caller != nullptr && !facts.caller->empty())
                       CollectCallers(*facts.caller, bits);
                   }) &&
         (!sources_.asked() || Intersect(sources_.indifferent(), found,
                                         [&](Bits bits) { CollectSources(facts.source, bits); })) &&
         (!ports_.asked() || Intersect(ports_.indifferent(), found, [&](Bits bits) {
           if (facts.port != 0) ports_.Collect(KeyOf(facts.port).view(), bits);
         }));
}

bool RuleIndex::NarrowByRequest(const PreparedFacts& prepared, Bits found) const {
  const RequestFacts& facts = prepared.facts();
  const auto by_names = [&](const std::vector<NamedDimension>& dimensions,
                            std::span<const NameValue> values, bool header) {
    return std::ranges::all_of(dimensions, [&](const NamedDimension& named) {
      return Intersect(named.dimension.indifferent(), found, [&](Bits bits) {
        for (const NameValue& value : values) {
          if (header ? !EqualIgnoringCase(value.name, named.name) : value.name != named.name)
            continue;
          const std::string_view line = header ? Trim(value.value) : value.value;
          named.dimension.Collect(line, bits);
          if (header && line.find(',') != std::string_view::npos)
            ForEachMember(line,
                          [&](std::string_view member) { named.dimension.Collect(member, bits); });
        }
      });
    });
  };
  return (!paths_.asked() ||
          Intersect(path_indifferent_.indifferent(), found,
                    [&](Bits bits) { paths_.Collect(prepared.decoded_path(), bits); })) &&
         (!methods_.asked() ||
          Intersect(methods_.indifferent(), found,
                    [&](Bits bits) { methods_.Collect(facts.method, bits); })) &&
         (!grpc_.asked() || Intersect(grpc_.indifferent(), found,
                                      [&](Bits bits) {
                                        if (facts.grpc) grpc_.Collect(kGrpcKey, bits);
                                      })) &&
         (!hosts_.asked() || Intersect(hosts_.indifferent(), found,
                                       [&](Bits bits) { CollectHosts(prepared.host(), bits); })) &&
         by_names(headers_, facts.headers, true) && by_names(claims_, facts.claims, false);
}

const PolicyRule* RuleIndex::FindFirst(const PreparedFacts& prepared) const {
  if (rules_.empty()) return nullptr;
  std::array<std::uint64_t, kMaxWords> buffer;
  const Bits found(buffer.data(), words_);
  std::ranges::fill(found, ~std::uint64_t{0});
  if (!Narrow(prepared, found) || !NarrowByRequest(prepared, found)) return nullptr;
  for (std::size_t word = 0; word < words_; ++word)
    for (std::uint64_t left = found[word]; left != 0; left &= left - 1) {
      const std::size_t position =
          word * kWordBits + static_cast<std::size_t>(std::countr_zero(left));
      if (ConditionsHold(*rules_[position], prepared.facts())) return rules_[position];
    }
  return nullptr;
}

}  // namespace signet::mesh
