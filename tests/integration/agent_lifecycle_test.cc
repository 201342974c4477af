// Real signet-server and signet-agent on loopback: from the token to SVIDs on open streams, through
// rotation, kills, denials, and starts that must be refused.

#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <filesystem>
#include <fstream>

#include "tests/support/agent_process.h"
#include "tests/support/workload_client.h"

namespace signet::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Ids = std::vector<std::string>;

const std::string kMine = "unix:uid:" + std::to_string(geteuid());

struct Pair {
  explicit Pair(const std::string& server_settings = {}, const std::string& agent_settings = {})
      : server(SIGNET_BIN, server_settings) {
    server.Start();
    PinPort(server);
    agent = std::make_unique<AgentProcess>(SIGNET_BIN, server, agent_settings);
  }
  void StartAgent() { agent->Start(CreateJoinToken(*server.Admin())); }
  void Put(const std::string& id, const std::string& path, const std::string& selector = kMine) {
    CreateEntry(*server.Admin(), MakeEntry(id, path, AgentPath(), selector));
  }
  void Remove(const std::string& id) {
    spire::api::server::entry::v1::BatchDeleteEntryRequest request;
    spire::api::server::entry::v1::BatchDeleteEntryResponse response;
    request.add_ids(id);
    grpc::ClientContext context;
    REQUIRE(spire::api::server::entry::v1::Entry::NewStub(server.Admin())
                ->BatchDeleteEntry(&context, request, &response)
                .ok());
  }
  std::string AgentPath() const {
    const std::string id = agent->AgentId();
    return id.substr(id.find('/', std::string("spiffe://").size()));
  }

  ServerProcess server;
  std::unique_ptr<AgentProcess> agent;
};

std::string Serial(const X509SVIDResponse& response) {
  return ca::ParseConcatenatedDer(AsBytes(response.svids(0).x509_svid()), 10)->front().SerialHex();
}

// Asks again until the answer is OK, as workloads do; false after ten seconds.
bool IsServed(const std::string& socket) {
  for (const auto deadline = std::chrono::steady_clock::now() + seconds(10);
       std::chrono::steady_clock::now() < deadline;)
    if (FetchOnce(socket).status.ok()) return true;
  return false;
}

}  // namespace

TEST_CASE("signet agent status tells what is held, who is connected, and that the server is away") {
  const TempDir admin;
  const std::string socket = admin.File("admin.sock");
  Pair pair({}, "admin_socket: " + socket + "\n");
  pair.StartAgent();
  pair.Put("first", "/first");
  REQUIRE(IsServed(pair.agent->socket()));
  SvidStream stream(pair.agent->socket());
  REQUIRE(stream.Next());
  const std::vector<std::string> ask = {SIGNET_BIN "/signet", "agent", "status",
                                        "--agent-admin-socket", socket};
  std::string text;
  const auto until = [&](const std::string& expected) {
    for (const auto deadline = std::chrono::steady_clock::now() + seconds(20);
         std::chrono::steady_clock::now() < deadline;) {
      std::filesystem::remove(admin.File("out"));
      const ProcessEnd end = RunProcess(ask, admin.File("out"), &text);
      if (end.code == 0 && text.find(expected) != text.npos) return true;
    }
    return false;
  };
  CHECK(until("(push)"));
  INFO(text);
  for (const std::string& part : {std::string("Health:         good"), std::string("1 fresh"),
                                  std::string("spiffe://example.org/first  fresh"),
                                  pair.agent->AgentId(), "\n" + std::to_string(getpid()) + " "})
    CHECK(text.find(part) != text.npos);
  pair.server.Kill();
  CHECK(until("(away)"));
  std::filesystem::remove(admin.File("out"));
  pair.agent->Stop();
  CHECK(RunProcess(ask, admin.File("out")).code == 3);
}

TEST_CASE("token, attestation, entry, SVID on the open stream, removal, denial") {
  Pair pair;
  pair.StartAgent();
  CHECK(FetchOnce(pair.agent->socket()).status.error_code() == grpc::PERMISSION_DENIED);
  pair.Put("first", "/first");
  REQUIRE(IsServed(pair.agent->socket()));
  SvidStream stream(pair.agent->socket());
  REQUIRE(stream.Next());
  pair.Put("second", "/second");
  const auto both = stream.Next();
  REQUIRE(both);
  CHECK(IdsOf(*both) == Ids{"spiffe://example.org/first", "spiffe://example.org/second"});
  pair.Remove("first");
  CHECK(IdsOf(*stream.Next()) == Ids{"spiffe://example.org/second"});
  pair.Remove("second");
  const auto end = stream.End();
  REQUIRE(end);
  CHECK(end->error_code() == grpc::PERMISSION_DENIED);
  CHECK(pair.agent->Stop().code == 0);
  CHECK_FALSE(std::filesystem::exists(pair.agent->socket()));
}

