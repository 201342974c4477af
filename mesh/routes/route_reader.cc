#include "mesh/routes/route_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/log.h"

namespace signet::mesh {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kMaxTextBytes = 4096;
constexpr std::size_t kMaxListed = 64;  // filters, header edits, backends, conditions of one rule
constexpr Duration kMaxTimeout = 24h;
constexpr std::uint32_t kMaxWeight = 1'000'000;  // as in the Gateway API

bool IsTokenByte(char c) {  // RFC 9110, 5.6.2
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         kMarks.find(c) != std::string_view::npos;
}

bool IsToken(std::string_view text) {
  return !text.empty() && text.size() <= kMaxTextBytes && std::ranges::all_of(text, IsTokenByte);
}

// RFC 9110, 5.5, without obs-text.
bool IsFieldValue(std::string_view text) {
  return text.size() <= kMaxTextBytes && !text.starts_with(' ') && !text.ends_with(' ') &&
         std::ranges::all_of(text, [](char c) { return c >= 0x20 && c < 0x7f; });
}

std::string Lowered(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text;
}

// "12.5" percent in parts of a million.
std::optional<Share> ParsePercentage(std::string_view text) {
  double percent = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), percent);
  if (error != std::errc() || stop != text.data() + text.size() || !(percent >= 0) || percent > 100)
    return std::nullopt;
  return static_cast<Share>(std::lround(percent * (kAllShare / 100.0)));
}

// Reads one rule; the order is that of the struct.
class RuleReader {
 public:
  RuleReader(ConfigMap& config, const RouteScope& scope) : config_(config), scope_(scope) {}

  RouteRule Read(const std::string& default_name) {
    rule_.file = config_.file();
    rule_.line = config_.line();
    rule_.name = config_.String("name", default_name);
    CheckText(config_, "name", rule_.name);
    for (ConfigMap& match : Limited(config_, "matches")) rule_.matches.push_back(ReadMatch(match));
    if (rule_.matches.empty()) rule_.matches.emplace_back();
    for (ConfigMap& filter : Limited(config_, "filters")) ReadFilter(filter);
    ReadBackends();
    if (auto timeouts = config_.Map("timeouts")) ReadTimeouts(*timeouts);
    if (auto retry = config_.Map("retry")) ReadRetry(*retry);
    if (auto fault = config_.Map("fault")) ReadFault(*fault);
    CheckWhole();
    config_.Finish();
    return std::move(rule_);
  }

 private:
  static std::vector<ConfigMap> Limited(ConfigMap& map, std::string_view key) {
    std::vector<ConfigMap> items = map.Maps(key);
    if (map.Has(key) && items.empty())
      map.Problem(key, fmt::format("'{}' is empty", key), "leave it out");
    if (items.size() > kMaxListed) {
      map.Problem(key, fmt::format("'{}' has more than {} elements", key, kMaxListed));
      items.clear();
    }
    return items;
  }

  static void CheckText(ConfigMap& map, std::string_view key, const std::string& text) {
    if (text.empty() || !IsFieldValue(text))
      map.Problem(key, fmt::format("'{}' is empty, too long or not plain text", key));
  }

  // ---- matches

  RouteMatch ReadMatch(ConfigMap& map) {
    RouteMatch match;
    if (auto path = map.Map("path")) match.path = ReadPath(*path);
    match.method = map.String("method", "");
    const bool capitals =
        std::ranges::none_of(match.method, [](char c) { return c >= 'a' && c <= 'z'; });
    if (map.Has("method") && !(IsToken(match.method) && capitals))
      map.Problem("method", fmt::format("'{}' is not a method", EscapeForLog(match.method, 40)),
                  "in capitals, such as GET");
    for (ConfigMap& header : Limited(map, "headers"))
      match.headers.push_back(ReadValueMatch(header, true));
    for (ConfigMap& parameter : Limited(map, "queryParams"))
      match.query.push_back(ReadValueMatch(parameter, false));
    map.Finish();
    return match;
  }

