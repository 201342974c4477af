// Revocation as it bites: `signet revoke` at a real server, live connections through a real proxy.

#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <filesystem>

#include "tests/support/agent_proxy.h"
#include "tests/support/workload_client.h"

namespace signet::test {
namespace {

using namespace std::chrono_literals;
using Steady = std::chrono::steady_clock;

const std::string kMine = "unix:uid:" + std::to_string(geteuid());
constexpr const char* kRevoked =
    R"(signet_proxy_connections_closed_total{direction="inbound",listener="web",reason="revoked"})";

// A server, an agent, and a proxy "web" before an echo.
struct World {
  World() : server(SIGNET_BIN), backend(TestBackend::Echo) {
    server.Start();
    PinPort(server);
    agent = std::make_unique<AgentProcess>(SIGNET_BIN, server);
    agent->Start(CreateJoinToken(*server.Admin()));
    const std::string id = agent->AgentId();
    CreateEntry(
        *server.Admin(),
        MakeEntry("web", "/web", id.substr(id.find('/', std::string("spiffe://").size())), kMine));
    proxy = std::make_unique<AgentProxy>(
        *agent, "inbound: [{name: web, listen: '127.0.0.1:0', forward: '" +
                    backend.address().ToString() +
                    "', allow: [{id: 'spiffe://example.org/caller/*'}]}]\n");
    REQUIRE(proxy->BecomesReady());
    address = proxy->Listener("web");
  }
  TestIdentity Mint(const std::string& name) {
    return MintSvid(*server.Admin(), "spiffe://example.org/caller/" + name);
  }
  StreamClient Call(const TestIdentity& identity) const {
    return StreamClient::Connect(address,
                                 TrustingContext(CertifiedKey{identity.chain, identity.key}));
  }
  std::vector<StreamClient> CallOften(const TestIdentity& identity, int times) const {
    std::vector<StreamClient> calls;
    for (int i = 0; i < times; ++i) {
      calls.push_back(Call(identity));
      REQUIRE(Talks(calls.back()));
    }
    return calls;
  }
  // Runs the CLI, which must succeed.
  void Signet(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(),
                     {SIGNET_BIN + std::string("/signet"), "--socket", server.admin_socket()});
    std::string output;
    const auto end = RunProcess(arguments, server.folder() + "/cli.log", &output);
    INFO(output);
    REQUIRE(end.code == 0);
  }

