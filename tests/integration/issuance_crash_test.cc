// kill -9 at each numbered point of the issuance cycle (docs/issuance.md), while agents take SVIDs
// over mTLS: every certificate a client ever saw has its row, no serial stands twice, and the next
// start serves within two seconds. SIGNET_CRASH_ROUNDS says how many kills (default 32). And one
// failed sync: nothing is signed from then on.

#include <algorithm>
#include <catch2/catch.hpp>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <sstream>
#include <thread>

#include "ca/x509/request.h"
#include "signet/status/v1/status.grpc.pb.h"
#include "tests/support/server_process.h"

namespace signet::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr const char* kPython = "/usr/bin/python3";  // Debian's; sqlite3.h stays behind its fence
constexpr int kPerCall = 3;
constexpr int kClients = 3;

// The environment of the next program started.
class Fault {
 public:
  Fault(const std::string& fault, const std::string& arm_path) : arm_path_(arm_path) {
    std::remove(arm_path.c_str());
    setenv("LD_PRELOAD", SIGNET_FAULT_SHIM, 1);
    setenv("SIGNET_FAULT", fault.c_str(), 1);
    setenv("SIGNET_FAULT_ARM", arm_path.c_str(), 1);
  }
  ~Fault() {
    for (const char* name : {"LD_PRELOAD", "SIGNET_FAULT", "SIGNET_FAULT_ARM"}) unsetenv(name);
  }
  Fault(const Fault&) = delete;
  void Arm() const { std::ofstream(arm_path_) << "now\n"; }

 private:
  const std::string arm_path_;
};

struct Seen {
  std::mutex mutex;
  std::vector<std::string> serials;
};

// One call for a few SVIDs; what came back is remembered.
grpc::Status Take(grpc::Channel& channel, Seen* seen) {
  using spire::api::server::svid::v1::SVID;
  spire::api::server::svid::v1::BatchNewX509SVIDRequest request;
  for (int i = 0; i < kPerCall; ++i) {
    const auto key = *ca::PrivateKey::Generate(ca::KeyType::kEcP256);
    auto* params = request.add_params();
    params->set_entry_id("entry");
    params->set_csr(ToString(*ca::MakeRequest(key)));
  }
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + seconds(20));
  spire::api::server::svid::v1::BatchNewX509SVIDResponse response;
  const auto status =
      SVID::NewStub(std::shared_ptr<grpc::Channel>(std::shared_ptr<void>(), &channel))
          ->BatchNewX509SVID(&context, request, &response);
  const std::lock_guard lock(seen->mutex);
  for (const auto& result : response.results()) {
    if (result.status().code() != 0)
      return {static_cast<grpc::StatusCode>(result.status().code()), result.status().message()};
    seen->serials.push_back(ParseChain(result.svid().cert_chain()).front().SerialHex());
  }
  return status;
}

void TakeUntilGone(grpc::Channel& channel, Seen* seen) {
  while (Take(channel, seen).ok()) {
  }
}

// Serials in the journal, with how often each stands there.
std::map<std::string, int> JournalSerials(const ServerProcess& server) {
  std::string output;
  const auto end = RunProcess({kPython, "-c",
                               "import sqlite3,sys\n"
                               "for row in sqlite3.connect(sys.argv[1]).execute(\n"
                               "    \"SELECT serial FROM audit_log WHERE serial <> ''\"):\n"
                               "  print(row[0])\n",
                               server.data_dir() + "/server.db"},
                              server.folder() + "/python", &output);
  REQUIRE(end.code == 0);
  std::map<std::string, int> serials;
  std::istringstream lines(output);
  for (std::string line; std::getline(lines, line);) ++serials[line];
  return serials;
}

int Rounds() {
  const char* const text = std::getenv("SIGNET_CRASH_ROUNDS");
  return text == nullptr ? 32 : std::atoi(text);
}

