// The whole agent in this process, against a server that does as it is told, over its real Unix
// socket.
#include "agent/agent.h"

#include <atomic>
#include <catch2/catch.hpp>

#include <filesystem>
#include <thread>

#include "ca/x509/path.h"
#include "tests/support/fake_spire_server.h"
#include "tests/support/temp_dir.h"
#include "tests/support/workload_client.h"

using namespace signet;
using namespace signet::agent;
using namespace std::chrono_literals;
using signet::test::BundleStream;
using signet::test::FakeServerOptions;
using signet::test::FakeSpireServer;
using signet::test::FetchOnce;
using signet::test::IdsOf;
using signet::test::SigningAuthority;
using signet::test::SvidStream;
using signet::test::TempDir;
using Denial = spire::api::types::PermissionDeniedDetails;
using Ids = std::vector<std::string>;

namespace {

class PlainDialer final : public ServerDialer {
 public:
  PlainDialer(FakeSpireServer& server, const Clock& clock) : server_(server), clock_(clock) {}
  Result<Dialed> Dial(const NodeIdentity*, std::shared_ptr<const net::PeerVerifier>) override {
    UniqueFd plain = server_.Connect();
    if (!plain.valid()) return Fail(Code::kUnavailable, Reason{"away"});
    return Dialed{std::move(plain), clock_.Now() + 1h};
  }

 private:
  FakeSpireServer& server_;
  const Clock& clock_;
};

// The real time, and as much later as a test says.
class ShiftedClock final : public Clock {
 public:
  WallTime Now() const override {
    return system_.Now() + std::chrono::duration_cast<WallTime::duration>(Duration(shift_));
  }
  SteadyTime SteadyNow() const override { return system_.SteadyNow() + Duration(shift_); }
  void Advance(Duration by) { shift_ += by.count(); }

 private:
  const SystemClock system_;
  std::atomic<Duration::rep> shift_{0};
};

JoinTokenOptions WithToken(const char* token) {
  return {std::make_shared<const SecretBytes>(AsBytes(token)), {}};
}

const std::string kMine = "unix:uid:" + std::to_string(geteuid());

struct World {
  explicit World(FakeServerOptions options = {}) : server(authority, clock, options) {
    config.trust_domain = authority.trust_domain();
    config.data_dir = dir.File("data");
    config.socket = dir.File("api.sock");
    config.sync_interval = 100ms;
    config.attest.trust_domain = config.trust_domain;
    config.attest.pin = authority.root().fingerprint();
    config.node_attestor = WithToken(FakeSpireServer::kToken);
  }
  ~World() { StopAgent(); }

  void StartAgent() {
    metrics = std::make_unique<Metrics>();
    auto created = Agent::Create(config, AgentWorld{dialer, clock, random, log, *metrics});
    REQUIRE(created);
    agent = std::move(*created);
    thread = std::thread([this] { code = agent->Run(); });
    REQUIRE(server.WaitUntil(
        [&] { return agent->health().ready || !std::filesystem::exists(config.data_dir); }));
  }
  ExitCode StopAgent() {
    if (thread.joinable()) {
      agent->Stop();
      thread.join();
    }
    agent.reset();
    return code;
  }
  ExitCode WaitForEnd() {
    thread.join();
    agent.reset();
    return code;
  }
  // SVIDs the agent holds.
  bool Holds(int count) const {
    const std::string line = "signet_agent_svids{state=\"fresh\"} " + std::to_string(count) + "\n";
    return metrics->Text().find(line) != std::string::npos;
  }
  std::string Id(const std::string& path) const { return "spiffe://example.org" + path; }

  ShiftedClock clock;
  OsRandom random;
  const Logger log = Logger::Null();
  TempDir dir;
  SigningAuthority authority{"example.org", clock.Now()};
  FakeSpireServer server;
  PlainDialer dialer{server, clock};
  AgentConfig config;
  std::unique_ptr<Metrics> metrics;
  std::unique_ptr<Agent> agent;
  std::thread thread;
  ExitCode code = ExitCode::kFailed;
};

std::string Serial(const X509SVID& svid) {
  return ca::ParseConcatenatedDer(AsBytes(svid.x509_svid()), 10)->front().SerialHex();
}

}  // namespace

