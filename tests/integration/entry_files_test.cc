// Entries as files through real processes: signet-server and the signet command, a whole set at a
// time or nothing, also when the server is killed in the middle.

#include <array>
#include <catch2/catch.hpp>
#include <condition_variable>
#include <fstream>
#include <mutex>
#include <set>
#include <thread>

#include "signet/entries/v1/entries.grpc.pb.h"
#include "tests/support/server_process.h"

namespace signet::test {
namespace {

namespace api = signet::entries::v1;

struct Ran {
  int code = -1;
  std::string output;
};

struct World {
  World() : server(SIGNET_BIN) { server.Start(); }

  Ran Signet(std::vector<std::string> words) {
    words.insert(words.begin(),
                 {std::string(SIGNET_BIN) + "/signet", "--socket", server.admin_socket()});
    Ran ran;
    const auto end =
        RunProcess(words, folder.File("output-" + std::to_string(++runs)), &ran.output);
    ran.code = end.code;
    return ran;
  }
  Ran Apply(std::vector<std::string> more = {}) {
    more.insert(more.begin(), {"entry", "apply", "-f", folder.File("entries")});
    return Signet(more);
  }
  void Write(const std::string& name, const std::string& text) {
    std::filesystem::create_directories(folder.File("entries"));
    std::ofstream(folder.File("entries/" + name)) << text;
  }
  std::set<std::string> Paths() const {
    spire::api::server::entry::v1::ListEntriesResponse listed;
    grpc::ClientContext context;
    REQUIRE(spire::api::server::entry::v1::Entry::NewStub(server.Admin())
                ->ListEntries(&context, {}, &listed)
                .ok());
    std::set<std::string> paths;
    for (const auto& entry : listed.entries()) paths.insert(entry.spiffe_id().path());
    return paths;
  }

