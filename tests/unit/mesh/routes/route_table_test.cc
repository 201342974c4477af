#include "mesh/routes/route_table.h"

#include <catch2/catch.hpp>
#include <map>

#include "mesh/routes/route_action.h"
#include "mesh/routes/traffic.h"

namespace signet::mesh {
namespace {

Traffic Read(const std::string& text, ConfigProblems* problems) {
  ConfigMap root = ConfigMap::Parse(text, "routes.yaml", problems);
  Traffic traffic = ReadTraffic(root, {"outbound/web", "outbound[0]", true, true}, problems);
  root.Finish();
  return traffic;
}

Traffic ReadWell(const std::string& text) {
  ConfigProblems problems;
  Traffic traffic = Read(text, &problems);
  INFO(problems.Text());
  REQUIRE(problems.empty());
  return traffic;
}

std::string SoleProblem(const std::string& text) {
  ConfigProblems problems;
  Read(text, &problems);
  INFO(problems.Text());
  REQUIRE(problems.all().size() == 1);
  return problems.Text();
}

// The name of the rule that takes it.
std::string Rule(const Traffic& traffic, std::string_view path, std::string_view host = "h",
                 std::vector<NameValue> headers = {}, std::string_view method = "GET") {
  RequestFacts facts;
  facts.method = method;
  facts.path = path;
  facts.host = host;
  facts.headers = headers;
  const RouteChoice choice = traffic.routes->Choose(facts);
  switch (choice.verdict) {
    case RouteVerdict::kNone:
      return "none";
    case RouteVerdict::kMalformed:
      return "malformed";
    case RouteVerdict::kFound:
      return choice.rule->name;
  }
  return {};
}

constexpr char kPrecedence[] =
    "routes:\n"
    "  - name: all\n"
    "    rules:\n"
    "      - {name: root}\n"
    "      - {name: a, matches: [{path: {value: /a}}]}\n"
    "      - {name: a get, matches: [{path: {value: /a}, method: GET}]}\n"
    "      - {name: a beta, matches: [{path: {value: /a}, headers: [{name: X-Beta, value: "
    "'1'}]}]}\n"
    "      - {name: ab, matches: [{path: {value: /a/b/}}]}\n"
    "      - {name: id, matches: [{path: {type: PathTemplate, value: '/a/{id}/c'}}]}\n"
    "      - {name: exact, matches: [{path: {type: Exact, value: /a/b/c}}]}\n"
    "  - name: below\n"
    "    hostnames: ['*.example.org']\n"
    "    rules: [{name: below, matches: [{path: {value: /b}}]}]\n"
    "  - name: one\n"
    "    hostnames: [api.example.org]\n"
    "    rules: [{name: one, matches: [{path: {value: /b}}]}]\n";

TEST_CASE("routes are chosen in the Gateway API's order of precedence") {
  const Traffic traffic = ReadWell(kPrecedence);
  CHECK(Rule(traffic, "/") == "root");
  CHECK(Rule(traffic, "/ab") == "root");
  CHECK(Rule(traffic, "/a") == "a get");
  CHECK(Rule(traffic, "/a/", "h", {}, "POST") == "a");
  CHECK(Rule(traffic, "/a/x", "h", {{"x-beta", "1"}}, "POST") == "a beta");
  CHECK(Rule(traffic, "/a/x", "h", {{"x-beta", "1"}}, "GET") == "a get");
  CHECK(Rule(traffic, "/a/b") == "ab");
  CHECK(Rule(traffic, "/a/b/d?x=/a") == "ab");
  CHECK(Rule(traffic, "/a/z/c") == "id");
  CHECK(Rule(traffic, "/a/b/c") == "exact");
  CHECK(Rule(traffic, "/b", "API.example.org:443") == "one");
  CHECK(Rule(traffic, "/b", "x.y.example.org") == "below");
  CHECK(Rule(traffic, "/b", "example.org") == "root");
  // A hostname goes first, and does not hide what only the others take.
  CHECK(Rule(traffic, "/a/b/c", "api.example.org") == "exact");
}

TEST_CASE("what has no one meaning is malformed where a rule asks for it, and no rule is none") {
  const Traffic traffic = ReadWell(kPrecedence);
  CHECK(Rule(traffic, "/a//b") == "malformed");
  CHECK(Rule(traffic, "/a", "h.") == "malformed");
  const Traffic one = ReadWell("routes: [{rules: [{matches: [{path: {value: /a}}]}]}]");
  CHECK(Rule(one, "/b") == "none");
  CHECK(Rule(one, "/a", "") == "routes[0]/rules[0]");
  CHECK(Rule(one, "*", "h", {}, "OPTIONS") == "none");
  const Traffic all = ReadWell("routes: [{rules: [{}]}]");
  CHECK(Rule(all, "/a//b", "") == "routes[0]/rules[0]");
  CHECK(Rule(all, "*", "h", {}, "OPTIONS") == "routes[0]/rules[0]");
}

TEST_CASE("repeated headers are one value, and of a repeated parameter the first counts") {
  const Traffic traffic = ReadWell(
      "routes: [{rules: [{name: both, matches: [{headers: [{name: x, value: 'a, b'}]}]},\n"
      "                  {name: query, matches: [{queryParams: [{name: q, value: 'a b'}]}]}]}]");
  CHECK(Rule(traffic, "/", "h", {{"X", " a "}, {"x", "b"}}) == "both");
  CHECK(Rule(traffic, "/", "h", {{"x", "a"}}) == "none");
  CHECK(Rule(traffic, "/?q=a%20b&q=c") == "query");
  CHECK(Rule(traffic, "/?q=c&q=a%20b") == "none");
  CHECK(Rule(traffic, "/?q") == "none");
}

TEST_CASE("weights divide the numbers as they are written, and all 0 leave nobody") {
  const Traffic traffic = ReadWell(
      "backends: [{name: a, expect: [{id: spiffe://td/a}], endpoints: [{address: 'x:1'}]},\n"
      "           {name: b, expect: [{id: spiffe://td/b}], endpoints: [{address: 'x:2'}]}]\n"
      "routes: [{rules: [{backendRefs: [{name: a, weight: 90}, {name: b, weight: 10}]},\n"
      "  {name: nobody, matches: [{path: {value: /n}}], backendRefs: [{name: a, weight: 0}]}]}]");
  const RouteRule& rule = traffic.routes->routes()[0].rules[0];
  std::map<std::string, int> seen;
  for (std::uint64_t number = 0; number < 1000; ++number)
    ++seen[PickBackend(rule, number)->backend];
  CHECK(seen["a"] == 900);
  CHECK(seen["b"] == 100);
  CHECK(PickBackend(traffic.routes->routes()[0].rules[1], 7) == nullptr);
}

TEST_CASE("a prefix is replaced by whole segments as they were sent, and the query stays") {
  const auto edit = [](const std::string& prefix, const std::string& to, std::string_view target) {
    RouteMatch match;
    match.path = PathMatch::Parse(PathMatchType::kPrefix, prefix).value();
    return EditTarget({PathEdit::Type::kReplacePrefixMatch, to}, match, target);
  };
  // The table of the Gateway API's HTTPPathModifier.
  CHECK(edit("/foo", "/xyz", "/foo/bar") == "/xyz/bar");
  CHECK(edit("/foo", "/xyz/", "/foo/bar") == "/xyz/bar");
  CHECK(edit("/foo/", "/xyz", "/foo/bar") == "/xyz/bar");
  CHECK(edit("/foo", "/xyz", "/foo") == "/xyz");
  CHECK(edit("/foo", "/xyz", "/foo/") == "/xyz/");
  CHECK(edit("/foo", "/", "/foo/bar") == "/bar");
  CHECK(edit("/foo", "/", "/foo/") == "/");
  CHECK(edit("/foo", "/", "/foo") == "/");
  CHECK(edit("/", "/v2", "/a") == "/v2/a");
  CHECK(edit("/%C3%A9", "/e", "/%c3%a9/%40?q=/x") == "/e/%40?q=/x");
  CHECK(EditTarget({PathEdit::Type::kReplaceFullPath, "/n"}, {}, "/a/b?q") == "/n?q");
}

TEST_CASE("a redirect keeps what it does not name, and a port goes with its scheme") {
  const auto location = [](const Redirect& redirect, std::string_view authority) {
    return RedirectLocation(redirect, {}, "http", authority, "/a?q=1");
  };
  Redirect redirect;
  CHECK(location(redirect, "h:8080") == "http://h:8080/a?q=1");
  redirect.scheme = "https";
  CHECK(location(redirect, "h:8080") == "https://h/a?q=1");
  redirect.port = 8443;
  CHECK(location(redirect, "[::1]:80") == "https://[::1]:8443/a?q=1");
  redirect.port = 443;
  redirect.hostname = "new.example.org";
  CHECK(location(redirect, "h") == "https://new.example.org/a?q=1");
  redirect = {};
  redirect.path = {PathEdit::Type::kReplaceFullPath, "/new"};
  CHECK(location(redirect, "") == "/new?q=1");
}

TEST_CASE("every fault of a route is a problem with its line and what to do") {
  const auto rule = [](const std::string& text) {
    return SoleProblem("routes:\n  - rules:\n      - {" + text + "}\n");
  };
  const auto filter = [&](const std::string& type, const std::string& key,
                          const std::string& settings) {
    return rule("filters: [{type: " + type + ", " + key + ": {" + settings + "}}]");
  };
  CHECK_THAT(SoleProblem("routes: [{name: x}]"), Catch::Contains("no rules"));
  CHECK_THAT(rule("matches: []"), Catch::Contains("routes.yaml:3: 'matches' is empty"));
  CHECK_THAT(rule("matches: [{path: {type: RegularExpression, value: '/a.*'}}]"),
             Catch::Contains("PathTemplate"));
  CHECK_THAT(rule("matches: [{path: {value: a}}]"), Catch::Contains("malformed path"));
  CHECK_THAT(rule("matches: [{path: {value: '/a?b'}}]"), Catch::Contains("a query"));
  CHECK_THAT(rule("matches: [{path: {value: /a/../b}}]"), Catch::Contains("malformed path"));
  CHECK_THAT(rule("matches: [{method: get}]"), Catch::Contains("in capitals"));
  CHECK_THAT(rule("matches: [{headers: [{name: Host, value: a}]}]"), Catch::Contains("hostnames"));
  CHECK_THAT(rule("matches: [{headers: [{name: x}]}]"), Catch::Contains("missing"));
  CHECK_THAT(rule("matches: [{queryParams: [{name: x, value: y, type: Prefix}]}]"),
             Catch::Contains("Exact or Present"));
  CHECK_THAT(rule("backendRefs: [{name: nobody}]"), Catch::Contains("no backend 'nobody'"));
  CHECK_THAT(rule("filters: [{type: Rewrite}]"), Catch::Contains("not a filter"));
  CHECK_THAT(rule("filters: [{type: URLRewrite}]"), Catch::Contains("no 'urlRewrite'"));
  CHECK_THAT(filter("URLRewrite", "urlRewrite", ""), Catch::Contains("changes nothing"));
  CHECK_THAT(filter("URLRewrite", "urlRewrite", "hostname: 'h:80'"), Catch::Contains("port"));
  CHECK_THAT(
      filter("RequestHeaderModifier", "requestHeaderModifier", "remove: [X_Forwarded_Client-Cert]"),
      Catch::Contains("may not edit"));
  CHECK_THAT(filter("RequestHeaderModifier", "requestHeaderModifier",
                    "set: [{name: content-length, value: '1'}]"),
             Catch::Contains("may not edit"));
  CHECK_THAT(filter("ResponseHeaderModifier", "responseHeaderModifier",
                    "add: [{name: x, value: \"a\\r\\nb: c\"}]"),
             Catch::Contains("no header can have"));
  CHECK_THAT(filter("RequestRedirect", "requestRedirect", "statusCode: 304"),
             Catch::Contains("does not redirect"));
  CHECK_THAT(filter("RequestRedirect", "requestRedirect", "scheme: ftp"),
             Catch::Contains("http or https"));
  CHECK_THAT(rule("matches: [{path: {type: Exact, value: /a}}], filters: [{type: URLRewrite, "
                  "urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /b}}}]"),
             Catch::Contains("not every match is a PathPrefix"));
  CHECK_THAT(rule("timeouts: {request: 1s, backendRequest: 2s}"), Catch::Contains("whole request"));
  CHECK_THAT(rule("retry: {codes: [200]}"), Catch::Contains("400 to 599"));
  CHECK_THAT(rule("fault: {abort: {percentage: 101}}"), Catch::Contains("percentage"));
  CHECK_THAT(rule("fault: {abort: {httpStatus: 200}}"), Catch::Contains("httpStatus"));
  CHECK_THAT(rule("pathes: []"), Catch::Contains("unknown"));
  CHECK_THAT(SoleProblem("routes: [{hostnames: ['h:80'], rules: [{}]}]"),
             Catch::Contains("without a port"));
  CHECK_THAT(SoleProblem("routes: [{rules: [{name: a}, {name: a}]}]"), Catch::Contains("second"));
}

TEST_CASE("backends say who must answer, and what chooses between them") {
  const auto backend = [](const std::string& text) {
    return SoleProblem("backends:\n  - {" + text + "}\nroutes: [{rules: [{}]}]\n");
  };
  const std::string good = "expect: [{id: spiffe://td/a}], endpoints: [{address: 'x:1'}]";
  CHECK_THAT(backend("name: a, endpoints: [{address: 'x:1'}]"),
             Catch::Contains("routes.yaml:2: endpoint x:1 expects no identity"));
  CHECK_THAT(backend("name: a, expect: [{id: spiffe://td/a}]"), Catch::Contains("no endpoints"));
  CHECK_THAT(backend("name: a b, " + good), Catch::Contains("not a backend's name"));
  CHECK_THAT(backend("name: a, expect: [{id: spiffe://td/a}], endpoints: [{address: 'x:1'}, "
                     "{address: 'x:1'}]"),
             Catch::Contains("a second endpoint"));
  CHECK_THAT(backend("name: a, expect: [{id: spiffe://td/a}], endpoints: [{address: 'x:1', "
                     "weight: 0}]"),
             Catch::Contains("weight"));
  const auto with = [&](const std::string& more) { return backend("name: a, " + good + more); };
  CHECK_THAT(with(", lb_policy: MAGLEV"), Catch::Contains("LEAST_REQUEST"));
  CHECK_THAT(with(", lb_policy: RING_HASH"), Catch::Contains("hash_policy"));
  CHECK_THAT(with(", hash_policy: {header: x}"), Catch::Contains("only RING_HASH"));
  CHECK_THAT(with(", outlier_detection: {base_ejection_time: 30s, max_ejection_time: 10s}"),
             Catch::Contains("max_ejection_time"));
  CHECK_THAT(with(", circuit_breakers: {max_requests: 0}"), Catch::Contains("max_requests"));
  CHECK_THAT(with(", health_check: {type: UDP}"), Catch::Contains("TCP, HTTP or GRPC"));
  CHECK_THAT(with(", health_check: {type: HTTP, path: 'a b'}"), Catch::Contains("not a path"));
  CHECK_THAT(with(", health_check: {type: HTTP, host: 'a b'}"), Catch::Contains("not a host"));
  CHECK_THAT(with(", health_check: {type: GRPC, service: " + std::string(128, 'a') + "}"),
             Catch::Contains("127 bytes"));
  CHECK_THAT(with(", retry_budget: {percent: 101}"), Catch::Contains("percent"));
  CHECK_THAT(with(", panic_threshold: 101"), Catch::Contains("panic_threshold"));
  const std::string two = "backends: [{name: a, " + good + "}, {name: b, " + good + "}]";
  CHECK_THAT(SoleProblem(two), Catch::Contains("no routes that choose"));
  ConfigProblems problems;
  ConfigMap root = ConfigMap::Parse("backends: [{name: a, " + good + "}]", "b.yaml", &problems);
  const Traffic one = ReadTraffic(root, {"outbound/web", "outbound[0]", true, false}, &problems);
  REQUIRE(problems.Text() == "");
  CHECK(Rule(one, "/any") == "a");
  ConfigMap plain = ConfigMap::Parse("backends: [{name: a, " + good + "}]", "b.yaml", &problems);
  ReadTraffic(plain, {"inbound/web", "inbound[0]", false, false}, &problems);
  CHECK_THAT(problems.Text(), Catch::Contains("prove nothing"));
  problems = {};
  ConfigMap bare = ConfigMap::Parse("routes: [{rules: [{}]}]", "b.yaml", &problems);
  ReadTraffic(bare, {"outbound/web", "outbound[0]", true, false}, &problems);
  CHECK_THAT(problems.Text(), Catch::Contains("no backendRefs"));
}

TEST_CASE("rate limits say how many in what time, and a burst is as many unless said otherwise") {
  const Traffic traffic = ReadWell(
      "rate_limits: {per_identity: {requests: 10, per: 2s, burst: 3}, total: {requests: 50}}");
  CHECK(traffic.rate_limits.per_identity == RateLimit{10, std::chrono::seconds(2), 3});
  CHECK(traffic.rate_limits.total == RateLimit{50, std::chrono::seconds(1), 50});
  CHECK_FALSE(traffic.routes);
  CHECK_THAT(SoleProblem("rate_limits: {}"), Catch::Contains("limits nothing"));
  CHECK_THAT(SoleProblem("rate_limits: {total: {per: 1s}}"), Catch::Contains("how many"));
  CHECK_THAT(SoleProblem("rate_limits: {total: {requests: 0}}"), Catch::Contains("requests"));
}

}  // namespace
}  // namespace signet::mesh