TEST_CASE("an entry made while a workload waits brings its SVID, whole and usable") {
  World world;
  world.server.Put("other", "/other", {"unix:uid:99999"});
  world.StartAgent();
  CHECK(FetchOnce(world.config.socket).status.error_code() == grpc::PERMISSION_DENIED);
  CHECK(FetchOnce(world.config.socket).status.error_message() == "no identity issued");
  world.server.Put("mine", "/mine", {kMine});
  REQUIRE(world.server.WaitUntil(
      [&] { return world.server.acknowledged() == world.server.revision(); }));
  SvidStream stream(world.config.socket);
  const auto message = stream.Next();
  REQUIRE(message);
  REQUIRE(IdsOf(*message) == Ids{world.Id("/mine")});
  const X509SVID& svid = message->svids(0);
  const auto chain = ca::ParseConcatenatedDer(AsBytes(svid.x509_svid()), 10);
  REQUIRE(chain);
  const auto key = ca::PrivateKey::FromPkcs8(AsBytes(svid.x509_svid_key()));
  REQUIRE(key);
  CHECK(key->public_key() == chain->front().public_key());
  CHECK(svid.bundle() == ToString(world.authority.root().der()));
  CHECK_FALSE(stream.Next(300ms));  // nothing changed: nothing is sent
}

TEST_CASE("streams follow entries: added, changed, removed, and denied when none is left") {
  World world;
  world.server.Put("b", "/b", {kMine});
  world.StartAgent();
  SvidStream stream(world.config.socket);
  CHECK(IdsOf(*stream.Next()) == Ids{world.Id("/b")});
  world.server.Put("a", "/a", {kMine});
  const auto both = stream.Next();
  REQUIRE(both);
  CHECK(IdsOf(*both) == Ids{world.Id("/a"), world.Id("/b")});  // by entry id
  world.server.Put("b", "/b", {kMine});                        // any change makes a new SVID
  const auto changed = stream.Next();
  REQUIRE(changed);
  CHECK(Serial(changed->svids(0)) == Serial(both->svids(0)));
  CHECK(Serial(changed->svids(1)) != Serial(both->svids(1)));
  world.server.Remove("a");
  const auto fewer = stream.Next();
  REQUIRE(fewer);
  CHECK(IdsOf(*fewer) == Ids{world.Id("/b")});
  world.server.Remove("b");
  const auto end = stream.End();
  REQUIRE(end);
  CHECK(end->error_code() == grpc::PERMISSION_DENIED);
  CHECK(end->error_message() == "no identity issued");
}

TEST_CASE("SVIDs are renewed on the open stream before they expire") {
  FakeServerOptions options;
  options.svid_ttl = 1s;  // with the 10 s before now it is due as it comes: renewed after 0.5 s
  World world(options);
  world.server.Put("a", "/a", {kMine});
  world.StartAgent();
  SvidStream stream(world.config.socket);
  auto last = stream.Next();
  REQUIRE(last);
  for (int renewals = 0; renewals < 2; ++renewals) {
    const auto next = stream.Next();
    REQUIRE(next);
    CHECK(Serial(next->svids(0)) != Serial(last->svids(0)));
    CHECK(next->svids(0).x509_svid_key() != last->svids(0).x509_svid_key());
    last = next;
  }
}