  static PathMatch ReadPath(ConfigMap& map) {
    const std::string type = map.String("type", "PathPrefix");
    const std::string value = map.String("value", "/");
    PathMatchType read = PathMatchType::kPrefix;
    if (type == "Exact")
      read = PathMatchType::kExact;
    else if (type == "PathTemplate")
      read = PathMatchType::kTemplate;
    else if (type != "PathPrefix")
      map.Problem("type", fmt::format("'{}' is not a type of path match", EscapeForLog(type, 40)),
                  type == "RegularExpression" ? "a PathTemplate such as /users/{id}/orders"
                                              : "Exact, PathPrefix or PathTemplate");
    auto match = PathMatch::Parse(read, value);
    if (!match)
      map.Problem("value", match.error().Message(), "a path such as /users, without a query");
    map.Finish();
    return match ? *std::move(match) : PathMatch();
  }

  static ValueMatch ReadValueMatch(ConfigMap& map, bool header) {
    ValueMatch match;
    match.name = map.RequiredString("name", header ? "a header's name" : "a parameter's name");
    const std::string type = map.String("type", "Exact");
    if (type == "Present")
      match.type = ValueMatch::Type::kPresent;
    else if (type == "Prefix" && header)
      match.type = ValueMatch::Type::kPrefix;
    else if (type != "Exact")
      map.Problem("type", fmt::format("'{}' is not a type of match", EscapeForLog(type, 40)),
                  header ? "Exact, Prefix or Present" : "Exact or Present");
    if (match.type != ValueMatch::Type::kPresent)
      match.value = map.RequiredString("value", "what it must be");
    if (header) {
      match.name = Lowered(match.name);
      if (!match.name.empty() && !IsToken(match.name))
        map.Problem("name",
                    fmt::format("'{}' is not a header's name", EscapeForLog(match.name, 80)));
      if (match.name == "host")
        map.Problem("name", "the host is not matched as a header", "use hostnames");
      if (!IsFieldValue(match.value)) map.Problem("value", "no header can have this value");
    }
    map.Finish();
    return match;
  }

  // ---- filters

  void ReadFilter(ConfigMap& map) {
    const std::string type = map.RequiredString("type", kFilterTypes);
    // The key is named for the type, in lower case at its start.
    std::string key = type;
    if (!key.empty() && key[0] >= 'A' && key[0] <= 'Z')
      key[0] = static_cast<char>(key[0] - 'A' + 'a');
    if (type == "URLRewrite") key = "urlRewrite";
    using Reader = void (RuleReader::*)(ConfigMap&);
    static constexpr std::pair<std::string_view, Reader> kReaders[] = {
        {"RequestHeaderModifier", &RuleReader::ReadRequestHeaders},
        {"ResponseHeaderModifier", &RuleReader::ReadResponseHeaders},
        {"RequestRedirect", &RuleReader::ReadRedirect},
        {"URLRewrite", &RuleReader::ReadRewrite},
        {"RequestMirror", &RuleReader::ReadMirror},
    };
    const auto* reader =
        std::ranges::find(kReaders, type, &std::pair<std::string_view, Reader>::first);
    if (reader == std::end(kReaders)) {
      if (!type.empty())
        map.Problem("type", fmt::format("'{}' is not a filter", EscapeForLog(type, 40)),
                    kFilterTypes);
      return;
    }
    if (type != "RequestMirror" && !seen_filters_.insert(type).second)
      map.Problem("type", fmt::format("a second {} in one rule", type), "write one of each");
    if (auto settings = map.Map(key)) {
      (this->*reader->second)(*settings);
      settings->Finish();
    } else {
      map.Problem("type", fmt::format("the filter has no '{}'", key));
    }
    map.Finish();
  }

  void ReadRequestHeaders(ConfigMap& map) { ReadHeaderEdits(map, &rule_.request_headers); }
  void ReadResponseHeaders(ConfigMap& map) { ReadHeaderEdits(map, &rule_.response_headers); }

  static std::string EditedName(ConfigMap& map, std::string name, int line) {
    name = Lowered(std::move(name));
    if (!IsToken(name))
      map.ProblemAtLine(line, fmt::format("'{}' is not a header's name", EscapeForLog(name, 80)));
    else if (!MayEditField(name))
      map.ProblemAtLine(line, fmt::format("a route may not edit '{}'", name),
                        name == "host" ? "URLRewrite has a hostname"
                                       : "it frames the message, concerns one connection or names "
                                         "the caller");
    return name;
  }