TEST_CASE("SVIDs of short life are renewed on the open stream, the agent's own beside them") {
  Pair pair("default_x509_svid_ttl: 4s\nagent_ttl: 6s\n");
  pair.StartAgent();
  pair.Put("a", "/a");
  REQUIRE(IsServed(pair.agent->socket()));
  SvidStream stream(pair.agent->socket());
  std::string last;
  for (int i = 0; i < 5; ++i) {
    const auto message = stream.Next();
    REQUIRE(message);
    CHECK(Serial(*message) != last);
    last = Serial(*message);
  }
  CHECK(pair.agent->Output().find("agent SVID renewed") != std::string::npos);
}

TEST_CASE("an agent killed at any moment serves again at once, without a token") {
  Pair pair;
  pair.StartAgent();
  pair.Put("a", "/a");
  REQUIRE(IsServed(pair.agent->socket()));
  for (int round = 0; round < 5; ++round) {
    pair.Put("extra" + std::to_string(round),
             "/extra" + std::to_string(round));  // something under way
    pair.agent->Kill();
    pair.agent->Start();
    REQUIRE(IsServed(pair.agent->socket()));
  }
  // Everything acknowledged by the server is there in the end.
  SvidStream stream(pair.agent->socket());
  std::size_t count = 0;
  while (count < 6) {
    const auto message = stream.Next();
    REQUIRE(message);
    count = static_cast<std::size_t>(message->svids_size());
  }
  CHECK(count == 6);
}

TEST_CASE("a server that is killed is not missed, and found again when it is back") {
  Pair pair;
  pair.StartAgent();
  pair.Put("a", "/a");
  REQUIRE(IsServed(pair.agent->socket()));
  SvidStream stream(pair.agent->socket());
  const auto before = stream.Next();
  REQUIRE(before);
  pair.server.Kill();
  CHECK(FetchOnce(pair.agent->socket()).status.ok());
  pair.agent->Stop();
  pair.agent->Start();  // with the server away
  const auto kept = FetchOnce(pair.agent->socket());
  REQUIRE(kept.status.ok());
  CHECK(Serial(kept.response) == Serial(*before));
  pair.server.Start();
  SvidStream again(pair.agent->socket());
  REQUIRE(again.Next());
  pair.Put("b", "/b");
  const auto both = again.Next(seconds(40));  // the pause between attempts has grown
  REQUIRE(both);
  CHECK(both->svids_size() == 2);
}

TEST_CASE("a banned agent erases what it holds and ends with its own exit code") {
  Pair pair;
  pair.StartAgent();
  pair.Put("a", "/a");
  REQUIRE(IsServed(pair.agent->socket()));
  SvidStream stream(pair.agent->socket());
  REQUIRE(stream.Next());
  spire::api::server::agent::v1::BanAgentRequest request;
  request.mutable_id()->set_trust_domain("example.org");
  request.mutable_id()->set_path(pair.AgentPath());
  google::protobuf::Empty response;
  grpc::ClientContext context;
  REQUIRE(spire::api::server::agent::v1::Agent::NewStub(pair.server.Admin())
              ->BanAgent(&context, request, &response)
              .ok());
  const auto end = pair.agent->process().Wait(seconds(10));
  REQUIRE(end);
  CHECK(end->code == 4);
  CHECK(stream.End()->error_code() == grpc::UNAVAILABLE);
  CHECK_FALSE(std::filesystem::exists(pair.agent->folder() + "/data/node.sealed"));
  CHECK_FALSE(std::filesystem::exists(pair.agent->folder() + "/data/cache.sealed"));
  CHECK(pair.agent->StartRefused().code == 3);  // nothing left to start from
}

