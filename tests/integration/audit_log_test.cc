// The log through the programs: recorded, proven, and found out when somebody cut it.
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "tests/support/process.h"
#include "tests/support/server_process.h"

namespace signet::test {
namespace {

struct Answer {
  int code = 0;
  std::string output;
};

Answer Signet(const ServerProcess& server, std::vector<std::string> words) {
  words.insert(words.begin(), std::string(SIGNET_BIN) + "/signet");
  words.insert(words.end(), {"--socket", server.admin_socket()});
  Answer answer;
  const TempDir folder;  // what a program says is appended to its file
  answer.code = RunProcess(words, folder.File("output"), &answer.output).code;
  return answer;
}

void WriteText(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

bool Contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

// A server that made a token, an entry and an SVID.
struct World {
  World() {
    server.Start();
    REQUIRE(Signet(server, {"token", "create"}).code == 0);
    REQUIRE(
        Signet(server, {"entry", "create", "--id", "web", "--spiffe-id", "spiffe://example.org/web",
                        "--parent-id", "spiffe://example.org/node", "--selector", "unix:uid:1"})
            .code == 0);
    REQUIRE(Signet(server, {"x509", "mint", "--spiffe-id", "spiffe://example.org/web", "--write",
                            server.folder() + "/svid"})
                .code == 0);
  }
  std::string File(const std::string& name) const { return server.folder() + "/" + name; }

  ServerProcess server{SIGNET_BIN};
};

}  // namespace

TEST_CASE("the log says who did what, and a certificate's story is found by its serial") {
  World world;
  const Answer all = Signet(world.server, {"audit", "list"});
  REQUIRE(all.code == 0);
  for (const char* part : {"join_token.created", "entry.created", "certificate.issued",
                           "authority.activated", "spiffe://example.org/web", "uid:"})
    CHECK(Contains(all.output, part));
  const Answer entries = Signet(world.server, {"audit", "list", "--event", "entry"});
  CHECK(Contains(entries.output, "entry.created"));
  CHECK(!Contains(entries.output, "join_token.created"));
  const Answer found = Signet(world.server, {"certificate", "find", "spiffe://example.org/web"});
  CHECK(found.code == 0);
  CHECK(Contains(found.output, "Asked for by:  uid:"));
  CHECK(Signet(world.server, {"certificate", "find", "00ff"}).code == 4);
}

TEST_CASE("a refused call stands in the log, and many like it stand there once") {
  World world;
  const auto stranger = MintSvid(*world.server.Admin(), "spiffe://example.org/stranger");
  const auto channel = world.server.Tls(&stranger);
  REQUIRE(channel != nullptr);
  for (int i = 0; i < 20; ++i)
    CHECK_THROWS(CreateEntry(*channel, MakeEntry("e", "/x", "/spire/agent/a", "unix:uid:1")));
  REQUIRE(world.server.Stop().code == 0);  // what was gathered is written at the latest now
  world.server.Start();
  const Answer refused =
      Signet(world.server, {"-o", "json", "audit", "list", "--event", "call.refused"});
  CHECK(Contains(refused.output, "spiffe://example.org/stranger"));
  CHECK(Contains(refused.output, "BatchCreateEntry"));
  std::size_t records = 0;
  for (auto at = refused.output.find("\"event\""); at != std::string::npos;
       at = refused.output.find("\"event\"", at + 1))
    ++records;
  CHECK(records <= 5);
}

TEST_CASE(
    "a bad request within a batch that is answered stands in the log, with the agent's name") {
  World world;
  const auto agent = MakeAgent(world.server);
  CreateEntry(*world.server.Admin(), MakeEntry("e", "/x", agent.id, "unix:uid:1"));
  const auto channel = world.server.Tls(&agent);
  REQUIRE(channel != nullptr);
  spire::api::server::svid::v1::BatchNewX509SVIDRequest request;
  spire::api::server::svid::v1::BatchNewX509SVIDResponse response;
  request.add_params()->set_entry_id("e");
  request.mutable_params(0)->set_csr("no request");
  grpc::ClientContext context;
  const auto stub = spire::api::server::svid::v1::SVID::NewStub(channel);
  REQUIRE(stub->BatchNewX509SVID(&context, request, &response).ok());
  CHECK(response.results(0).status().code() == grpc::StatusCode::INVALID_ARGUMENT);
  REQUIRE(world.server.Stop().code == 0);
  world.server.Start();
  const Answer refused =
      Signet(world.server, {"-o", "json", "audit", "list", "--event", "call.refused"});
  CHECK(Contains(refused.output, agent.id));
  CHECK(Contains(refused.output, "malformed CSR"));
}

TEST_CASE("an export verifies offline; a change, a cut tail and a cut database do not") {
  World world;
  const Answer checkpoint = Signet(world.server, {"audit", "checkpoint"});
  WriteText(world.File("kept"), checkpoint.output);
  const Answer exported = Signet(world.server, {"audit", "export"});
  REQUIRE(exported.code == 0);
  const auto verify = [&](const std::string& text, bool with_checkpoint) {
    WriteText(world.File("export"), text);
    std::vector<std::string> words = {"audit", "verify", world.File("export")};
    if (with_checkpoint) words.insert(words.end(), {"--checkpoint", world.File("kept")});
    return Signet(world.server, words).code;
  };
  CHECK(verify(exported.output, false) == 0);
  CHECK(verify(exported.output, true) == 0);
  std::string changed = exported.output;
  changed.replace(changed.find("spiffe://example.org/web"), 24, "spiffe://example.org/wex");
  CHECK(verify(changed, false) != 0);
  const std::string cut = exported.output.substr(0, exported.output.find("entry.created"));
  const std::string whole_lines = cut.substr(0, cut.rfind('\n') + 1);
  CHECK(verify(whole_lines, false) == 0);  // by itself it cannot know
  CHECK(verify(whole_lines, true) != 0);

  REQUIRE(world.server.Stop().code == 0);
  const std::string copy = world.File("copy.db");
  std::filesystem::copy_file(world.server.data_dir() + "/server.db", copy);
  const std::vector<std::string> words = {"audit", "verify", copy, "--checkpoint",
                                          world.server.data_dir() + "/log.head"};
  CHECK(Signet(world.server, words).code == 0);
  std::string output;
  REQUIRE(RunProcess({"/usr/bin/python3", "-c",
                      "import sqlite3, sys\n"
                      "db = sqlite3.connect(sys.argv[1])\n"
                      "db.execute('DROP TRIGGER audit_log_is_not_removed')\n"
                      "db.execute('DELETE FROM audit_log WHERE seq > 5')\n"
                      "db.execute('DELETE FROM audit_checkpoints')\n"
                      "db.commit()\n",
                      copy},
                     world.File("python"), &output)
              .code == 0);
  CHECK(Signet(world.server, {"audit", "verify", copy}).code == 0);
  CHECK(Signet(world.server, words).code != 0);
}

TEST_CASE("an older database put back is found out at the start, and serving goes on") {
  World world;
  REQUIRE(world.server.Stop().code == 0);
  const std::string database = world.server.data_dir() + "/server.db";
  std::filesystem::copy_file(database, world.File("older.db"));
  world.server.Start();
  REQUIRE(Signet(world.server, {"token", "create"}).code == 0);
  REQUIRE(world.server.Stop().code == 0);
  std::filesystem::copy_file(world.File("older.db"), database,
                             std::filesystem::copy_options::overwrite_existing);
  world.server.Start();
  const Answer status = Signet(world.server, {"status"});
  CHECK(status.code == 1);
  CHECK(Contains(status.output, "older than its last checkpoint"));
  CHECK(Signet(world.server, {"token", "create"}).code == 0);
  CHECK(Contains(Signet(world.server, {"audit", "list"}).output, "log.found_older"));
  REQUIRE(world.server.Stop().code == 0);
  world.server.Start();
  CHECK(Signet(world.server, {"status"}).code == 0);
}

TEST_CASE("an authority is rotated by one command, which goes on where it was ended") {
  World world;
  const auto rotate = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"authority", "rotate", "--timeout", "20s"});
    return Signet(world.server, more);
  };
  const auto changes = [&] {
    return Signet(world.server, {"-o", "json", "audit", "list", "--event", "authority"}).output;
  };
  const std::string before = changes();
  REQUIRE(Contains(before, "authority.activated"));
  const Answer plan = rotate({"--plan"});
  CHECK(plan.code == 0);
  CHECK(Contains(plan.output, "1. prepare the next authority"));
  CHECK(changes() == before);
  CHECK(rotate({"--jwt"}).code == 0);
  CHECK(changes() != before);

  // An agent that attested once and does not listen is waited for, by name.
  const auto agent = MakeAgent(world.server);
  const Answer waiting = Signet(world.server, {"authority", "rotate", "--timeout", "1s"});
  CHECK(waiting.code != 0);
  CHECK(Contains(waiting.output, agent.id));
  const Answer forced = rotate({"--force", "--reason", "compromise"});
  CHECK(forced.code == 0);
  CHECK(Contains(forced.output, "goes on with the prepared authority"));
  CHECK(Contains(forced.output, "revoked: "));
}

}  // namespace signet::test
