#include "mesh/request_policy.h"

#include <fmt/format.h>

#include <catch2/catch.hpp>

namespace signet::mesh {
namespace {

using identity::SpiffeId;

SpiffeId Id(std::string_view text) { return SpiffeId::Parse(text).value(); }

struct ReadResult {
  RequestPolicy policy;
  ConfigProblems problems;
};

ReadResult Read(std::string_view text, PolicyLayer layer = PolicyLayer::kConnection) {
  ReadResult result;
  ConfigMap root = ConfigMap::Parse(text, "proxy.yaml", &result.problems);
  result.policy = RequestPolicy::Read(root, {"inbound/web", "inbound[0]", layer}, &result.problems);
  root.Finish();
  return result;
}

// The one problem that `text` has.
ConfigProblem SoleProblem(std::string_view text) {
  const ReadResult result = Read(text);
  INFO(result.problems.Text());
  REQUIRE(result.problems.all().size() == 1);
  return result.problems.all().front();
}

TEST_CASE("a policy without rules denies everyone") {
  const Decision decision = RequestPolicy().DecideConnection(Id("spiffe://td/web"));
  CHECK_FALSE(decision.allowed());
  CHECK(decision.rule == nullptr);
  const SpiffeId web = Id("spiffe://td/web");
  CHECK(decision.Reason(&web) == "no rule allows spiffe://td/web");
  CHECK_FALSE(Decision().allowed());
}

TEST_CASE(
    "a caller is allowed by the first rule that names it, and the reason says where it stands") {
  const ReadResult read = Read(
      "allow:\n"
      "  - id: spiffe://td/web\n"
      "  - name: everyone below\n"
      "    ids:\n"
      "      - spiffe://td/batch/*\n"
      "      - spiffe://td/web\n");
  CHECK(read.problems.Text() == "");
  const Decision web = read.policy.DecideConnection(Id("spiffe://td/web"));
  CHECK(web.allowed());
  CHECK(web.Reason(nullptr) == "allowed by inbound[0].allow[0] (proxy.yaml:2)");
  const Decision batch = read.policy.DecideConnection(Id("spiffe://td/batch/nightly"));
  CHECK(batch.Reason(nullptr) == "allowed by everyone below (proxy.yaml:3)");
  CHECK_FALSE(read.policy.DecideConnection(Id("spiffe://td/batch")).allowed());
  CHECK_FALSE(read.policy.DecideConnection(Id("spiffe://td/webb")).allowed());
  CHECK_FALSE(read.policy.DecideConnection(Id("spiffe://other/web")).allowed());
}

TEST_CASE("a caller without an identity is denied by any policy") {
  const ReadResult read = Read("allow: [{id: 'spiffe://td/*'}]");
  const Decision decision = read.policy.DecideConnection(SpiffeId());
  CHECK_FALSE(decision.allowed());
  CHECK(decision.Reason(nullptr) == "no rule allows a caller without an identity");
}

TEST_CASE("an absent or empty list of rules is a policy that denies") {
  for (const std::string text : {"{}", "allow:", "allow: []"}) {
    const ReadResult read = Read(text);
    CHECK(read.problems.empty());
    CHECK(read.policy.rules().empty());
  }
}

TEST_CASE("a rule with neither id nor ids is a problem with its line") {
  const ConfigProblem problem = SoleProblem("allow:\n  - id: spiffe://td/a\n  - name: nobody\n");
  CHECK(problem.file == "proxy.yaml");
  CHECK(problem.line == 3);
  CHECK_THAT(problem.message, Catch::Contains("neither id nor ids"));
  CHECK_THAT(problem.hint, Catch::Contains("spiffe://"));
  CHECK_THAT(SoleProblem("allow: [{ids: []}]").message, Catch::Contains("neither"));
  CHECK_THAT(SoleProblem("allow: [{id: }]").message, Catch::Contains("neither"));
}

TEST_CASE("a malformed pattern is a problem with the pattern's own line") {
  const ConfigProblem problem =
      SoleProblem("allow:\n  - name: x\n    ids:\n      - spiffe://td/a\n      - spiffe://td/a*\n");
  CHECK(problem.line == 5);
  CHECK_THAT(problem.message, Catch::Contains("malformed SPIFFE ID"));
  CHECK(SoleProblem("allow:\n  - name: x\n    id: '*'\n").line == 3);
}

TEST_CASE("id and ids in one rule is a problem") {
  const ConfigProblem problem =
      SoleProblem("allow:\n  - id: spiffe://td/a\n    ids: [spiffe://td/b]\n");
  CHECK(problem.line == 3);
  CHECK_THAT(problem.message, Catch::Contains("both"));
}

TEST_CASE("two rules with one name, and a rule with an empty one, are problems") {
  const ConfigProblem problem =
      SoleProblem("allow:\n  - {name: a, id: spiffe://td/a}\n  - {name: a, id: spiffe://td/b}\n");
  CHECK(problem.line == 3);
  CHECK_THAT(problem.message, Catch::Contains("line 2"));
  CHECK_THAT(SoleProblem("allow: [{name: '', id: spiffe://td/a}]").message,
             Catch::Contains("empty"));
}

TEST_CASE("an unknown key of a rule is a problem that names the nearest known one") {
  const ConfigProblem problem = SoleProblem("allow:\n  - id: spiffe://td/a\n    nme: x\n");
  CHECK(problem.line == 3);
  CHECK(problem.hint == "did you mean 'name'?");
}

TEST_CASE("rules that are no list of maps are problems, all of them told") {
  CHECK_THAT(SoleProblem("allow: spiffe://td/a").message, Catch::Contains("list"));
  const ReadResult read = Read("allow:\n  - spiffe://td/a\n  - id: nonsense\n  - {}\n");
  CHECK(read.problems.all().size() == 3);
  CHECK_FALSE(read.policy.DecideConnection(Id("spiffe://td/a")).allowed());
}

// ---- requests

constexpr char kShop[] = "spiffe://td/shop";

// A request by `caller`, to be changed.
struct Request {
  SpiffeId caller = Id(kShop);
  RequestFacts facts;
  explicit Request(std::string_view method = "GET", std::string_view path = "/") {
    facts.method = method;
    facts.path = path;
    facts.host = "web";
  }
};

RequestPolicy ReadRequests(std::string_view text) {
  ReadResult read = Read(text, PolicyLayer::kRequest);
  INFO(read.problems.Text());
  REQUIRE(read.problems.empty());
  return read.policy;
}

Decision Decide(const RequestPolicy& policy, Request request) {
  request.facts.caller = &request.caller;
  return policy.Decide(request.facts);
}

bool Allows(const RequestPolicy& policy, std::string_view method, std::string_view path) {
  return Decide(policy, Request(method, path)).allowed();
}

bool AllowsWithHeaders(const RequestPolicy& policy, std::vector<NameValue> headers) {
  Request request;
  request.facts.headers = headers;
  return Decide(policy, request).allowed();
}

TEST_CASE("a deny rule wins over any allow rule, wherever it stands") {
  const RequestPolicy policy = ReadRequests(
      "allow:\n"
      "  - id: spiffe://td/shop\n"
      "deny:\n"
      "  - {name: no writes, methods: [DELETE, PUT]}\n");
  CHECK(Allows(policy, "GET", "/a"));
  const Decision decision = Decide(policy, Request("PUT", "/a"));
  CHECK(decision.verdict == Verdict::kDeny);
  CHECK(decision.Reason(nullptr) == "denied by no writes (proxy.yaml:4)");
}

TEST_CASE("paths match exactly, by segment prefix and by template") {
  const RequestPolicy policy = ReadRequests(
      "allow:\n"
      "  - {id: spiffe://td/shop, paths: [/exact, /static/*, '/users/{id}/orders']}\n");
  for (const char* path : {"/exact", "/exact?q=/../x", "/static/a", "/static/a/b", "/static/",
                           "/users/7/orders", "/users/%20/orders"}) {
    INFO(path);
    CHECK(Allows(policy, "GET", path));
  }
  for (const char* path : {"/exact/", "/Exact", "/exactly", "/static", "/statics/a",
                           "/users/orders", "/users/7/8/orders", "/users/7/orders/9", "/"}) {
    INFO(path);
    CHECK(Decide(policy, Request("GET", path)).verdict == Verdict::kDeny);
  }
}

TEST_CASE("a deny rule on a path holds with and without a slash at the end") {
  const RequestPolicy policy = ReadRequests(
      "allow: [{id: spiffe://td/shop}]\n"
      "deny: [{paths: [/admin, /private/*, /end/]}]\n");
  for (const char* path :
       {"/admin", "/admin/", "/private", "/private/", "/private/x", "/end", "/end/"}) {
    INFO(path);
    CHECK_FALSE(Allows(policy, "GET", path));
  }
  for (const char* path : {"/admin/x", "/privates", "/end/x", "/"}) {
    INFO(path);
    CHECK(Allows(policy, "GET", path));
  }
}

TEST_CASE("attack 18: under a path rule, a path of more than one meaning is refused as malformed") {
  const RequestPolicy policy = ReadRequests("allow: [{id: spiffe://td/shop, paths: [/*]}]\n");
  const RequestPolicy without = ReadRequests("allow: [{id: spiffe://td/shop}]\n");
  for (const char* path :
       {"//a",          "/a//b",    "/./a",      "/a/..",     "/a/../b",       "/%2e/a",
        "/a/%2E%2e/b",  "/a/.%2e",  "/a%2fb",    "/a%2Fb",    "/a%5cb",        "/a\\b",
        "/a;x=1",       "/a%3bx",   "/a%00b",    "/a%0d%0ab", "/a%7f",         "/a b",
        "/a#b",         "/a%252e",  "/a%25252e", "/%61dmin",  "/a%4",          "/a%",
        "/a%zz",        "/a%c0%ae", "/%ff",      "/%e2%82",   "/%ed%a0%80",    "/%f4%90%80%80",
        "/caf\xc3\xa9", "a",        "",          "*",         "http://host/a", "/a\tb"}) {
    INFO(path);
    const Decision decision = Decide(policy, Request("GET", path));
    CHECK(decision.verdict == Verdict::kMalformed);
    CHECK(decision.fault != TargetFault::kNone);
    CHECK(decision.id == policy.malformed_id());
    CHECK(Allows(without, "GET", path));
  }
  const std::string nul("/a\0b", 4);
  CHECK(Decide(policy, Request("GET", nul)).verdict == Verdict::kMalformed);
  const std::string endless = "/" + std::string(kMaxPathBytes, 'a');
  CHECK(Decide(policy, Request("GET", endless)).verdict == Verdict::kMalformed);
  for (const char* path : {"/a", "/a/", "/...", "/.a", "/a..b", "/100%25", "/a%20b", "/caf%c3%a9",
                           "/a@b", "/a:b", "/a?x=//../%2f;#"}) {
    INFO(path);
    CHECK(Allows(policy, "GET", path));
  }
}

TEST_CASE("two spellings of one path are one path to a rule") {
  const RequestPolicy policy = ReadRequests(
      "allow: [{id: spiffe://td/shop}]\n"
      "deny: [{paths: ['/caf%C3%A9', /a@b]}]\n");
  for (const char* path : {"/caf%C3%A9", "/caf%c3%a9", "/caf%C3%a9/", "/a@b", "/a%40b"}) {
    INFO(path);
    CHECK_FALSE(Allows(policy, "GET", path));
  }
}

TEST_CASE("CONNECT and OPTIONS * have no path, and no rule on paths matches them") {
  const RequestPolicy policy = ReadRequests(
      "allow:\n"
      "  - {id: spiffe://td/shop, paths: [/*]}\n"
      "  - {id: spiffe://td/shop, methods: [CONNECT]}\n");
  CHECK(Allows(policy, "CONNECT", ""));
  CHECK(Decide(policy, Request("OPTIONS", "*")).verdict == Verdict::kDeny);
}

TEST_CASE("hosts match with any port unless a rule names one, and letter case does not count") {
  const RequestPolicy policy = ReadRequests(
      "allow:\n"
      "  - id: spiffe://td/shop\n"
      "    hosts: [api.example.org, 'admin.example.org:8443', '*.apps.example.org', "
      "'[2001:db8::1]']\n");
  const auto verdict = [&](std::string_view host) {
    Request request;
    request.facts.host = host;
    return Decide(policy, request).verdict;
  };
  for (const char* host : {"api.example.org", "API.example.org:80", "admin.example.org:8443",
                           "a.apps.example.org", "a.b.Apps.example.org:1", "[2001:DB8::1]:443"}) {
    INFO(host);
    CHECK(verdict(host) == Verdict::kAllow);
  }
  for (const char* host : {"example.org", "admin.example.org", "admin.example.org:443",
                           "apps.example.org", "xapps.example.org"}) {
    INFO(host);
    CHECK(verdict(host) == Verdict::kDeny);
  }
  for (const char* host : {"", "api.example.org.", "user@api.example.org", "api.example.org:",
                           "api.example.org:80:80", "a b", ".example.org", "a..b", "a/b", "[]"}) {
    INFO(host);
    CHECK(verdict(host) == Verdict::kMalformed);
  }
}

TEST_CASE("attack 20: every value of a header counts, in every permutation") {
  const RequestPolicy allow = ReadRequests(
      "allow: [{id: spiffe://td/shop, headers: [{name: X-Tenant, values: [a, b]}]}]\n");
  CHECK(AllowsWithHeaders(allow, {{"x-tenant", "a"}}));
  CHECK(AllowsWithHeaders(allow, {{"X-TENANT", " b\t"}, {"x-tenant", "a"}}));
  CHECK(AllowsWithHeaders(allow, {{"x-tenant", "a, b"}}));
  CHECK_FALSE(AllowsWithHeaders(allow, {}));
  CHECK_FALSE(AllowsWithHeaders(allow, {{"x-tenant", "a"}, {"x-tenant", "c"}}));
  CHECK_FALSE(AllowsWithHeaders(allow, {{"x-tenant", "c"}, {"x-tenant", "a"}}));
  CHECK_FALSE(AllowsWithHeaders(allow, {{"x-tenant", "a,c"}}));
  CHECK_FALSE(AllowsWithHeaders(allow, {{"x-tenant", "a,"}}));
  const RequestPolicy deny = ReadRequests(
      "allow: [{id: spiffe://td/shop}]\n"
      "deny: [{headers: [{name: x-role, value: admin}]}]\n");
  CHECK(AllowsWithHeaders(deny, {{"x-role", "user"}}));
  CHECK(AllowsWithHeaders(deny, {}));
  for (const char* line : {"admin", "user,admin", "admin, user", " admin "}) {
    INFO(line);
    CHECK_FALSE(AllowsWithHeaders(deny, {{"x-role", line}}));
    CHECK_FALSE(AllowsWithHeaders(deny, {{"x-role", "user"}, {"X-Role", line}}));
    CHECK_FALSE(AllowsWithHeaders(deny, {{"x-role", line}, {"x-role", "user"}}));
  }
}

TEST_CASE("a prefix of a header says nothing of what follows a comma") {
  const RequestPolicy policy =
      ReadRequests("allow: [{id: spiffe://td/shop, headers: [{name: x-team, prefix: blue-}]}]\n");
  CHECK(AllowsWithHeaders(policy, {{"x-team", "blue-1, blue-2"}}));
  CHECK_FALSE(AllowsWithHeaders(policy, {{"x-team", "blue-1, red-2"}}));
}

TEST_CASE("a header can be asked to be there or to be absent") {
  const RequestPolicy policy = ReadRequests(
      "allow:\n"
      "  - id: spiffe://td/shop\n"
      "    headers: [{name: x-a, present: true}, {name: x-b, absent: true}]\n");
  CHECK(AllowsWithHeaders(policy, {{"x-a", ""}}));
  CHECK_FALSE(AllowsWithHeaders(policy, {}));
  CHECK_FALSE(AllowsWithHeaders(policy, {{"x-a", ""}, {"X-B", ""}}));
}

TEST_CASE("an allow rule for gRPC methods holds for gRPC only, a deny rule for the path") {
  const RequestPolicy policy = ReadRequests(
      "allow: [{id: spiffe://td/shop, grpc: [shop.v1.Orders/*, shop.v1.Users/Get]}]\n"
      "deny: [{grpc: [shop.v1.Orders/Delete]}]\n");
  const auto allows = [&](std::string_view path, bool grpc) {
    Request request("POST", path);
    request.facts.grpc = grpc;
    return Decide(policy, request).allowed();
  };
  CHECK(allows("/shop.v1.Orders/Get", true));
  CHECK(allows("/shop.v1.Users/Get", true));
  CHECK_FALSE(allows("/shop.v1.Orders/Get", false));
  CHECK_FALSE(allows("/shop.v1.Orders/Delete", true));
  CHECK_FALSE(allows("/shop.v1.Users/List", true));
}

TEST_CASE("claims of a validated token are sets, and names of nested ones are paths") {
  const RequestPolicy policy = ReadRequests(
      "allow:\n"
      "  - id: spiffe://td/*\n"
      "    claims: [{name: groups, values: [ops]}, {name: realm.level, prefix: '4'}]\n");
  const auto allows = [&](std::vector<NameValue> claims) {
    Request request;
    request.facts.claims = claims;
    return Decide(policy, request).allowed();
  };
  CHECK(allows({{"groups", "dev"}, {"groups", "ops"}, {"realm.level", "42"}}));
  CHECK_FALSE(allows({{"groups", "ops"}}));
  CHECK_FALSE(allows({{"Groups", "ops"}, {"realm.level", "4"}}));
  CHECK_FALSE(allows({}));
}

TEST_CASE("attack 27: address ranges, IPv4-mapped IPv6 and no address") {
  const RequestPolicy policy = ReadRequests(
      "allow: [{id: spiffe://td/shop, sources: [10.0.0.0/8, 2001:db8::/32, 192.0.2.7]}]\n"
      "deny: [{sources: ['10.1.0.0/16']}]\n");
  const auto allows = [&](const char* source) {
    Request request;
    request.facts.source = IpAddress::Parse(source).value();
    return Decide(policy, request).allowed();
  };
  for (const char* in : {"10.0.0.1", "::ffff:10.2.3.4", "2001:db8:1::9", "192.0.2.7"}) {
    INFO(in);
    CHECK(allows(in));
  }
  for (const char* out :
       {"11.0.0.1", "10.1.2.3", "::ffff:10.1.0.1", "2001:db9::", "192.0.2.8", "::10.0.0.1"}) {
    INFO(out);
    CHECK_FALSE(allows(out));
  }
  CHECK_FALSE(Decide(policy, Request()).allowed());  // a Unix socket has no address
}

TEST_CASE("attack 26: an audit rule is reported and changes nothing that is enforced") {
  const RequestPolicy policy = ReadRequests(
      "allow:\n"
      "  - {id: spiffe://td/shop, methods: [GET]}\n"
      "  - {name: more, id: spiffe://td/shop, mode: audit}\n"
      "deny:\n"
      "  - {name: less, paths: [/old/*], mode: audit}\n");
  const Decision get = Decide(policy, Request("GET", "/old/x"));
  CHECK(get.allowed());
  CHECK(get.shadow.differs);
  CHECK(get.shadow.verdict == Verdict::kDeny);
  REQUIRE(get.shadow.rule != nullptr);
  CHECK(get.shadow.rule->name == "less");
  const Decision put = Decide(policy, Request("PUT", "/new"));
  CHECK(put.verdict == Verdict::kDeny);
  CHECK(put.rule == nullptr);
  CHECK(put.shadow.differs);
  CHECK(put.shadow.verdict == Verdict::kAllow);
  CHECK_FALSE(Decide(policy, Request("GET", "/new")).shadow.differs);
  // Only the audit rule asks for a path, so only the shadow sees a malformed one.
  const Decision odd = Decide(policy, Request("GET", "/a//b"));
  CHECK(odd.allowed());
  CHECK(odd.shadow.verdict == Verdict::kMalformed);
}

TEST_CASE("ids tell rules and listeners apart, and do not depend on where a rule stands") {
  const RequestPolicy one = ReadRequests("allow:\n  - {name: a, id: spiffe://td/a}\n");
  const RequestPolicy moved = ReadRequests(
      "allow:\n  - {name: b, id: spiffe://td/b}\n\n  - {name: a, id: spiffe://td/a}\n");
  CHECK(one.rules()[0].id == moved.rules()[1].id);
  CHECK(one.rules()[0].id != moved.rules()[0].id);
  CHECK(one.rules()[0].id.size() == 10);
  CHECK(Decide(one, Request()).id == one.no_rule_id());
  CHECK(one.no_rule_id() != one.malformed_id());
  CHECK(RequestPolicy("inbound/x", {}).no_rule_id() != one.no_rule_id());
}

TEST_CASE("refusal ids start with the decision's and differ from each other") {
  const RequestPolicy policy = ReadRequests("allow: [{id: spiffe://td/a}]\n");
  RefusalIds ids(77);
  const Decision decision = Decide(policy, Request());
  const std::string first = ids.Next(decision);
  CHECK(first.starts_with(std::string(decision.id) + "-"));
  CHECK(first.size() == 19);
  CHECK(ids.Next(decision) != first);
}

TEST_CASE("attack 25: every fault of a rule is a problem, all of them at once") {
  const ReadResult read = Read(
      "allow:\n"
      "  - id: spiffe://td/a\n"
      "    methods: [get]\n"
      "    paths: [users, /a//b, '/a/{x', /a/*/b, '/a?x']\n"
      "    hosts: ['*', a..b]\n"
      "    sources: [10.0.0.1/8, '::ffff:10.0.0.0/104', x, 10.0.0.0/33]\n"
      "    ports: [0, 65536]\n"
      "    headers: [{name: 'a b', value: x}, {name: host, value: x}, {name: x}, {name: y, value: "
      "a, absent: true}]\n"
      "    claims: []\n"
      "    mode: shadow\n",
      PolicyLayer::kRequest);
  INFO(read.problems.Text());
  CHECK(read.problems.all().size() == 20);
  for (const ConfigProblem& problem : read.problems.all()) CHECK(problem.line > 0);
}

TEST_CASE("an empty list is a problem: it would ask nothing") {
  for (const char* key : {"methods", "paths", "hosts", "grpc", "headers", "sources", "ports"}) {
    const ReadResult read = Read(fmt::format("deny: [{{{}: []}}]", key), PolicyLayer::kRequest);
    INFO(key << ": " << read.problems.Text());
    CHECK(read.problems.all().size() == 1);
  }
  CHECK(SoleProblem("deny: [{ids: []}]").message == "rule 'inbound[0].deny[0]': 'ids' is empty");
}

TEST_CASE("what only HTTP has is a problem on a TCP listener") {
  CHECK_THAT(SoleProblem("allow: [{id: spiffe://td/a, paths: [/x]}]").message,
             Catch::Contains("not HTTP"));
  ConfigProblems problems;
  ConfigMap root = ConfigMap::Parse("expect: [{id: spiffe://td/a, ports: [1]}]", "x", &problems);
  (void)RequestPolicy::ReadExpected(root, {"outbound/x", "outbound[0]"}, &problems);
  REQUIRE(problems.all().size() == 1);
  CHECK_THAT(problems.all().front().message, Catch::Contains("no meaning"));
}

}  // namespace
}  // namespace signet::mesh