  static void ReadHeaderEdits(ConfigMap& map, HeaderEdits* edits) {
    const auto pairs = [&map](std::string_view key, std::vector<NamedValue>* out) {
      for (ConfigMap& item : Limited(map, key)) {
        std::string name =
            EditedName(item, item.RequiredString("name", "a header's name"), item.line());
        std::string value = item.RequiredString("value", "its value");
        if (!IsFieldValue(value)) item.Problem("value", "no header can have this value");
        out->emplace_back(std::move(name), std::move(value));
        item.Finish();
      }
    };
    pairs("set", &edits->set);
    pairs("add", &edits->add);
    for (const ConfigScalar& name : map.Scalars("remove"))
      edits->remove.push_back(EditedName(map, name.text, name.line));
    if (edits->remove.size() > kMaxListed)
      map.Problem("remove", fmt::format("'remove' has more than {} elements", kMaxListed));
    if (edits->empty()) map.ProblemAtLine(map.line(), "the filter edits nothing", "leave it out");
  }

  static std::string ReadHostname(ConfigMap& map) {
    const auto hostname = map.String("hostname");
    if (!hostname) return {};
    const auto pattern = HostPattern::Parse(*hostname);
    if (pattern && !pattern->below() && pattern->port().empty()) return *hostname;
    map.Problem("hostname", fmt::format("'{}' is not a host's name", EscapeForLog(*hostname, 80)),
                "a name such as api.example.org, without a port");
    return {};
  }

  static PathEdit ReadPathEdit(ConfigMap& map) {
    PathEdit edit;
    auto path = map.Map("path");
    if (!path) return edit;
    const std::string type = path->RequiredString("type", "ReplaceFullPath or ReplacePrefixMatch");
    std::string_view key;
    if (type == "ReplaceFullPath") {
      edit.type = PathEdit::Type::kReplaceFullPath;
      key = "replaceFullPath";
    } else if (type == "ReplacePrefixMatch") {
      edit.type = PathEdit::Type::kReplacePrefixMatch;
      key = "replacePrefixMatch";
    } else {
      if (!type.empty())
        path->Problem("type", fmt::format("'{}' is not a change of path", EscapeForLog(type, 40)),
                      "ReplaceFullPath or ReplacePrefixMatch");
      return edit;
    }
    edit.value = path->String(key, "/");
    if (edit.value.empty()) edit.value = "/";
    if (const TargetFault fault = CheckCanonicalPath(edit.value);
        fault != TargetFault::kNone || edit.value.find('?') != std::string::npos)
      path->Problem(key, fmt::format("'{}' is not a path", EscapeForLog(edit.value, 80)),
                    "such as /v2");
    path->Finish();
    return edit;
  }

  void ReadRedirect(ConfigMap& map) {
    Redirect redirect;
    redirect.scheme = map.String("scheme", "");
    if (map.Has("scheme") && redirect.scheme != "http" && redirect.scheme != "https")
      map.Problem("scheme", fmt::format("'{}' is not a scheme", EscapeForLog(redirect.scheme, 40)),
                  "http or https");
    redirect.hostname = ReadHostname(map);
    redirect.port = static_cast<int>(map.Int("port", 0, 1, 65535));
    redirect.path = ReadPathEdit(map);
    redirect.status = static_cast<int>(map.Int("statusCode", 302, 301, 308));
    if (redirect.status > 303 && redirect.status < 307)
      map.Problem("statusCode", fmt::format("{} does not redirect", redirect.status),
                  "301, 302, 303, 307 or 308");
    rule_.redirect = std::move(redirect);
  }

  void ReadRewrite(ConfigMap& map) {
    UrlRewrite rewrite;
    rewrite.hostname = ReadHostname(map);
    rewrite.path = ReadPathEdit(map);
    if (!map.Has("hostname") && !map.Has("path"))
      map.ProblemAtLine(map.line(), "the rewrite changes nothing", "hostname, or path");
    rule_.rewrite = std::move(rewrite);
  }

