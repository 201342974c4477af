// F11: the server is down until everything has ended: its authority, its own SVID, the agents'.
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "tests/support/agent_process.h"
#include "tests/support/eventually.h"
#include "tests/support/file_authority.h"
#include "tests/support/workload_client.h"

namespace signet::test {
namespace {

using std::chrono::seconds;

constexpr const char* kShortLives =
    "ca_ttl: 6s\nagent_ttl: 2s\ndefault_x509_svid_ttl: 2s\nratelimit: {signing: false}\n";

std::unique_ptr<AgentProcess> StartAgent(const ServerProcess& server, const std::string& entry) {
  auto agent = std::make_unique<AgentProcess>(SIGNET_BIN, server);
  agent->Start(CreateJoinToken(*server.Admin()));
  CreateEntry(*server.Admin(),
              MakeEntry(entry, "/mine", agent->AgentId(), "unix:uid:" + std::to_string(getuid())));
  return agent;
}

// The newest SVID the agent gives; absent when it has none that is in force.
std::optional<ca::Certificate> Leaf(const AgentProcess& agent) {
  const auto answer = FetchOnce(agent.socket());
  if (!answer.status.ok() || answer.response.svids_size() != 1) return std::nullopt;
  auto leaf =
      ca::ParseConcatenatedDer(AsBytes(answer.response.svids(0).x509_svid()), 10).value().front();
  if (leaf.not_after() <= SystemClock().Now()) return std::nullopt;
  return leaf;
}

bool Serves(const AgentProcess& agent) {
  return Eventually([&] { return Leaf(agent).has_value(); }, seconds(60));
}

// Until what the server and its authority signed by now has ended.
void OutlastAll(ServerProcess& server) {
  server.Kill();
  const WallTime end = SystemClock().Now() + seconds(7);  // ca_ttl, and a little
  REQUIRE(Eventually([&] { return SystemClock().Now() > end; }, seconds(60)));
}

}  // namespace

TEST_CASE("F11: below a CA that lasts, all that ended while the server was down heals by itself") {
  const FileAuthority above;
  ServerProcess server(
      SIGNET_BIN,
      std::string(kShortLives) +
          "upstream_authority:\n  type: disk\n  certificate_file: " + above.certificate_file() +
          "\n  key_file: " + above.key_file() + "\n  bundle_file: " + above.bundle_file() + "\n");
  server.Start();
  PinPort(server);
  const auto agent = StartAgent(server, "mine");
  REQUIRE(Serves(*agent));
  OutlastAll(server);
  server.Start();
  CHECK_FALSE(MintSvid(*server.Admin(), "spiffe://example.org/m").chain.empty());
  CHECK(Serves(*agent));
}

TEST_CASE("F11: where the root itself has ended, a new one is made, and agents join again") {
  ServerProcess server(SIGNET_BIN, kShortLives);
  server.Start();
  PinPort(server);
  auto agent = StartAgent(server, "mine");
  REQUIRE(Serves(*agent));
  OutlastAll(server);
  server.Start();
  CHECK_FALSE(MintSvid(*server.Admin(), "spiffe://example.org/m").chain.empty());
  // Whom it would have to believe is nobody it ever trusted: it does not.
  CHECK_FALSE(Eventually([&] { return Leaf(*agent).has_value(); }, seconds(3)));
  agent->Stop();
  agent = StartAgent(server, "again");  // the bundle of now, and a token
  CHECK(Serves(*agent));
}

}  // namespace signet::test
