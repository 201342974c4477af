#include "identity/api/authorization.h"

#include <catch2/catch.hpp>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/unit/identity/registry/registry_fixture.h"

namespace signet::identity {
namespace {

using nlohmann::json;
using std::chrono::hours;
using std::chrono::seconds;

constexpr std::string_view kRenew = "/spire.api.server.agent.v1.Agent/RenewAgent";
constexpr std::string_view kAuthorized = "/spire.api.server.entry.v1.Entry/GetAuthorizedEntries";
constexpr std::string_view kList = "/spire.api.server.entry.v1.Entry/ListEntries";
constexpr std::string_view kDownstreamCa = "/spire.api.server.svid.v1.SVID/NewDownstreamX509CA";

struct World : RegistryFixture {
  World() {
    Entry entry = test::MakeEntry(1);
    entry.spiffe_id = test::Id("/adm");
    entry.admin = true;
    admin_entry = Create(entry);
    entry = test::MakeEntry(2);
    entry.spiffe_id = test::Id("/down");
    entry.downstream = true;
    Create(entry);
    entry = test::MakeEntry(3);
    entry.spiffe_id = test::Id("/both");
    entry.admin = true;
    entry.downstream = true;
    Create(entry);
    entry = test::MakeEntry(4);
    entry.spiffe_id = test::Id("/w");
    Create(entry);
    agent_node = test::MakeNode(1);
    agent_node.serial = "7";
    agent_node.new_serial.clear();
    PutNode(agent_node);
  }

  Caller Certificate(const SpiffeId& id, const std::string& serial = "1") const {
    Caller caller;
    caller.kind = CallerKind::kCertificate;
    caller.id = id;
    caller.serial = serial;
    caller.valid_until = clock.Now() + hours(1);
    return caller;
  }
  Caller Agent(const std::string& serial = "7") const { return Certificate(agent_node.id, serial); }
  Caller Of(const std::string& name) const {
    Caller caller;
    if (name == "admin") caller.kind = CallerKind::kLocal;
    if (name == "anonymous") caller.kind = CallerKind::kAnonymous;
    if (name == "agent") caller = Agent();
    if (name == "admin-svid") caller = Certificate(test::Id("/adm"));
    if (name == "downstream-svid") caller = Certificate(test::Id("/down"));
    if (name == "both-svid") caller = Certificate(test::Id("/both"));
    if (name == "workload-svid") caller = Certificate(test::Id("/w"));
    return caller;
  }
  Verdict Decide(std::string_view method, const Caller& caller) const {
    const auto* rule = FindRule(method);
    REQUIRE(rule != nullptr);
    return authorizer().Decide(*rule, caller);
  }
  bool Allows(std::string_view method, const Caller& caller) const {
    return Decide(method, caller).kind != Verdict::Kind::kDenied;
  }
  Authorizer authorizer() const {
    return Authorizer(*registry, clock, {{test::Id("/configured")}, hours(1)});
  }