  void ReadMirror(ConfigMap& map) {
    Mirror mirror;
    if (auto backend = map.Map("backendRef")) {
      mirror.backend = ReadBackendName(*backend);
      backend->Finish();
    } else {
      map.ProblemAtLine(map.line(), "the mirror has no 'backendRef'", "backendRef: {name: …}");
    }
    mirror.share = ReadShare(map, "percent", kAllShare);
    mirror.all_methods = map.Bool("allMethods", false);
    rule_.mirrors.push_back(std::move(mirror));
  }

  static Share ReadShare(ConfigMap& map, std::string_view key, Share fallback) {
    const auto text = map.String(key);
    if (!text) return fallback;
    if (const auto share = ParsePercentage(*text)) return *share;
    map.Problem(key, fmt::format("'{}' is not a percentage", EscapeForLog(*text, 40)),
                "0 to 100, such as 0.5");
    return fallback;
  }

  // ---- backends and what happens on the way

  std::string ReadBackendName(ConfigMap& map) {
    std::string name = map.RequiredString("name", "one of the listener's backends");
    if (!name.empty() && !scope_.backends->contains(name))
      map.Problem("name", fmt::format("there is no backend '{}'", EscapeForLog(name, 80)),
                  fmt::format("a name under {}.backends", scope_.path));
    return name;
  }

  void ReadBackends() {
    for (ConfigMap& map : Limited(config_, "backendRefs")) {
      BackendRef backend;
      backend.backend = ReadBackendName(map);
      backend.weight = static_cast<std::uint32_t>(map.Int("weight", 1, 0, kMaxWeight));
      rule_.total_weight += backend.weight;
      rule_.backends.push_back(std::move(backend));
      map.Finish();
    }
    if (!rule_.backends.empty() || rule_.redirect) return;
    if (!scope_.forward)
      config_.ProblemAtLine(rule_.line, fmt::format("rule '{}' has no backendRefs", rule_.name),
                            "name a backend, or give the listener a forward address");
    rule_.backends.emplace_back();
    rule_.total_weight = 1;
  }

  void ReadTimeouts(ConfigMap& map) {
    rule_.timeouts.request = map.Duration("request", 0s, 0s, kMaxTimeout);
    rule_.timeouts.backend_request = map.Duration("backendRequest", 0s, 0s, kMaxTimeout);
    if (rule_.timeouts.request != 0s && rule_.timeouts.backend_request > rule_.timeouts.request)
      map.Problem("backendRequest", "one try may take longer than the whole request",
                  "at most timeouts.request");
    map.Finish();
  }

  void ReadRetry(ConfigMap& map) {
    rule_.retry.attempts = static_cast<int>(map.Int("attempts", 1, 1, 10));
    rule_.retry.backoff = map.Duration("backoff", 25ms, 0s, 1min);
    for (const ConfigScalar& text : map.Scalars("codes")) {
      int code = 0;
      const char* end = text.text.data() + text.text.size();
      const auto [stop, error] = std::from_chars(text.text.data(), end, code);
      if (error != std::errc() || stop != end || code < 400 || code > 599)
        map.ProblemAtLine(
            text.line,
            fmt::format("'{}' is not the status of a failure", EscapeForLog(text.text, 40)),
            "400 to 599");
      else
        rule_.retry.codes.push_back(code);
    }
    if (rule_.retry.codes.size() > kMaxListed)
      map.Problem("codes", fmt::format("'codes' has more than {} elements", kMaxListed));
    map.Finish();
  }

  void ReadFault(ConfigMap& map) {
    if (auto delay = map.Map("delay")) {
      rule_.fault.delay = delay->Duration("fixedDelay", 0s, 0s, 1h);
      rule_.fault.delay_share = ReadShare(*delay, "percentage", kAllShare);
      delay->Finish();
    }
    if (auto abort = map.Map("abort")) {
      rule_.fault.abort_status = static_cast<int>(abort->Int("httpStatus", 503, 400, 599));
      if (abort->Has("grpcStatus"))
        rule_.fault.abort_grpc = static_cast<int>(abort->Int("grpcStatus", 14, 1, 16));
      rule_.fault.abort_share = ReadShare(*abort, "percentage", kAllShare);
      abort->Finish();
    }
    map.Finish();
  }