  ServerProcess server;
  TestBackend backend;
  std::unique_ptr<AgentProcess> agent;
  std::unique_ptr<AgentProxy> proxy;
  net::SocketAddress address;
};

TEST_CASE("attack 24: once an identity is revoked its connections are cut and no call succeeds") {
  World world;
  const TestIdentity bad = world.Mint("bad");
  const TestIdentity good = world.Mint("good");
  std::vector<StreamClient> live = world.CallOften(bad, 20);
  std::vector<StreamClient> others = world.CallOften(good, 2);
  std::atomic<bool> stop{false};
  std::atomic<Steady::rep> last_success{0};
  std::thread insistent([&] {
    while (!stop) {
      StreamClient again = world.Call(bad);
      if (Talks(again)) last_success = Steady::now().time_since_epoch().count();
    }
  });
  REQUIRE(Eventually([&] { return last_success != 0; }));
  world.Signet({"revoke", bad.id, "--reason", "test"});
  const auto answered = Steady::now();
  for (StreamClient& each : live) CHECK(each.WaitForEnd());
  CHECK(Steady::now() - answered < 1s);
  REQUIRE(Eventually([&] { return Steady::now() - answered > 1500ms; }));
  stop = true;
  insistent.join();
  CHECK(Steady::time_point(Steady::duration(last_success)) < answered + 1s);
  CHECK(world.proxy->Series(kRevoked) >= 20);
  for (StreamClient& each : others) CHECK(Talks(each));
}

TEST_CASE("attack 37: a certificate's serial is revoked, and the identity's next one is welcome") {
  World world;
  const TestIdentity leaked = world.Mint("a");
  const TestIdentity next = world.Mint("a");
  StreamClient live = world.Call(leaked);
  REQUIRE(Talks(live));
  world.Signet({"revoke", leaked.chain.front().SerialHex()});
  CHECK(live.WaitForEnd());
  StreamClient again = world.Call(leaked);
  CHECK_FALSE(Talks(again));
  StreamClient fresh = world.Call(next);
  CHECK(Talks(fresh));
}

TEST_CASE("attack 47: with server and agent gone, who was revoked stays so; nobody else is cut") {
  World world;
  const TestIdentity bad = world.Mint("bad");
  const TestIdentity good = world.Mint("good");
  StreamClient live = world.Call(good);
  REQUIRE(Talks(live));
  world.Signet({"revoke", bad.id});
  REQUIRE(Eventually([&] {
    StreamClient call = world.Call(bad);
    return !Talks(call);
  }));
  world.server.Kill();
  world.agent->Stop();  // in order, so that the proxy's SVID is kept too
  StreamClient refused = world.Call(bad);
  CHECK_FALSE(Talks(refused));
  CHECK(Talks(live));
  // A proxy that starts anew learns it from the agent's disk.
  world.agent->Start();
  const AgentProxy second(*world.agent,
                          "inbound: [{name: web, listen: '127.0.0.1:0', forward: '" +
                              world.backend.address().ToString() +
                              "', allow: [{id: 'spiffe://example.org/caller/*'}]}]\n");
  INFO(world.agent->Output());
  const bool ready = second.BecomesReady();
  INFO(second.Output());
  REQUIRE(ready);
  world.address = second.Listener("web");
  StreamClient still_refused = world.Call(bad);
  CHECK_FALSE(Talks(still_refused));
  StreamClient served = world.Call(good);
  CHECK(Talks(served));
}

TEST_CASE("attack 47: an agent whose file of denials was changed serves nothing until it is told") {
  World world;
  const TestIdentity bad = world.Mint("bad");
  world.Signet({"revoke", bad.id});
  REQUIRE(Eventually([&] {
    StreamClient call = world.Call(bad);
    return !Talks(call);
  }));
  const std::string file = world.agent->folder() + "/data/denials.sealed";
  REQUIRE(Eventually([&] { return std::filesystem::exists(file); }));
  world.server.Kill();
  world.agent->Kill();
  auto bytes = ReadFile(file, 1 << 20);
  REQUIRE(bytes);
  bytes->back() ^= 1;
  REQUIRE(WriteFileAtomically(file, *bytes, 0600));
  world.agent->Start();
  CHECK_FALSE(FetchOnce(world.agent->socket()).status.ok());
  world.server.Start();
  REQUIRE(Eventually([&] { return FetchOnce(world.agent->socket()).status.ok(); }));
  StreamClient refused = world.Call(bad);
  CHECK_FALSE(Talks(refused));
}

TEST_CASE("attack 37: an agent is revoked, and the SVIDs issued through it are refused elsewhere") {
  World world;
  // Another agent's workload: this process, by an entry of its own.
  AgentProcess stolen(SIGNET_BIN, world.server);
  stolen.Start(CreateJoinToken(*world.server.Admin()));
  const std::string id = stolen.AgentId();
  CreateEntry(*world.server.Admin(),
              MakeEntry("caller", "/caller/stolen",
                        id.substr(id.find('/', std::string("spiffe://").size())), kMine));
  X509SVIDResponse response;
  REQUIRE(Eventually([&] {
    const auto answer = FetchOnce(stolen.socket());
    response = answer.response;
    return answer.status.ok() && response.svids_size() > 0;
  }));
  const auto chain = ca::ParseConcatenatedDer(AsBytes(response.svids(0).x509_svid()), 10);
  auto key = ca::PrivateKey::FromPkcs8(AsBytes(response.svids(0).x509_svid_key()));
  REQUIRE(chain);
  REQUIRE(key);
  const TestIdentity caller{std::make_shared<const ca::PrivateKey>(std::move(*key)), *chain,
                            response.svids(0).spiffe_id()};
  StreamClient live = world.Call(caller);
  REQUIRE(Talks(live));
  world.Signet({"revoke", "--agent", id});
  CHECK(live.WaitForEnd());
  StreamClient again = world.Call(caller);
  CHECK_FALSE(Talks(again));
  CHECK(stolen.process().Wait(10s));
}

}  // namespace
}  // namespace signet::test