TEST_CASE("bundles: own and federated, sent again only when they change") {
  World world;
  const SigningAuthority foreign("one.test", world.clock.Now()),
      next("example.org", world.clock.Now());
  world.server.PutBundle(foreign.bundle());
  world.server.Put("a", "/a", {kMine});
  world.StartAgent();
  BundleStream bundles(world.config.socket);
  const auto first = bundles.Next();
  REQUIRE(first);
  REQUIRE(first->bundles().size() == 2);
  CHECK(first->bundles().at("spiffe://example.org") == ToString(world.authority.root().der()));
  CHECK(first->bundles().at("spiffe://one.test") == ToString(foreign.root().der()));
  SvidStream svids(world.config.socket);
  const auto before = svids.Next();
  REQUIRE(before);
  CHECK(before->federated_bundles().at("spiffe://one.test") == ToString(foreign.root().der()));

  world.server.Put("unrelated", "/x", {"unix:uid:99999"});
  CHECK_FALSE(bundles.Next(300ms));

  auto both = world.authority.bundle();
  both.x509_authorities.push_back({next.root(), false});
  world.server.SetOwnBundle(both);
  const auto second = bundles.Next();
  REQUIRE(second);
  CHECK(second->bundles().at("spiffe://example.org").size() ==
        world.authority.root().der().size() + next.root().der().size());
  const auto after = svids.Next();
  REQUIRE(after);
  CHECK(Serial(after->svids(0)) == Serial(before->svids(0)));  // the same SVID, a larger bundle
}

TEST_CASE("a tainted authority makes new SVIDs") {
  World world;
  world.server.Put("a", "/a", {kMine});
  world.StartAgent();
  SvidStream stream(world.config.socket);
  const auto before = stream.Next();
  REQUIRE(before);
  auto tainted = world.authority.bundle();
  tainted.x509_authorities[0].tainted = true;
  world.server.SetOwnBundle(tainted);
  const auto after = stream.Next();
  REQUIRE(after);
  CHECK(Serial(after->svids(0)) != Serial(before->svids(0)));
}

TEST_CASE("the security header is one value, byte for byte") {
  World world;
  world.server.Put("a", "/a", {kMine});
  world.StartAgent();
  const std::string name = "workload.spiffe.io";
  CHECK(FetchOnce(world.config.socket, {{name, "true"}}).status.ok());
  CHECK(FetchOnce(world.config.socket, {{name, "true"}, {"broker.spiffe.io", "true"}}).status.ok());
  const std::multimap<std::string, std::string> refused[] = {{},
                                                             {{name, "false"}},
                                                             {{name, "True"}},
                                                             {{name, "TRUE"}},
                                                             {{name, "1"}},
                                                             {{name, ""}},
                                                             {{"broker.spiffe.io", "true"}},
                                                             {{name, "true"}, {name, "true"}},
                                                             {{name, "true"}, {name, "false"}}};
  for (const auto& metadata : refused) {
    const auto answer = FetchOnce(world.config.socket, metadata);
    CHECK(answer.status.error_code() == grpc::INVALID_ARGUMENT);
    CHECK(answer.status.error_message() == "security header missing from request");
  }
}

TEST_CASE("requests are looked at after the header is, and profiles that are not there say so") {
  World world;
  world.StartAgent();
  const auto stub = SpiffeWorkloadAPI::NewStub(signet::test::WorkloadChannel(world.config.socket));
  const auto code = [&](bool header, auto call) {
    grpc::ClientContext context;
    if (header) signet::test::AddSecurityHeader(&context);
    return call(&context).error_code();
  };
  const auto fetch_jwt = [&](grpc::ClientContext* context) {
    JWTSVIDResponse response;
    return stub->FetchJWTSVID(context, JWTSVIDRequest(), &response);
  };
  const auto validate = [&](grpc::ClientContext* context) {
    ValidateJWTSVIDResponse response;
    return stub->ValidateJWTSVID(context, ValidateJWTSVIDRequest(), &response);
  };
  const auto jwt_bundles = [&](grpc::ClientContext* context) {
    return stub->FetchJWTBundles(context, JWTBundlesRequest())->Finish();
  };
  const auto wit = [&](grpc::ClientContext* context) {
    return stub->FetchWITSVID(context, WITSVIDRequest())->Finish();
  };
  const auto wit_bundles = [&](grpc::ClientContext* context) {
    return stub->FetchWITBundles(context, WITBundlesRequest())->Finish();
  };
  CHECK(code(true, fetch_jwt) == grpc::INVALID_ARGUMENT);
  CHECK(code(false, fetch_jwt) == grpc::INVALID_ARGUMENT);
  CHECK(code(true, validate) == grpc::INVALID_ARGUMENT);
  CHECK(code(false, validate) == grpc::INVALID_ARGUMENT);
  CHECK(code(true, jwt_bundles) == grpc::PERMISSION_DENIED);
  CHECK(code(false, jwt_bundles) == grpc::INVALID_ARGUMENT);
  CHECK(code(true, wit) == grpc::UNIMPLEMENTED);
  CHECK(code(false, wit) == grpc::INVALID_ARGUMENT);
  CHECK(code(true, wit_bundles) == grpc::UNIMPLEMENTED);
  CHECK(code(false, wit_bundles) == grpc::INVALID_ARGUMENT);
}

