// A second evaluator of routes, written to be obvious: every match of every rule in turn, paths cut
// into segments, the best one kept by comparing what it fixes. What the compiled table must agree
// with.
#pragma once

#include <map>
#include <tuple>

#include "mesh/routes/route_table.h"
#include "tests/support/reference_policy.h"

namespace signet::test {

struct ReferenceRoute {
  mesh::RouteVerdict verdict = mesh::RouteVerdict::kNone;
  std::string rule;
};

inline std::string PercentDecoded(const std::string& text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() &&
        isxdigit(static_cast<unsigned char>(text[i + 1])) &&
        isxdigit(static_cast<unsigned char>(text[i + 2]))) {
      decoded += static_cast<char>(std::stoi(text.substr(i + 1, 2), nullptr, 16));
      i += 2;
    } else {
      decoded += text[i];
    }
  }
  return decoded;
}

inline bool ReferencePathHolds(const mesh::PathMatch& match, const std::string& decoded) {
  if (match.type() == mesh::PathMatchType::kExact) return decoded == match.literal();
  if (match.type() == mesh::PathMatchType::kTemplate) return match.Matches(decoded);
  const Texts asked = SplitText(match.literal(), '/');
  const Texts sent = SplitText(decoded, '/');
  return asked.size() <= sent.size() && std::equal(asked.begin(), asked.end(), sent.begin());
}

inline bool ReferenceConditionsHold(const mesh::RouteMatch& match,
                                    const mesh::RequestFacts& facts) {
  if (!match.method.empty() && match.method != facts.method) return false;
  std::map<std::string, Texts> sent;
  for (const mesh::NameValue& header : facts.headers) {
    std::string value(header.value);
    value.erase(0, std::min(value.size(), value.find_first_not_of(" \t")));
    value.erase(value.find_last_not_of(" \t") + 1);
    sent[LowerText(header.name)].push_back(value);
  }
  for (const mesh::ValueMatch& asked : match.headers) {
    if (!sent.contains(asked.name)) return false;
    if (asked.type == mesh::ValueMatch::Type::kPresent) continue;
    std::string joined;
    for (const std::string& value : sent[asked.name])
      joined += (&value == &sent[asked.name].front() ? "" : ", ") + value;
    if (asked.type == mesh::ValueMatch::Type::kExact && joined != asked.value) return false;
    if (asked.type == mesh::ValueMatch::Type::kPrefix && joined.rfind(asked.value, 0) != 0)
      return false;
  }
  const std::string target(facts.path);
  const auto mark = target.find('?');
  std::map<std::string, std::string> parameters;
  if (mark != std::string::npos)
    for (const std::string& pair : SplitText(target.substr(mark + 1), '&')) {
      const auto equals = pair.find('=');
      parameters.emplace(  // the first one stays
          PercentDecoded(pair.substr(0, equals)),
          equals == std::string::npos ? "" : PercentDecoded(pair.substr(equals + 1)));
    }
  return std::ranges::all_of(match.query, [&](const mesh::ValueMatch& asked) {
    const auto found = parameters.find(asked.name);
    return found != parameters.end() &&
           (asked.type == mesh::ValueMatch::Type::kPresent || found->second == asked.value);
  });
}

// Of the hostnames of a route, what the best one that holds is worth; nothing when none does.
inline std::optional<std::pair<int, std::size_t>> ReferenceHost(const mesh::HttpRoute& route,
                                                                const mesh::HostParts& host) {
  if (route.hostnames.empty()) return std::pair<int, std::size_t>{0, 0};
  std::optional<std::pair<int, std::size_t>> best;
  for (const mesh::HostPattern& name : route.hostnames) {
    if (!name.Matches(host)) continue;
    const std::pair<int, std::size_t> worth{name.below() ? 1 : 2, name.name().size()};
    if (!best || worth > *best) best = worth;
  }
  return best;
}

inline ReferenceRoute ReferenceChoose(std::span<const mesh::HttpRoute> routes,
                                      const mesh::RequestFacts& facts) {
  const bool star = (facts.method == "OPTIONS" && facts.path == "*") ||
                    (facts.method == "CONNECT" && facts.path.empty());
  const std::string path(facts.path.substr(0, facts.path.find('?')));
  const bool odd_path = !star && mesh::CheckCanonicalPath(path) != mesh::TargetFault::kNone;
  const mesh::HostParts host = mesh::ParseHost(facts.host);
  for (const mesh::HttpRoute& route : routes)
    for (const mesh::RouteRule& rule : route.rules)
      for (const mesh::RouteMatch& match : rule.matches)
        if ((odd_path && !match.path.takes_all()) ||
            (!route.hostnames.empty() && host.fault != mesh::TargetFault::kNone))
          return {mesh::RouteVerdict::kMalformed, ""};
  const std::string decoded = star || odd_path ? "" : PercentDecoded(path);
  using Worth =
      std::tuple<std::pair<int, std::size_t>, int, std::size_t, bool, std::size_t, std::size_t>;
  std::optional<Worth> best;
  ReferenceRoute chosen;
  for (const mesh::HttpRoute& route : routes) {
    const auto host_worth = ReferenceHost(route, host);
    if (!host_worth) continue;
    for (const mesh::RouteRule& rule : route.rules)
      for (const mesh::RouteMatch& match : rule.matches) {
        if (!ReferencePathHolds(match.path, decoded) || !ReferenceConditionsHold(match, facts))
          continue;
        const int type = match.path.type() == mesh::PathMatchType::kExact      ? 2
                         : match.path.type() == mesh::PathMatchType::kTemplate ? 1
                                                                               : 0;
        const Worth worth{*host_worth,          type,
                          match.path.weight(),  !match.method.empty(),
                          match.headers.size(), match.query.size()};
        if (best && worth <= *best) continue;
        best = worth;
        chosen = {mesh::RouteVerdict::kFound, rule.name};
      }
  }
  return chosen;
}

}  // namespace signet::test