  EntryPtr admin_entry;
  Node agent_node;
};

EntryMask MaskOfAdmin() {
  EntryMask mask{};
  mask.spiffe_id = mask.parent_id = mask.selectors = mask.x509_svid_ttl = mask.federates_with =
      false;
  mask.downstream = mask.expires_at = mask.dns_names = mask.revision_number = false;
  mask.store_svid = mask.jwt_svid_ttl = mask.hint = mask.created_at = false;
  mask.additional_attributes = false;
  return mask;
}

// Every method with every kind of caller, against the recorded answers of SPIRE's server: what it
// denied is denied here with the same reason, what it let through is let through.
void CheckRecorded(const World& world, const std::string& name) {
  std::ifstream file(SIGNET_TEST_DATA "/spire-api/authorization-" + name + ".json");
  REQUIRE(file.good());
  const auto scenario = json::parse(file);
  const auto caller = world.Of(name);
  std::size_t cells = 0;
  for (const auto& step : scenario["steps"]) {
    if (!step.contains("method")) continue;
    const std::string method = step["method"];
    const auto& expect = step["expect"];
    INFO(name << " " << method);
    const auto* rule = FindRule(method);
    REQUIRE(rule != nullptr);
    const auto verdict = world.authorizer().Decide(*rule, caller);
    const bool hidden = rule->admin_socket_only && caller.kind != CallerKind::kLocal;
    const bool denied = expect["code"] == "PERMISSION_DENIED" || hidden;
    CHECK((verdict.kind == Verdict::Kind::kDenied) == denied);
    if (hidden) CHECK(expect["code"] == "UNIMPLEMENTED");
    const bool reason = expect.contains("details");
    CHECK((verdict.denial == AgentDenial::kNotAttested) == reason);
    ++cells;
  }
  CHECK(cells == 65);
}

TEST_CASE("authorization: every cell is the one SPIRE's server has") {
  const World world;
  for (const char* name : {"admin", "anonymous", "agent", "admin-svid", "downstream-svid",
                           "both-svid", "workload-svid"}) {
    CheckRecorded(world, name);
  }
}

TEST_CASE("authorization: an unknown caller may do nothing at all") {
  const World world;
  for (const auto& rule : AllRules())
    CHECK(world.authorizer().Decide(rule, Caller()).kind == Verdict::Kind::kDenied);
}

TEST_CASE("authorization: our own services take administrators, and agents their stream") {
  const World world;
  CHECK(world.Allows("/signet.status.v1.Status/GetStatus", world.Of("admin")));
  CHECK(world.Allows("/signet.status.v1.Status/GetStatus", world.Of("admin-svid")));
  CHECK_FALSE(world.Allows("/signet.status.v1.Status/GetStatus", world.Of("agent")));
  CHECK_FALSE(world.Allows("/signet.status.v1.Status/GetStatus", world.Of("anonymous")));
  CHECK(world.Allows("/signet.sync.v1.Sync/Subscribe", world.Of("agent")));
  CHECK_FALSE(world.Allows("/signet.sync.v1.Sync/Subscribe", world.Of("admin")));
  CHECK_FALSE(world.Allows("/signet.sync.v1.Sync/Subscribe", world.Of("admin-svid")));
}

TEST_CASE("authorization: what no table names does not exist") {
  CHECK(FindRule("/spire.api.server.entry.v1.Entry/NoSuch") == nullptr);
  CHECK(FindRule("") == nullptr);
  CHECK(IsKnownService("spire.api.server.entry.v1.Entry", false));
  CHECK_FALSE(IsKnownService("grpc.health.v1.Health", false));
  CHECK(IsKnownService("grpc.health.v1.Health", true));
  CHECK_FALSE(IsKnownService("grpc.reflection.v1.ServerReflection", true));
}

TEST_CASE("authorization: rights of an entry come and go with it, at once") {
  World world;
  const auto caller = world.Certificate(test::Id("/w"));
  CHECK_FALSE(world.Allows(kList, caller));
  Entry changed;
  changed.id = "entry-4";
  changed.admin = true;
  const auto mask = MaskOfAdmin();
  REQUIRE(world.registry->UpdateEntries({{changed, mask}}).front().status);
  CHECK(world.Allows(kList, caller));
  changed.admin = false;
  REQUIRE(world.registry->UpdateEntries({{changed, mask}}).front().status);
  CHECK_FALSE(world.Allows(kList, caller));
}

TEST_CASE("authorization: rights of an entry end with the SVID that proves who holds it") {
  World world;
  const auto admin = world.Of("admin-svid");
  const auto downstream = world.Of("downstream-svid");
  world.clock.Advance(hours(1) - seconds(1));
  CHECK(world.Allows(kList, admin));
  CHECK(world.Allows(kDownstreamCa, downstream));
  world.clock.Advance(seconds(1));
  CHECK_FALSE(world.Allows(kList, admin));
  CHECK_FALSE(world.Allows(kDownstreamCa, downstream));
}

TEST_CASE("authorization: a configured administrator needs no entry") {
  const World world;
  CHECK(world.Allows(kList, world.Certificate(test::Id("/configured"))));
  CHECK_FALSE(world.Allows(kList, world.Certificate(test::Id("/configured/below"))));
}

TEST_CASE("authorization: an agent is banned, deleted, superseded or expired, each by its reason") {
  World world;
  const auto denial = [&](const Caller& caller) {
    const auto verdict = world.Decide(kAuthorized, caller);
    CHECK(verdict.kind == Verdict::Kind::kDenied);
    return verdict.denial;
  };
  CHECK(denial(world.Agent("8")) == AgentDenial::kNotActive);
  CHECK(denial(world.Agent("")) == AgentDenial::kNotActive);
  auto expired = world.Agent();
  expired.valid_until = world.clock.Now();
  CHECK(denial(expired) == AgentDenial::kExpired);
  REQUIRE(world.registry->BanNode(world.agent_node.id));
  CHECK(denial(world.Agent()) == AgentDenial::kBanned);
  CHECK(denial(world.Agent("")) == AgentDenial::kBanned);
  REQUIRE(world.registry->DeleteNode(world.agent_node.id));
  CHECK(denial(world.Agent()) == AgentDenial::kNotAttested);
}

TEST_CASE("authorization: the new SVID of an agent takes over when it is first used") {
  World world;
  world.agent_node.new_serial = "8";
  world.agent_node.new_serial_expires_at = 5;
  world.PutNode(world.agent_node);
  const auto authorizer = world.authorizer();
  CHECK(world.Decide(kAuthorized, world.Agent("7")).kind == Verdict::Kind::kAllowed);
  REQUIRE(world.Decide(kAuthorized, world.Agent("8")).kind == Verdict::Kind::kPromote);
  REQUIRE(authorizer.Promote(world.Agent("8")));
  CHECK(world.Decide(kAuthorized, world.Agent("8")).kind == Verdict::Kind::kAllowed);
  CHECK(world.Decide(kAuthorized, world.Agent("7")).denial == AgentDenial::kNotActive);
  const auto node = world.registry->FindNode(world.agent_node.id);
  CHECK(node->serial == "8");
  CHECK(node->serial_expires_at == 5);
  CHECK(node->new_serial.empty());
  // The second of two calls that raced finds it done.
  CHECK(authorizer.Promote(world.Agent("8")));
}

TEST_CASE("authorization: a promotion that comes too late changes nothing") {
  World world;
  world.agent_node.new_serial = "8";
  world.PutNode(world.agent_node);
  REQUIRE(world.registry->BanNode(world.agent_node.id));
  CHECK_FALSE(world.authorizer().Promote(world.Agent("8")));
  CHECK(world.registry->FindNode(world.agent_node.id)->banned());
  REQUIRE(world.registry->DeleteNode(world.agent_node.id));
  CHECK_FALSE(world.authorizer().Promote(world.Agent("8")));
  CHECK(world.registry->FindNode(world.agent_node.id) == nullptr);
}

TEST_CASE("authorization: a late agent may renew within the grace, and nothing else") {
  World world;
  const auto caller = world.Agent();
  world.clock.Advance(hours(1) + seconds(1));
  CHECK(world.Allows(kRenew, caller));
  CHECK(world.Decide(kAuthorized, caller).denial == AgentDenial::kExpired);
  auto other = caller;
  other.serial = "9";
  CHECK(world.Decide(kRenew, other).denial == AgentDenial::kNotActive);
  world.clock.Advance(hours(1));
  CHECK(world.Decide(kRenew, caller).denial == AgentDenial::kExpired);
}

TEST_CASE("authorization: a late agent that is banned stays out") {
  World world;
  const auto caller = world.Agent();
  world.clock.Advance(hours(1) + seconds(1));
  REQUIRE(world.registry->BanNode(world.agent_node.id));
  CHECK(world.Decide(kRenew, caller).denial == AgentDenial::kBanned);
}

}  // namespace
}  // namespace signet::identity