TEST_CASE("an outage of the server is invisible, also across a restart of the agent") {
  World world;
  world.server.Put("a", "/a", {kMine});
  world.StartAgent();
  const auto before = FetchOnce(world.config.socket);
  REQUIRE(before.status.ok());
  world.server.GoAway();
  CHECK(FetchOnce(world.config.socket).status.ok());
  CHECK(world.StopAgent() == ExitCode::kClean);
  world.StartAgent();
  const auto after = FetchOnce(world.config.socket);
  REQUIRE(after.status.ok());
  CHECK(Serial(after.response.svids(0)) == Serial(before.response.svids(0)));
  const int subscriptions = world.server.subscriptions(), full = world.server.full_subscriptions();
  world.server.ComeBack();
  REQUIRE(world.server.WaitUntil([&] { return world.server.subscriptions() > subscriptions; }));
  CHECK(world.server.full_subscriptions() == full);  // it said what it holds
}

TEST_CASE("a digest that differs makes the agent ask for everything; it serves meanwhile") {
  World world;
  world.server.Put("a", "/a", {kMine});
  world.StartAgent();
  SvidStream stream(world.config.socket);
  REQUIRE(stream.Next());
  const int full = world.server.full_subscriptions();
  world.server.PushDigest(true);
  CHECK_FALSE(stream.Next(200ms));
  CHECK(world.server.full_subscriptions() == full);
  world.server.PushDigest(false);
  REQUIRE(world.server.WaitUntil([&] { return world.server.full_subscriptions() > full; }));
  CHECK_FALSE(stream.Next(200ms));
  CHECK(FetchOnce(world.config.socket).status.ok());
}

TEST_CASE("with a server that has no push the agent polls") {
  FakeServerOptions options;
  options.push = false;
  World world(options);
  const SigningAuthority foreign("one.test", world.clock.Now());
  world.server.PutBundle(foreign.bundle());
  world.server.Put("a", "/a", {kMine});
  world.StartAgent();
  SvidStream stream(world.config.socket);
  const auto first = stream.Next();
  REQUIRE(first);
  CHECK(first->federated_bundles().size() == 1);
  world.server.Put("b", "/b", {kMine});
  CHECK(IdsOf(*stream.Next()) == Ids{world.Id("/a"), world.Id("/b")});
  world.server.Remove("a");
  CHECK(IdsOf(*stream.Next()) == Ids{world.Id("/b")});
}

TEST_CASE("a banned agent erases what it holds, ends its streams, and says so by its exit code") {
  World world;
  world.server.Put("a", "/a", {kMine});
  world.StartAgent();
  SvidStream stream(world.config.socket);
  REQUIRE(stream.Next());
  world.server.Deny(Denial::AGENT_BANNED);
  CHECK(world.WaitForEnd() == ExitCode::kDenied);
  CHECK(stream.End()->error_code() == grpc::UNAVAILABLE);
  CHECK_FALSE(std::filesystem::exists(world.config.data_dir + "/node.sealed"));
  CHECK_FALSE(std::filesystem::exists(world.config.data_dir + "/cache.sealed"));
  CHECK_FALSE(std::filesystem::exists(world.config.socket));
}

TEST_CASE("a ban that crosses an acknowledgement is heard all the same") {
  World world;
  world.StartAgent();
  world.server.DenyBehindBatch(Denial::AGENT_BANNED);
  world.server.GoAway();
  world.server.ComeBack();
  CHECK(world.WaitForEnd() == ExitCode::kDenied);
  CHECK_FALSE(std::filesystem::exists(world.config.data_dir + "/node.sealed"));
}