  ServerProcess server;
  TempDir folder;
  int runs = 0;
};

bool Says(const Ran& ran, const std::string& text) {
  return ran.output.find(text) != std::string::npos;
}

std::string EntryText(const std::string& name, const std::string& more = {}) {
  return "  - spiffe_id: spiffe://example.org/" + name +
         "\n    parent_id: spiffe://example.org/node\n    selectors: [unix:uid:1000]\n" + more;
}

using Paths = std::set<std::string>;

// Fifty entries, named after the letter.
api::ApplyRequest SetOf(const std::string& letter) {
  api::ApplyRequest request;
  request.set_owner("swap");
  request.set_prune(true);
  for (int i = 0; i < 50; ++i) {
    auto entry = MakeEntry("", "/" + letter + std::to_string(i), "/parent", "unix:uid:1");
    entry.clear_id();
    *request.add_entries() = std::move(entry);
  }
  return request;
}

bool ApplySet(grpc::Channel& admin, const api::ApplyRequest& request) {
  api::ApplyResponse response;
  grpc::ClientContext context;
  const auto channel = std::shared_ptr<grpc::Channel>(&admin, [](grpc::Channel*) {});
  return api::Entries::NewStub(channel)->Apply(&context, request, &response).ok() &&
         response.has_applied();
}

}  // namespace

TEST_CASE("entry files: plan, apply, again, a crash, prune and export") {
  World world;
  CreateEntry(*world.server.Admin(), MakeEntry("by-hand", "/by-hand", "/node", "unix:uid:7"));
  world.Write("a.yaml", "entries:\n" + EntryText("web", "    id: web\n") + EntryText("db"));

  const Ran plan = world.Apply({"--plan"});
  INFO(plan.output);
  CHECK(plan.code == 0);
  CHECK(Says(plan, "+ create apply.default.web  spiffe://example.org/web"));
  CHECK(Says(plan, "2 to create, 0 to update, 0 to delete"));
  CHECK(world.Paths() == Paths{"/by-hand"});

  const Ran applied = world.Apply();
  INFO(applied.output);
  CHECK(applied.code == 0);
  CHECK(Says(applied, "2 created"));
  CHECK(world.Paths() == Paths{"/by-hand", "/web", "/db"});

  world.server.Kill();
  world.server.Start();
  CHECK(world.Paths() == Paths{"/by-hand", "/web", "/db"});
  const Ran again = world.Apply({"--prune"});
  INFO(again.output);
  CHECK(Says(again, "0 created, 0 updated, 0 deleted, 2 as they were"));

  const Ran exported = world.Signet({"entry", "export"});
  INFO(exported.output);
  CHECK(exported.code == 0);
  std::ofstream(world.folder.File("exported.yaml")) << exported.output;
  const Ran same =
      world.Signet({"entry", "apply", "--prune", "-f", world.folder.File("exported.yaml")});
  CHECK(Says(same, "0 created, 0 updated, 0 deleted, 2 as they were"));

  world.Write("a.yaml", "entries:\n" + EntryText("web", "    id: web\n    x509_svid_ttl: 1h\n"));
  const Ran pruned = world.Apply({"--prune"});
  INFO(pruned.output);
  CHECK(pruned.code == 0);
  CHECK(Says(pruned, "~ update apply.default.web"));
  CHECK(Says(pruned, "x509_svid_ttl: (none) -> 1h"));
  CHECK(Says(pruned, "- delete apply.default."));
  CHECK(world.Paths() == Paths{"/by-hand", "/web"});
}

TEST_CASE("entry files: when anything is wrong all of it is told by line, and nothing changes") {
  World world;
  CreateEntry(*world.server.Admin(), MakeEntry("by-hand", "/mine", "/node", "unix:uid:1000"));
  world.Write("a.yaml", "entries:\n" + EntryText("good") + EntryText("mine"));
  world.Write("b.yaml", "entries:\n" + EntryText("c", "    dns_names: [a..b]\n") +
                            EntryText("d", "    admin: perhaps\n"));
  const Ran refused = world.Apply({"--prune"});
  INFO(refused.output);
  CHECK(refused.code == 2);
  // What the server found and what the file itself shows.
  CHECK(Says(refused,
             "a.yaml:5: an entry with the same SPIFFE ID, parent and selectors is there: "
             "\"by-hand\", made by hand"));
  CHECK(Says(refused, "b.yaml:2: "));
  CHECK(Says(refused, "b.yaml:9: "));
  CHECK(Says(refused, "3 problems; nothing was changed"));
  CHECK(world.Paths() == Paths{"/mine"});

  const Ran json = world.Signet({"-o", "json", "entry", "apply", "-f", world.folder.File("none")});
  CHECK(json.code == 2);
  CHECK(Says(json, "\"problems\""));
  CHECK(
      world.Signet({"entry", "apply", "-f", world.folder.File("entries"), "--owner", "A.B"}).code ==
      2);
}

TEST_CASE("entry files: kill -9 while sets are applied leaves one of them whole") {
  World world;
  const std::array sets = {SetOf("a"), SetOf("b")};
  for (int round = 0; round < 5; ++round) {
    std::mutex mutex;
    std::condition_variable changed;
    int applied = 0;
    std::thread client([&] {
      const auto admin = world.server.Admin();
      for (std::size_t i = 0; ApplySet(*admin, sets[i % 2]); ++i) {
        const std::lock_guard lock(mutex);
        ++applied;
        changed.notify_all();
      }
    });
    bool enough = false;
    {
      std::unique_lock lock(mutex);
      enough = changed.wait_for(lock, std::chrono::seconds(60),
                                [&] { return applied >= 3 + round * 2; });
    }
    world.server.Kill();
    client.join();
    CHECK(enough);
    world.server.Start();
    const Paths paths = world.Paths();
    CHECK(paths.size() == 50);
    const bool first = paths.contains("/a0");
    for (int i = 0; i < 50; ++i) CHECK(paths.contains((first ? "/a" : "/b") + std::to_string(i)));
  }
}

}  // namespace signet::test