TEST_CASE(
    "kill -9 at each point of the issuance cycle: what a client saw has its row, no serial twice") {
  const std::vector<std::string> points = {"serial", "row",    "sync",  "synced",
                                           "sign",   "signed", "reply", "replied"};
  ServerProcess server(SIGNET_BIN, "ratelimit: {signing: false}\n");
  server.Start();
  const TestIdentity agent = MakeAgent(server);
  auto entry = MakeEntry("entry", "/workload", agent.id, "unix:uid:1");
  CreateEntry(*server.Admin(), entry);
  CHECK(server.Stop().code == 0);
  Seen seen;
  std::mt19937 dice(20261127);
  std::map<std::string, int> killed;
  auto slowest = milliseconds(0);
  const int rounds = Rounds();
  for (int round = 0; round < rounds; ++round) {
    const std::string& point = points[static_cast<std::size_t>(round) % points.size()];
    CAPTURE(round, point);
    const Fault fault("kill:" + point + ":" + std::to_string(1 + dice() % 25),
                      server.folder() + "/arm");
    const auto started = std::chrono::steady_clock::now();
    server.Start();
    slowest = std::max(slowest, std::chrono::duration_cast<milliseconds>(
                                    std::chrono::steady_clock::now() - started));
    std::vector<std::shared_ptr<grpc::Channel>> channels;
    for (int i = 0; i < kClients; ++i) channels.push_back(server.Tls(&agent));
    REQUIRE(std::ranges::count(channels, nullptr) == 0);
    std::vector<std::thread> clients;
    for (const auto& channel : channels)
      clients.emplace_back(TakeUntilGone, std::ref(*channel), &seen);
    fault.Arm();
    const auto end = server.process().Wait(seconds(30));
    if (!end) server.Kill();
    for (auto& client : clients) client.join();
    REQUIRE(end);
    CHECK(end->signal == SIGKILL);
    ++killed[point];
  }
  CHECK(killed.size() == points.size());
  server.Start();
  CHECK(server.Stop().code == 0);
  const auto journal = JournalSerials(server);
  std::set<std::string> unique;
  for (const std::string& serial : seen.serials) {
    CHECK(unique.insert(serial).second);
    CHECK(journal.contains(serial));
  }
  for (const auto& [serial, count] : journal) CHECK(count == 1);
  // So the kills fell into work: there are rows whose certificate nobody saw.
  CHECK(journal.size() > unique.size());
  CHECK(unique.size() > static_cast<std::size_t>(rounds));
  WARN(rounds << " kills, " << unique.size() << " certificates seen, " << journal.size()
              << " rows, slowest start " << slowest.count() << " ms");
  CHECK(slowest < seconds(2));
}

TEST_CASE(
    "after one failed sync nothing is signed or changed until a restart, and health says so") {
  ServerProcess server(SIGNET_BIN, "ratelimit: {signing: false}\nmetrics: 127.0.0.1:0\n");
  const std::string arm = server.folder() + "/arm";
  {
    const Fault fault("eio:sync:1", arm);
    server.Start();
    const TestIdentity agent = MakeAgent(server);
    CreateEntry(*server.Admin(), MakeEntry("entry", "/workload", agent.id, "unix:uid:1"));
    const auto channel = server.Tls(&agent);
    REQUIRE(channel);
    Seen seen;
    REQUIRE(Take(*channel, &seen).ok());
    const std::size_t before = seen.serials.size();
    fault.Arm();
    CHECK(Take(*channel, &seen).error_code() == grpc::UNAVAILABLE);
    // The shim lets every later sync through: it must not be taken for the one that failed.
    for (int i = 0; i < 5; ++i) {
      const auto status = Take(*channel, &seen);
      CHECK(status.error_code() == grpc::UNAVAILABLE);
      CHECK(status.error_message().find("start the server again") != std::string::npos);
    }
    CHECK(seen.serials.size() == before);
    CHECK_THROWS(CreateEntry(*server.Admin(), MakeEntry("two", "/two", "/parent", "unix:uid:1")));
    signet::status::v1::GetStatusResponse status;
    grpc::ClientContext context;
    REQUIRE(
        signet::status::v1::Status::NewStub(server.Admin())->GetStatus(&context, {}, &status).ok());
    bool named = false;
    for (const auto& problem : status.problems())
      named = named || problem.find("could not be made durable") != std::string::npos;
    CHECK(named);
    CHECK(server.Stop().code == 0);
  }
  server.Start();
  const TestIdentity agent = MakeAgent(server);
  CreateEntry(*server.Admin(), MakeEntry("three", "/three", agent.id, "unix:uid:1"));
  CHECK_NOTHROW(NewSvid(*server.Tls(&agent), "three"));
}

}  // namespace
}  // namespace signet::test
