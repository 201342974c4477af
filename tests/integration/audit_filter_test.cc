// The log as an operator asks it: by time, identity and serial number, as it is written, and after
// its oldest part was removed.
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/support/command_line.h"
#include "tests/support/eventually.h"

namespace signet::test {
namespace {

using Json = nlohmann::json;

struct World {
  World() { server.Start(); }
  CommandAnswer Signet(const std::vector<std::string>& words) const {
    return RunSignet(SIGNET_BIN, server, words);
  }
  // The records that `filter` leaves.
  Json List(std::vector<std::string> filter) const {
    filter.insert(filter.begin(), {"-o", "json", "audit", "list", "-n", "1000"});
    const CommandAnswer answer = Signet(filter);
    INFO(answer.output);
    REQUIRE(answer.code == 0);
    return Json::parse(answer.output);
  }
  std::string Mint(const std::string& id) const {
    return MintSvid(*server.Admin(), id).chain.front().SerialHex();
  }
  ServerProcess server{SIGNET_BIN};
};

std::size_t CountWith(const Json& records, const std::string& text) {
  std::size_t count = 0;
  for (const Json& record : records) count += record.dump().find(text) != std::string::npos;
  return count;
}

}  // namespace

TEST_CASE("records are found by identity, by serial number and by time, and by all of them") {
  const World world;
  const std::string one = world.Mint("spiffe://example.org/one");
  const std::string other = world.Mint("spiffe://example.org/other");
  const Json by_id = world.List({"--spiffe-id", "spiffe://example.org/one"});
  CHECK(by_id.size() == 1);
  CHECK(CountWith(by_id, one) == 1);
  const Json by_serial = world.List({"--serial", other});
  CHECK(by_serial.size() == 1);
  CHECK(CountWith(by_serial, "spiffe://example.org/other") == 1);
  CHECK(world.List({"--serial", other, "--spiffe-id", "spiffe://example.org/one"}).empty());

  const std::size_t all = world.List({}).size();
  CHECK(all > 2);
  CHECK(world.List({"--since", "1h"}).size() == all);
  CHECK(world.List({"--until", "1h"}).empty());
  const std::string tomorrow =
      std::to_string(UnixSeconds(SystemClock().Now() + std::chrono::hours(24)));
  CHECK(world.List({"--since", tomorrow}).empty());
  CHECK(world.List({"--until", tomorrow}).size() == all);
  CHECK(world.Signet({"audit", "list", "--since", "yesterday"}).code == 2);
}

TEST_CASE("audit tail shows what fits as it is written") {
  const World world;
  const std::string output = world.server.folder() + "/tail";
  Process tail({std::string(SIGNET_BIN) + "/signet", "audit", "tail", "--spiffe-id",
                "spiffe://example.org/shown", "--socket", world.server.admin_socket()},
               output);
  std::string shown;
  REQUIRE(Eventually([&] {  // what is minted before it listens is not its business
    shown = world.Mint("spiffe://example.org/shown");
    world.Mint("spiffe://example.org/hidden");
    return tail.Output().find("spiffe://example.org/shown") != std::string::npos;
  }));
  CHECK(tail.Output().find("spiffe://example.org/hidden") == std::string::npos);
  CHECK(tail.running());
}

TEST_CASE("what is left after the oldest records were removed verifies, and says where it begins") {
  World world;
  for (int i = 0; i < 3; ++i) world.Mint("spiffe://example.org/old");
  const std::size_t before = world.List({}).size();
  const std::string soon =
      std::to_string(UnixSeconds(SystemClock().Now() + std::chrono::seconds(1)));
  const CommandAnswer pruned = world.Signet({"audit", "prune", "--before", soon});
  INFO(pruned.output);
  REQUIRE(pruned.code == 0);
  CHECK(world.List({}).size() < before);
  CHECK(world.List({"--spiffe-id", "spiffe://example.org/old"}).empty());
  CHECK(world.List({"--event", "log.pruned"}).size() == 1);
  world.Mint("spiffe://example.org/new");

  const CommandAnswer exported = world.Signet({"audit", "export"});
  REQUIRE(exported.code == 0);
  const std::string path = world.server.folder() + "/export";
  std::ofstream(path, std::ios::binary) << exported.output;
  CHECK(world.Signet({"audit", "verify", path}).code == 0);
  std::string changed = exported.output;
  changed.replace(changed.find("spiffe://example.org/new"), 24, "spiffe://example.org/nev");
  std::ofstream(path, std::ios::binary) << changed;
  CHECK(world.Signet({"audit", "verify", path}).code != 0);
  REQUIRE(world.server.Stop().code == 0);
  CHECK(world
            .Signet({"audit", "verify", world.server.data_dir() + "/server.db", "--checkpoint",
                     world.server.data_dir() + "/log.head"})
            .code == 0);
}

TEST_CASE("an orderly end signs a checkpoint of all there is") {
  World world;
  world.Mint("spiffe://example.org/last");
  REQUIRE(world.server.Stop().code == 0);
  const CommandAnswer verified =
      world.Signet({"audit", "verify", world.server.data_dir() + "/server.db", "--checkpoint",
                    world.server.data_dir() + "/log.head"});
  INFO(verified.output);
  CHECK(verified.code == 0);
  std::ifstream file(world.server.data_dir() + "/log.head");
  const Json head = Json::parse(std::string(std::istreambuf_iterator<char>(file), {}));
  CHECK(verified.output.find(std::to_string(head.at("seq").get<std::uint64_t>())) !=
        std::string::npos);
}

}  // namespace signet::test
