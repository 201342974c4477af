#include "proxy/passthrough/server_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/log.h"
#include "mesh/request_target.h"

namespace signet::proxy {
namespace {

constexpr std::size_t kMostNames = 1024;

std::string Lower(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  return text;
}

void ReadNames(ConfigMap& map, std::map<std::string, int>* seen, ServerNameRule* rule) {
  for (const ConfigScalar& each : map.Scalars("names")) {
    const auto pattern = mesh::HostPattern::Parse(each.text);
    if (!pattern || !pattern->port().empty()) {
      map.ProblemAtLine(each.line,
                        fmt::format("'{}' is no server name", EscapeForLog(each.text, 80)),
                        "such as db.example.org or *.example.org, without a port");
      continue;
    }
    const auto [first, added] = seen->emplace(Lower(each.text), each.line);
    if (!added)
      map.ProblemAtLine(each.line,
                        fmt::format("'{}' stands in line {} already", each.text, first->second));
    rule->names.push_back(first->first);
  }
  if (rule->names.empty()) map.Problem("names", "no names", "names: [db.example.org]");
}

void ReadSources(ConfigMap& map, ServerNameRule* rule) {
  const bool written = map.Has("sources");
  for (const ConfigScalar& each : map.Scalars("sources")) {
    const auto range = mesh::IpRange::Parse(each.text);
    if (range)
      rule->sources.push_back(*range);
    else
      map.ProblemAtLine(each.line, range.error().Message(), "such as 10.0.0.0/8");
  }
  // Empty would be from anywhere, which is not what somebody wrote a list for.
  if (written && rule->sources.empty())
    map.Problem("sources", "an empty list would ask nothing", "leave it out for any source");
}

void ReadForward(ConfigMap& map, const net::Address& otherwise, ServerNameRule* rule) {
  rule->forward = otherwise;
  if (!map.Has("forward")) {
    if (otherwise.host.empty())
      map.Problem("forward", "neither here nor beside the listener is a 'forward'",
                  "an address such as 10.0.0.5:5432");
    return;
  }
  const auto address = net::Address::Parse(map.String("forward", ""));
  if (!address || (!address->is_unix && address->port == 0))
    map.Problem("forward", address ? "no port to connect to" : address.error().Message(),
                "an address such as 10.0.0.5:5432");
  else
    rule->forward = *address;
}

bool Takes(const ServerNameRule& rule, const mesh::IpAddress& source) {
  return rule.sources.empty() ||
         std::ranges::any_of(rule.sources, [&](const auto& each) { return each.Contains(source); });
}

}  // namespace

std::vector<ServerNameRule> ReadServerNames(ConfigMap& listener, const net::Address& forward) {
  std::vector<ServerNameRule> rules;
  std::map<std::string, int> seen;
  for (ConfigMap& map : listener.Maps("server_names")) {
    ServerNameRule& rule = rules.emplace_back();
    ReadNames(map, &seen, &rule);
    ReadSources(map, &rule);
    ReadForward(map, forward, &rule);
    map.Finish();
  }
  if (rules.empty())
    listener.Problem("server_names", "no server names: it would refuse everyone",
                     "server_names: [{names: [db.example.org], forward: 10.0.0.5:5432}]");
  if (seen.size() > kMostNames)
    listener.Problem("server_names", fmt::format("more than {} names", kMostNames));
  return rules;
}

std::optional<std::size_t> FindServerName(const std::vector<ServerNameRule>& rules,
                                          std::string_view name, const mesh::IpAddress& source) {
  std::optional<std::size_t> found;
  std::size_t longest = 0;
  for (std::size_t i = 0; i < rules.size(); ++i)
    for (const std::string& each : rules[i].names) {
      const bool below = each.starts_with("*.");
      const std::string_view suffix = std::string_view(each).substr(below ? 1 : 0);
      const bool matches =
          below ? name.size() > suffix.size() && name.ends_with(suffix) : name == each;
      // An exact name is longer than any suffix of it.
      if (!matches || suffix.size() <= longest) continue;
      longest = suffix.size();
      found = i;
    }
  if (found && !Takes(rules[*found], source)) return std::nullopt;
  return found;
}

}  // namespace signet::proxy
