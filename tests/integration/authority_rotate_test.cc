// `signet authority rotate` on real programs: ended before activation, gone on with after the
// server was killed, and on the worst day.
#include <unistd.h>

#include <catch2/catch.hpp>

#include "tests/support/agent_process.h"
#include "tests/support/command_line.h"
#include "tests/support/eventually.h"
#include "tests/support/workload_client.h"

namespace signet::test {
namespace {

using std::chrono::seconds;

struct World {
  World() {
    server.Start();
    PinPort(server);
    agent = std::make_unique<AgentProcess>(SIGNET_BIN, server);
    agent->Start(CreateJoinToken(*server.Admin()));
    CreateEntry(*server.Admin(), MakeEntry("mine", "/mine", agent->AgentId(),
                                           "unix:uid:" + std::to_string(getuid())));
    for (int i = 0; i < 20; ++i) {
      const std::string name = "other" + std::to_string(i);
      CreateEntry(*server.Admin(),
                  MakeEntry(name, "/" + name, agent->AgentId(), "unix:uid:4294967294"));
    }
  }
  CommandAnswer Signet(const std::vector<std::string>& words) const {
    return RunSignet(SIGNET_BIN, server, words);
  }
  // The leaf that this process gets from the agent.
  ca::Certificate Leaf() const {
    FirstAnswer answer;
    REQUIRE(Eventually([&] {
      answer = FetchOnce(agent->socket());
      return answer.status.ok() && answer.response.svids_size() == 1;
    }));
    return ca::ParseConcatenatedDer(AsBytes(answer.response.svids(0).x509_svid()), 10)
        .value()
        .front();
  }
  std::string Signer() const { return EncodeHex(Leaf().authority_key_id()); }
  std::vector<std::string> Roots() const {
    std::vector<std::string> ids;
    const auto bundle = GetBundle(*server.Admin());
    for (const auto& authority : bundle.x509_authorities())
      ids.push_back(
          EncodeHex(ca::Certificate::Parse(AsBytes(authority.asn1())).value().subject_key_id()));
    return ids;
  }
  std::size_t Count(const std::string& event) const {
    const std::string text =
        Signet({"-o", "json", "audit", "list", "-n", "1000", "--event", event}).output;
    std::size_t count = 0;
    for (auto at = text.find("\"x509\""); at != std::string::npos;
         at = text.find("\"x509\"", at + 1))
      ++count;
    return count;
  }

  ServerProcess server{SIGNET_BIN};
  std::unique_ptr<AgentProcess> agent;
};

}  // namespace

TEST_CASE("a rotation ended before activation has changed nothing but the bundle") {
  World world;
  const std::string first = world.Signer();
  world.agent->Kill();
  const CommandAnswer ended = world.Signet({"authority", "rotate", "--timeout", "1s"});
  CHECK(ended.code != 0);
  CHECK(ended.Has(world.agent->AgentId()));
  CHECK(world.Count("authority.activated") == 1);
  CHECK(world.Roots().size() == 2);
  CHECK(EncodeHex(MintSvid(*world.server.Admin(), "spiffe://example.org/m")
                      .chain.front()
                      .authority_key_id()) == first);
}

TEST_CASE("a rotation whose server was killed meanwhile goes on where it was") {
  World world;
  const std::string first = world.Signer();
  world.agent->Kill();
  Process waiting({std::string(SIGNET_BIN) + "/signet", "authority", "rotate", "--timeout", "60s",
                   "--socket", world.server.admin_socket()},
                  world.server.folder() + "/rotate");
  REQUIRE(Eventually([&] { return world.Roots().size() == 2; }));
  world.server.Kill();
  const auto ended = waiting.Wait(seconds(30));
  REQUIRE(ended);
  CHECK(ended->code != 0);
  world.server.Start();
  CHECK(world.Count("authority.activated") == 1);
  world.agent->Start();
  const CommandAnswer rotated = world.Signet({"authority", "rotate", "--timeout", "40s"});
  INFO(rotated.output);
  CHECK(rotated.code == 0);
  CHECK(rotated.Has("goes on with the prepared authority"));
  CHECK(world.Count("authority.prepared") == 2);  // the first one, and one more: not two
  CHECK(world.Count("authority.activated") == 2);
  CHECK(EncodeHex(MintSvid(*world.server.Admin(), "spiffe://example.org/m")
                      .chain.front()
                      .authority_key_id()) != first);
}

TEST_CASE("the worst day on a real agent: every SVID is minted anew before the key is revoked") {
  World world;
  const std::string first = world.Signer();
  const std::string old_serial = world.Leaf().SerialHex();
  const CommandAnswer rotated =
      world.Signet({"authority", "rotate", "--reason", "compromise", "--timeout", "40s"});
  INFO(rotated.output);
  REQUIRE(rotated.code == 0);
  CHECK(rotated.Has("tainted: " + first));
  CHECK(rotated.Has("revoked: " + first));
  const auto roots = world.Roots();
  REQUIRE(roots.size() == 1);
  CHECK(roots.front() != first);
  CHECK(world.Signer() == roots.front());
  CHECK(world.Leaf().SerialHex() != old_serial);
}

}  // namespace signet::test