TEST_CASE("tokens that are wrong, used up or missing end the start with their own exit code") {
  Pair pair;
  CHECK(pair.agent->StartRefused("wrong").code == 3);
  CHECK(pair.agent->StartRefused().code == 3);
  CHECK(pair.agent->Output().find("signet token create") != std::string::npos);
  const std::string token = CreateJoinToken(*pair.server.Admin());
  AgentProcess first(SIGNET_BIN, pair.server);
  first.Start(token);
  CHECK(pair.agent->StartRefused(token).code == 3);
  CHECK(pair.agent->Output().find(token) == std::string::npos);  // never in the log
}

TEST_CASE("a token that expired ends the start with its own exit code") {
  Pair pair;
  const std::string token = CreateJoinToken(*pair.server.Admin(), 1);
  std::this_thread::sleep_for(milliseconds(2100));  // its life is counted in whole seconds
  CHECK(pair.agent->StartRefused(token).code == 3);
  CHECK(pair.agent->Output().find("expired") != std::string::npos);
}

TEST_CASE("a socket path too long is a configuration error; one in use is refused") {
  Pair pair;
  const std::string token = CreateJoinToken(*pair.server.Admin());
  pair.agent->Start(token);
  AgentProcess second(SIGNET_BIN, pair.server);
  std::ofstream(second.config_path(), std::ios::app) << "";
  const auto start = [&](const std::string& socket) {
    return RunProcess({std::string(SIGNET_BIN) + "/signet-agent", "run", "--config",
                       second.config_path(), "--socket", socket},
                      second.folder() + "/output2")
        .code;
  };
  CHECK(start("/tmp/" + std::string(108, 'x')) == 2);
  CHECK(start(pair.agent->socket()) == 5);
  CHECK(FetchOnce(pair.agent->socket()).status.error_code() ==
        grpc::PERMISSION_DENIED);  // the first one's still
  CHECK(RunProcess({std::string(SIGNET_BIN) + "/signet-agent", "run", "--config",
                    pair.agent->config_path()},
                   second.folder() + "/output3")
            .code == 5);  // its data directory
}

TEST_CASE("a server of another authority gets no token") {
  Pair pair;
  ServerProcess other(SIGNET_BIN);
  other.Start();
  AgentProcess agent(SIGNET_BIN, other);
  const std::string config = agent.config_path();
  std::ofstream(config) << "trust_domain: example.org\ndata_dir: " << agent.folder()
                        << "/data\nserver: " << pair.server.address().ToString()
                        << "\nsocket: " << agent.socket() << "\ntrust_bundle: " << agent.folder()
                        << "/bundle.pem\n";
  const std::string token = CreateJoinToken(*pair.server.Admin());
  CHECK_THROWS(agent.Start(token));
  CHECK(agent.Output().find("not signed by a trusted authority") != std::string::npos);
  agent.Kill();
  pair.agent->Start(token);  // still good
}

TEST_CASE("two executables of one user are told apart by path and by digest") {
  Pair pair({}, "attestors: {unix: {discover_path: true}}\n");
  pair.StartAgent();
  const std::string folder = pair.agent->folder();
  const std::string original = std::string(SIGNET_BIN) + "/signet";
  std::filesystem::copy_file(original, folder + "/a");
  std::filesystem::copy_file(original, folder + "/b");
  std::ofstream(folder + "/b", std::ios::app) << "another binary";
  pair.Put("a", "/a", "unix:path:" + folder + "/a");
  pair.Put("b", "/b", "unix:sha256:" + EncodeHex(ca::Sha256(*ReadFile(folder + "/b", 1U << 30))));
  int calls = 0;
  const auto fetch = [&](const std::string& program) {
    std::string output;
    RunProcess({program, "x509", "fetch", "--agent-socket", pair.agent->socket(), "-o", "json"},
               folder + "/fetched" + std::to_string(++calls), &output);
    return output;
  };
  std::string first, second;
  for (int i = 0; i < 100 && first.find("example.org/a") == first.npos; ++i)
    first = fetch(folder + "/a");
  for (int i = 0; i < 100 && second.find("example.org/b") == second.npos; ++i)
    second = fetch(folder + "/b");
  CHECK(first.find("spiffe://example.org/a") != first.npos);
  CHECK(first.find("spiffe://example.org/b") == first.npos);
  CHECK(second.find("spiffe://example.org/b") != second.npos);
  CHECK(second.find("spiffe://example.org/a") == second.npos);
  CHECK(fetch(original).find("spiffe://example.org/") == std::string::npos);
}

}  // namespace signet::test