TEST_CASE("the same when the server has no push") {
  FakeServerOptions options;
  options.push = false;
  World world(options);
  world.StartAgent();
  world.server.Deny(Denial::AGENT_NOT_ATTESTED);
  CHECK(world.WaitForEnd() == ExitCode::kDenied);
  CHECK_FALSE(std::filesystem::exists(world.config.data_dir + "/node.sealed"));
}

TEST_CASE("an agent told to attest again serves on what it holds") {
  World world;
  world.server.Put("a", "/a", {kMine});
  world.StartAgent();
  REQUIRE(FetchOnce(world.config.socket).status.ok());
  world.server.Deny(Denial::AGENT_MUST_REATTEST);
  const int subscriptions = world.server.subscriptions();
  REQUIRE(world.server.WaitUntil([&] { return world.server.subscriptions() > subscriptions; }));
  CHECK(FetchOnce(world.config.socket).status.ok());
  CHECK(std::filesystem::exists(world.config.data_dir + "/node.sealed"));
}

TEST_CASE("the agent's own SVID is renewed and its connection made anew") {
  FakeServerOptions options;
  options.agent_ttl = 4s;
  World world(options);
  world.server.Put("a", "/a", {kMine});
  world.StartAgent();
  SvidStream stream(world.config.socket);
  REQUIRE(stream.Next());
  REQUIRE(world.server.WaitUntil([&] { return world.server.renewals() >= 1; }));
  REQUIRE(world.server.WaitUntil([&] { return world.server.subscriptions() >= 2; }));
  CHECK_FALSE(stream.Next(100ms));  // workloads notice nothing
}

TEST_CASE("while minting fails a waiting workload waits, and is served when it works again") {
  World world;
  world.server.RefuseToMint(true);
  world.server.Put("a", "/a", {kMine});
  world.StartAgent();
  SvidStream stream(world.config.socket);
  REQUIRE(world.server.WaitUntil([&] { return world.server.mints() >= 2; }));
  CHECK_FALSE(stream.Next(100ms));
  world.server.RefuseToMint(false);
  REQUIRE(stream.Next());
}

TEST_CASE("a server that asks for a pause gets it") {
  World world;
  world.server.AskForPause(1500ms);
  world.server.Put("a", "/a", {kMine});
  world.StartAgent();
  SvidStream stream(world.config.socket);
  REQUIRE(world.server.WaitUntil([&] { return world.server.mints() >= 1; }));
  const auto begun = std::chrono::steady_clock::now();
  world.server.AskForPause(0ms);
  REQUIRE(stream.Next());
  CHECK(std::chrono::steady_clock::now() - begun > 1200ms);
}

TEST_CASE("a workload that never reads holds up nobody and is merged to the latest") {
  World world;
  world.server.Put("a", "/a", {kMine});
  world.StartAgent();
  grpc::ClientContext context;
  signet::test::AddSecurityHeader(&context);
  const auto stub = SpiffeWorkloadAPI::NewStub(signet::test::WorkloadChannel(world.config.socket));
  const auto idle = stub->FetchX509SVID(&context, X509SVIDRequest());
  SvidStream reader(world.config.socket);
  REQUIRE(reader.Next());
  std::string last;
  for (int i = 0; i < 50; ++i) {
    world.server.Put("a", "/a", {kMine});
    const auto message = reader.Next();
    REQUIRE(message);
    last = Serial(message->svids(0));
  }
  X509SVIDResponse message;
  int taken = 0;
  do {
    REQUIRE(idle->Read(&message));
    ++taken;
  } while (Serial(message.svids(0)) != last);
  CHECK(taken <= 52);
  context.TryCancel();
  idle->Finish();
}

