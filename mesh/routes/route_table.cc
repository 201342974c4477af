#include "mesh/routes/route_table.h"

#include <algorithm>
#include <optional>
#include <tuple>

#include "base/stable_sort.h"
#include "mesh/rule_match.h"

namespace signet::mesh {
namespace {

std::string Lowered(std::string_view text) {
  std::string lower(text);
  for (char& c : lower)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return lower;
}

bool HeaderHolds(const ValueMatch& match, std::span<const NameValue> headers) {
  std::string joined;
  std::optional<std::string_view> value;
  for (const NameValue& header : headers) {
    if (!EqualIgnoringCase(header.name, match.name)) continue;
    if (match.type == ValueMatch::Type::kPresent) return true;
    if (value) {
      // Usually there is one, and nothing to join.
      joined = std::string(*value).append(", ").append(Trim(header.value));
      value = joined;
    } else {
      value = Trim(header.value);
    }
  }
  if (!value) return false;
  return match.type == ValueMatch::Type::kPrefix ? value->starts_with(match.value)
                                                 : *value == match.value;
}

bool QueryHolds(const ValueMatch& match, std::string_view query) {
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), pair.size() + 1));
    const std::size_t equals = pair.find('=');
    std::string decoded;
    DecodePath(pair.substr(0, equals), &decoded);
    if (decoded != match.name) continue;
    if (match.type == ValueMatch::Type::kPresent) return true;
    decoded.clear();
    if (equals != std::string_view::npos) DecodePath(pair.substr(equals + 1), &decoded);
    return decoded == match.value;
  }
  return false;
}

auto Precedence(const RouteMatch& match) {
  return std::make_tuple(match.path.weight(), match.method.empty() ? 0 : 1, match.headers.size(),
                         match.query.size());
}

}  // namespace

bool ConditionsHold(const RouteMatch& match, const RequestFacts& facts) {
  if (!match.method.empty() && match.method != facts.method) return false;
  if (!std::ranges::all_of(match.headers,
                           [&](const auto& m) { return HeaderHolds(m, facts.headers); }))
    return false;
  if (match.query.empty()) return true;
  const std::size_t mark = facts.path.find('?');
  const std::string_view query =
      mark == std::string_view::npos ? std::string_view() : facts.path.substr(mark + 1);
  return std::ranges::all_of(match.query, [&](const auto& m) { return QueryHolds(m, query); });
}

RouteTable::RouteTable(std::vector<HttpRoute> routes) : routes_(std::move(routes)) {
  for (const HttpRoute& route : routes_) Add(route);
  for (auto& [name, host] : hosts_) Sort(&host);
  for (auto& [name, host] : below_) Sort(&host);
  Sort(&any_);
}

RouteTable::~RouteTable() = default;

void RouteTable::Add(const HttpRoute& route) {
  std::vector<Host*> hosts;
  for (const HostPattern& name : route.hostnames)
    hosts.push_back(&(name.below() ? below_ : hosts_)[Lowered(name.name())]);
  if (hosts.empty()) hosts.push_back(&any_);
  for (const RouteRule& rule : route.rules)
    for (const RouteMatch& match : rule.matches) {
      asks_path_ = asks_path_ || !match.path.takes_all();
      asks_headers_ = asks_headers_ || !match.headers.empty();
      for (Host* host : hosts) {
        Entries& entries = match.path.type() == PathMatchType::kTemplate ? host->templates
                           : match.path.type() == PathMatchType::kExact
                               ? host->exact[match.path.literal()]
                               : host->prefix[match.path.literal()];
        entries.push_back({&match, &rule});
      }
    }
}

void RouteTable::Sort(Host* host) {
  const auto sort = [](Entries* entries) {
    // The last is to be the first: reversed before and after, equal ones keep their order.
    std::ranges::reverse(*entries);
    StableSortBy(*entries, [](const Entry& entry) { return Precedence(*entry.match); });
    std::ranges::reverse(*entries);
  };
  for (auto& [path, entries] : host->exact) sort(&entries);
  for (auto& [path, entries] : host->prefix) sort(&entries);
  sort(&host->templates);
}

const RouteTable::Entry* RouteTable::FindIn(const Host& host, std::string_view path,
                                            const RequestFacts& facts) {
  const auto first = [&](const Entries& entries) -> const Entry* {
    for (const Entry& entry : entries)
      if (ConditionsHold(*entry.match, facts)) return &entry;
    return nullptr;
  };
  if (const auto found = host.exact.find(path); found != host.exact.end())
    if (const Entry* entry = first(found->second)) return entry;
  for (const Entry& entry : host.templates)
    if (entry.match->path.Matches(path) && ConditionsHold(*entry.match, facts)) return &entry;
  if (host.prefix.empty()) return nullptr;
  // Each start of the path that ends where a segment does, the longest first: a path holds as many
  // as it has slashes.
  for (std::string_view start = path;;) {
    if (const auto found = host.prefix.find(start); found != host.prefix.end())
      if (const Entry* entry = first(found->second)) return entry;
    if (start.empty()) return nullptr;
    start = start.substr(0, start.rfind('/'));
  }
}

RouteChoice RouteTable::Choose(const RequestFacts& facts) const {
  const PreparedFacts prepared(facts);
  if (asks_path_ && prepared.path_fault() != TargetFault::kNone)
    return {RouteVerdict::kMalformed, prepared.path_fault(), nullptr, nullptr};
  const bool asks_host = !hosts_.empty() || !below_.empty();
  if (asks_host && prepared.host().fault != TargetFault::kNone)
    return {RouteVerdict::kMalformed, prepared.host().fault, nullptr, nullptr};
  const auto found = [](const Entry& entry) {
    return RouteChoice{RouteVerdict::kFound, TargetFault::kNone, entry.rule, entry.match};
  };
  // An empty path has no segment to look up, and the root prefix takes it.
  const std::string_view path = prepared.decoded_path();
  if (asks_host) {
    const std::string name = Lowered(prepared.host().name);
    if (const auto host = hosts_.find(name); host != hosts_.end())
      if (const Entry* entry = FindIn(host->second, path, facts)) return found(*entry);
    for (std::size_t dot = name.find('.'); dot != std::string::npos;
         dot = name.find('.', dot + 1)) {
      if (dot == 0) continue;
      const auto host = below_.find(std::string_view(name).substr(dot + 1));
      if (host == below_.end()) continue;
      if (const Entry* entry = FindIn(host->second, path, facts)) return found(*entry);
    }
  }
  if (const Entry* entry = FindIn(any_, path, facts)) return found(*entry);
  return {};
}

}  // namespace signet::mesh