  // What no part of it could see by itself.
  void CheckWhole() {
    const bool prefixes_only = std::ranges::all_of(rule_.matches, [](const RouteMatch& match) {
      return match.path.type() == PathMatchType::kPrefix;
    });
    const auto replaces_prefix = [](const PathEdit& edit) {
      return edit.type == PathEdit::Type::kReplacePrefixMatch;
    };
    const bool replaces = (rule_.redirect && replaces_prefix(rule_.redirect->path)) ||
                          (rule_.rewrite && replaces_prefix(rule_.rewrite->path));
    if (replaces && !prefixes_only)
      config_.ProblemAtLine(
          rule_.line,
          fmt::format("rule '{}': ReplacePrefixMatch, and not every match is a PathPrefix",
                      rule_.name),
          "a rule of its own for the others");
    if (rule_.redirect && (rule_.rewrite || !rule_.backends.empty() || !rule_.mirrors.empty()))
      config_.ProblemAtLine(
          rule_.line, fmt::format("rule '{}' redirects, so nothing of it is forwarded", rule_.name),
          "leave out backendRefs, URLRewrite and RequestMirror");
  }

  static constexpr const char* kFilterTypes =
      "RequestHeaderModifier, ResponseHeaderModifier, RequestRedirect, URLRewrite or RequestMirror";

  ConfigMap& config_;
  const RouteScope& scope_;
  std::set<std::string> seen_filters_;
  RouteRule rule_;
};

HttpRoute ReadRoute(ConfigMap& map, const RouteScope& scope, std::string default_name) {
  HttpRoute route;
  route.name = map.String("name", default_name);
  std::vector<ConfigScalar> hostnames = map.Scalars("hostnames");
  if (hostnames.size() > kMaxListed) {
    map.Problem("hostnames", fmt::format("'hostnames' has more than {} elements", kMaxListed));
    hostnames.clear();
  }
  for (const ConfigScalar& text : hostnames) {
    auto host = HostPattern::Parse(text.text);
    if (host && host->port().empty())
      route.hostnames.push_back(*std::move(host));
    else
      map.ProblemAtLine(text.line,
                        fmt::format("'{}' is not a hostname", EscapeForLog(text.text, 80)),
                        "a name such as api.example.org or *.example.org, without a port");
  }
  std::vector<ConfigMap> rules = map.Maps("rules");
  if (rules.empty())
    map.ProblemAtLine(map.line(), fmt::format("route '{}' has no rules", route.name),
                      "rules: [{backendRefs: [{name: …}]}]");
  for (std::size_t i = 0; i < rules.size(); ++i)
    route.rules.push_back(
        RuleReader(rules[i], scope).Read(fmt::format("{}/rules[{}]", route.name, i)));
  map.Finish();
  return route;
}

}  // namespace

std::vector<HttpRoute> ReadRoutes(ConfigMap& listener, const RouteScope& scope,
                                  ConfigProblems* problems) {
  std::vector<HttpRoute> routes;
  std::set<std::string> names;
  std::size_t matches = 0;
  for (ConfigMap& map : listener.Maps("routes")) {
    routes.push_back(ReadRoute(map, scope, fmt::format("routes[{}]", routes.size())));
    for (const RouteRule& rule : routes.back().rules) {
      matches += rule.matches.size() * std::max<std::size_t>(1, routes.back().hostnames.size());
      if (!names.insert(rule.name).second)
        problems->Add({rule.file, rule.line, fmt::format("a second rule is named '{}'", rule.name),
                       "names tell rules apart in logs and metrics"});
    }
  }
  if (matches > kMaxRouteMatches)
    listener.Problem("routes", fmt::format("more than {} matches, times the hostnames they are for",
                                           kMaxRouteMatches));
  return routes;
}

bool MayEditField(std::string_view name) {
  static constexpr std::string_view kKept[] = {
      "connection",
      "content-length",
      "expect",
      "host",
      "keep-alive",
      "http2-settings",
      "proxy-connection",
      "signet-client-id",
      "te",
      "trailer",
      "transfer-encoding",
      "upgrade",
      "x-forwarded-client-cert",
  };
  // '_' is read as '-' by applications behind a gateway interface (RFC 3875, 4.1.18).
  std::string twin(name);
  std::ranges::replace(twin, '_', '-');
  return !name.starts_with(':') && std::ranges::find(kKept, twin) == std::end(kKept);
}

}  // namespace signet::mesh