TEST_CASE("streams of a user beyond the bound are refused, and there is room again when one ends") {
  World world;
  world.config.limits.streams_per_uid = 2;
  world.server.Put("a", "/a", {kMine});
  world.StartAgent();
  SvidStream first(world.config.socket);
  {
    SvidStream second(world.config.socket);
    REQUIRE(first.Next());
    REQUIRE(second.Next());
    const auto third = FetchOnce(world.config.socket);
    CHECK(third.status.error_code() == grpc::UNAVAILABLE);
    CHECK(third.response.svids().empty());
    CHECK(world.metrics->Text().find(
              R"(refusals_total{code="unavailable",reason="too_many_streams"} 1)") !=
          std::string::npos);
  }
  CHECK(world.server.WaitUntil([&] { return FetchOnce(world.config.socket).status.ok(); }));
}

TEST_CASE("a data directory or a socket in use is refused, and no token is spent") {
  World first;
  first.StartAgent();
  Metrics metrics;
  const auto same_dir = Agent::Create(
      first.config, AgentWorld{first.dialer, first.clock, first.random, first.log, metrics});
  REQUIRE_FALSE(same_dir);
  CHECK(same_dir.error().reason == kAlreadyRunning);

  World second;
  second.config.socket = first.config.socket;
  auto agent = Agent::Create(
      second.config, AgentWorld{second.dialer, second.clock, second.random, second.log, metrics});
  REQUIRE(agent);
  CHECK((*agent)->Run() == ExitCode::kInUse);
  CHECK(FetchOnce(first.config.socket).status.error_code() ==
        grpc::PERMISSION_DENIED);  // still the first one's
  second.config.socket = second.dir.File("own.sock");
  agent->reset();
  second.StartAgent();  // the token is still good
}

TEST_CASE("a wrong token ends the agent with its own exit code") {
  World world;
  world.config.node_attestor = WithToken("wrong");
  auto agent =
      Agent::Create(world.config, AgentWorld{world.dialer, world.clock, world.random, world.log,
                                             *(world.metrics = std::make_unique<Metrics>())});
  REQUIRE(agent);
  CHECK((*agent)->Run() == ExitCode::kNotAttested);
  CHECK_FALSE((*agent)->health().ready);
}

TEST_CASE("a kept cache that does not open costs only the head start") {
  World world;
  world.server.Put("a", "/a", {kMine});
  world.StartAgent();
  REQUIRE(FetchOnce(world.config.socket).status.ok());
  world.StopAgent();
  const std::string path = world.config.data_dir + "/cache.sealed";
  REQUIRE(std::filesystem::exists(path));
  Bytes content = *ReadFile(path, 1U << 20);
  content.back() ^= 1;
  REQUIRE(WriteFileAtomically(path, content, 0600));
  world.StartAgent();  // a broken cache is no reason not to start
  CHECK(FetchOnce(world.config.socket).status.ok());
}

TEST_CASE("a server away for a day: then the node is whole again within a minute, without a herd") {
  World world;  // the agent's SVID and all others live for an hour
  for (int i = 0; i < 400; ++i)
    world.server.Put("other" + std::to_string(i), "/other", {"unix:uid:99999"});
  world.server.Put("mine", "/mine", {kMine});
  world.StartAgent();
  REQUIRE(world.server.WaitUntil([&] { return world.Holds(401); }));
  world.server.GoAway();
  CHECK(FetchOnce(world.config.socket).status.ok());
  world.clock.Advance(24h);
  REQUIRE(world.server.WaitUntil([&] { return world.Holds(0); }));  // ended, and not served
  CHECK(world.agent->health().problems.size() >= 2);
  const int calls = world.server.mints(), renewals = world.server.renewals();
  const auto begun = std::chrono::steady_clock::now();
  world.server.ComeBack();
  SvidStream stream(world.config.socket);
  REQUIRE(stream.Next());
  REQUIRE(world.server.WaitUntil([&] { return world.Holds(401); }));
  CHECK(std::chrono::steady_clock::now() - begun < 60s);
  CHECK(world.server.renewals() > renewals);
  CHECK(world.server.mints() - calls <= 401 / static_cast<int>(kMintBatch) + 8);
  REQUIRE(world.server.WaitUntil([&] { return world.agent->health().problems.empty(); }));
}
