// A backup of a server at work, and F8: an older database put back while an agent runs.
#include <catch2/catch.hpp>
#include <filesystem>
#include <set>

#include "tests/support/agent_process.h"
#include "tests/support/eventually.h"
#include "tests/support/process.h"
#include "tests/support/server_process.h"
#include "tests/support/workload_client.h"

namespace signet::test {
namespace {

namespace fs = std::filesystem;
using std::chrono::seconds;

const std::string kMine = "unix:uid:" + std::to_string(geteuid());

struct Answer {
  int code = 0;
  std::string output;
};

Answer Run(const std::string& program, std::vector<std::string> words) {
  words.insert(words.begin(), std::string(SIGNET_BIN) + "/" + program);
  Answer answer;
  const TempDir folder;  // what a program says is appended to its file
  answer.code = RunProcess(words, folder.File("output"), &answer.output).code;
  return answer;
}

Answer Backup(const ServerProcess& server, const std::string& folder) {
  return Run("signet-server", {"backup", "--config", server.config_path(), "--to", folder});
}

Answer Restore(const ServerProcess& server, const std::string& folder) {
  return Run("signet-server", {"restore", "--config", server.config_path(), "--from", folder});
}

bool Contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

// The IDs a workload of this user has now.
std::set<std::string> Held(const AgentProcess& agent) {
  const auto ids = IdsOf(FetchOnce(agent.socket()).response);
  return {ids.begin(), ids.end()};
}

bool HoldsSoon(const AgentProcess& agent, const std::set<std::string>& wanted) {
  return Eventually([&] { return Held(agent) == wanted; }, seconds(30));
}

}  // namespace

TEST_CASE("F8: an older database put back is recognised, and a running agent heals by itself") {
  ServerProcess server(SIGNET_BIN);
  server.Start();
  PinPort(server);
  AgentProcess agent(SIGNET_BIN, server);
  agent.Start(CreateJoinToken(*server.Admin()));
  const std::string parent = agent.AgentId();
  CreateEntry(*server.Admin(), MakeEntry("a", "/a", parent, kMine));
  CreateEntry(*server.Admin(), MakeEntry("gone", "/gone", parent, kMine));
  REQUIRE(HoldsSoon(agent, {"spiffe://example.org/a", "spiffe://example.org/gone"}));

  const std::string backup = server.folder() + "/backup";
  const Answer made = Backup(server, backup);
  CHECK(made.code == 0);
  INFO(made.output);
  CHECK(Contains(made.output, "example.org"));

  // A life goes on that the backup knows nothing of.
  REQUIRE(Run("signet", {"entry", "delete", "gone", "--socket", server.admin_socket()}).code == 0);
  CreateEntry(*server.Admin(), MakeEntry("later", "/later", parent, kMine));
  REQUIRE(HoldsSoon(agent, {"spiffe://example.org/a", "spiffe://example.org/later"}));
  const Bytes serial =
      ToBytes(MintSvid(*server.Admin(), "spiffe://example.org/x").chain[0].serial());

  REQUIRE(server.Stop().code == 0);
  const Answer restored = Restore(server, backup);
  INFO(restored.output);
  REQUIRE(restored.code == 0);
  CHECK(Contains(restored.output, "server.db.replaced-"));
  server.Start();

  // Known for what it is: in the log, in the health, in what is recorded.
  CHECK(Contains(server.Output(), "was an older database put back?"));
  CHECK(Contains(Run("signet", {"status", "--socket", server.admin_socket()}).output, "log"));
  CHECK(Contains(Run("signet", {"audit", "list", "--event", "log.found_older", "--socket",
                                server.admin_socket()})
                     .output,
                 "log.found_older"));
  // The agent has what the server has, without anybody's help.
  CHECK(HoldsSoon(agent, {"spiffe://example.org/a", "spiffe://example.org/gone"}));
  CHECK(agent.process().running());
  CHECK(agent.AgentId() == parent);
  for (int i = 0; i < 20; ++i)
    CHECK(ToBytes(MintSvid(*server.Admin(), "spiffe://example.org/x").chain[0].serial()) != serial);
}

TEST_CASE("a backup is whole while entries are written, and is refused where something is") {
  ServerProcess server(SIGNET_BIN);
  server.Start();
  std::atomic<bool> stop = false;
  std::atomic<int> written = 0;
  std::thread writer([&] {
    while (!stop) {
      const std::string name = std::to_string(written);
      CreateEntry(*server.Admin(), MakeEntry("e" + name, "/" + name, "/node", kMine));
      ++written;
    }
  });
  const bool writes = Eventually([&] { return written >= 50; });
  const std::string backup = server.folder() + "/backup";
  const Answer made = Backup(server, backup);
  stop = true;
  writer.join();
  CHECK(writes);
  INFO(made.output);
  CHECK(made.code == 0);
  CHECK(Run("signet-server", {"verify-log", "--database", backup + "/server.db"}).code == 0);
  CHECK((fs::status(backup).permissions() & fs::perms::mask) == fs::perms::owner_all);
  CHECK(!fs::exists(backup + "/kek"));
  CHECK(fs::exists(backup + "/keys"));
  const Answer again = Backup(server, backup);
  CHECK(again.code == 6);
  CHECK(Contains(again.output, "it exists already"));
  CHECK(!fs::exists(backup + ".partial"));
}

TEST_CASE("nothing is restored over a running server, from another domain or from nothing") {
  ServerProcess server(SIGNET_BIN);
  server.Start();
  const std::string backup = server.folder() + "/backup";
  REQUIRE(Backup(server, backup).code == 0);
  CHECK(Restore(server, backup).code == 3);
  REQUIRE(server.Stop().code == 0);
  const Answer nothing = Restore(server, server.folder() + "/nothing");
  CHECK(nothing.code == 6);
  CHECK(Contains(nothing.output, "name a folder that signet-server backup made"));

  ServerProcess other(SIGNET_BIN);
  other.Configure({}, "other.org");
  const Answer refused = Restore(other, backup);
  CHECK(refused.code == 6);
  CHECK(Contains(refused.output, "it is of trust domain example.org"));
  CHECK(!fs::exists(other.data_dir()));
  const Answer empty = Backup(other, other.folder() + "/backup");
  CHECK(empty.code == 6);
  CHECK(Contains(empty.output, "is data_dir of the configuration right"));
  CHECK(!fs::exists(other.folder() + "/backup"));
}

TEST_CASE("a server begins again from a backup on an empty machine, with its key-encryption key") {
  ServerProcess server(SIGNET_BIN);
  server.Start();
  CreateEntry(*server.Admin(), MakeEntry("a", "/a", "/node", kMine));
  const std::string before = GetBundle(*server.Admin()).x509_authorities(0).asn1();
  const std::string backup = server.folder() + "/backup";
  REQUIRE(Run("signet-server",
              {"backup", "--config", server.config_path(), "--to", backup, "--with-kek"})
              .code == 0);
  REQUIRE(server.Stop().code == 0);

  ServerProcess fresh(SIGNET_BIN);
  REQUIRE(Restore(fresh, backup).code == 0);
  CHECK(fresh.StartRefused().code == 4);  // its keys open with no KEK that is here
  fs::copy_file(backup + "/kek", fresh.data_dir() + "/kek", fs::copy_options::overwrite_existing);
  fresh.Start();
  CHECK(GetBundle(*fresh.Admin()).x509_authorities(0).asn1() == before);
  CHECK(MintSvid(*fresh.Admin(), "spiffe://example.org/x").chain.size() == 1);
}

}  // namespace signet::test
