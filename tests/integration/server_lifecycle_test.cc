// A real server from its first start to its last: what it makes, what it finds again, what it
// refuses to touch.

#include <sys/stat.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <condition_variable>
#include <csignal>
#include <fstream>
#include <mutex>
#include <sstream>
#include <thread>

#include "signet/status/v1/status.grpc.pb.h"
#include "tests/support/server_process.h"

namespace signet::test {
namespace {

using std::chrono::seconds;

std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

mode_t ModeOf(const std::string& path) {
  struct stat status{};
  REQUIRE(stat(path.c_str(), &status) == 0);
  return status.st_mode & 0777;
}

signet::status::v1::GetStatusResponse StatusOf(const ServerProcess& server) {
  grpc::ClientContext context;
  signet::status::v1::GetStatusResponse response;
  REQUIRE(
      signet::status::v1::Status::NewStub(server.Admin())->GetStatus(&context, {}, &response).ok());
  return response;
}

TEST_CASE("the first start makes a trust domain on an empty directory, closed to others") {
  ServerProcess server(SIGNET_BIN);
  server.Start();
  const auto status = StatusOf(server);
  CHECK(status.trust_domain() == "example.org");
  CHECK(status.healthy());
  CHECK(status.problems_size() == 0);
  CHECK(status.authorities_size() == 2);
  for (const auto& authority : status.authorities()) CHECK(authority.state() == "active");
  CHECK(GetBundle(*server.Admin()).x509_authorities_size() == 1);
  CHECK(ModeOf(server.data_dir()) == 0750);
  CHECK(ModeOf(server.data_dir() + "/server.db") == 0600);
  CHECK(ModeOf(server.data_dir() + "/kek") == 0600);
  CHECK(ModeOf(server.data_dir() + "/keys") == 0700);
  CHECK(ModeOf(server.admin_socket()) == 0770);
  const auto end = server.Stop();
  CHECK(end.code == 0);
}

TEST_CASE("a restart finds authorities, entries and agents again") {
  ServerProcess server(SIGNET_BIN);
  server.Start();
  const auto agent = MakeAgent(server);
  CreateEntry(*server.Admin(), MakeEntry("w", "/w", agent.id, "unix:uid:1"));
  const auto bundle = GetBundle(*server.Admin());
  const auto before = StatusOf(server);
  CHECK(server.Stop().code == 0);
  server.Start();
  CHECK(GetBundle(*server.Admin()).SerializeAsString() == bundle.SerializeAsString());
  const auto after = StatusOf(server);
  CHECK(after.revision() >= before.revision());
  CHECK(after.entries() == 1);
  CHECK(after.agents() == 1);
  // The agent's SVID is still good, and so is its entry.
  const auto channel = server.Tls(&agent);
  REQUIRE(channel);
  CHECK(NewSvid(*channel, "w").id == "spiffe://example.org/w");
}

TEST_CASE("a second server on the same data directory is refused, and the first goes on") {
  ServerProcess server(SIGNET_BIN);
  server.Start();
  Process second({SIGNET_BIN "/signet-server", "run", "--config", server.config_path()},
                 server.folder() + "/second");
  const auto end = second.Wait(seconds(10));
  REQUIRE(end);
  CHECK(end->code == 3);
  CHECK_FALSE(second.Output().empty());
  CHECK(StatusOf(server).healthy());
}

TEST_CASE("a corrupt database is refused and left as it is") {
  ServerProcess server(SIGNET_BIN);
  server.Start();
  server.Stop();
  const auto path = server.data_dir() + "/server.db";
  std::string content = ReadAll(path);
  for (std::size_t i = 0; i < content.size(); i += 3) content[i] = static_cast<char>(i * 7);
  std::ofstream(path, std::ios::binary) << content;
  CHECK(server.StartRefused().code == 4);
  CHECK(ReadAll(path) == content);
}

TEST_CASE("the database of another trust domain is refused") {
  ServerProcess server(SIGNET_BIN);
  server.Start();
  const auto bundle = GetBundle(*server.Admin());
  server.Stop();
  server.Configure("", "other.org");
  CHECK(server.StartRefused().code == 4);
  server.Configure("");
  server.Start();
  CHECK(GetBundle(*server.Admin()).SerializeAsString() == bundle.SerializeAsString());
}

TEST_CASE("a key-encryption key of somebody else opens nothing and overwrites nothing") {
  ServerProcess server(SIGNET_BIN);
  server.Start();
  server.Stop();
  const auto sealed = ReadAll(server.data_dir() + "/keys/x509-CA-A.key");
  REQUIRE_FALSE(sealed.empty());
  const std::string foreign(32, 'x');
  std::ofstream(server.data_dir() + "/kek", std::ios::binary) << foreign;
  // Whether it makes a new authority or gives up, what it cannot open stays for whoever has the
  // key.
  Process process({SIGNET_BIN "/signet-server", "run", "--config", server.config_path()},
                  server.folder() + "/third");
  process.WaitForSocket(server.admin_socket(), seconds(5));
  process.Kill();
  CHECK(ReadAll(server.data_dir() + "/keys/x509-CA-A.key") == sealed);
}

TEST_CASE("a bad configuration is refused with all its problems, by run and by validate") {
  ServerProcess server(SIGNET_BIN);
  server.Configure("ca_ttl: never\nno_such_key: 1\n");
  CHECK(server.StartRefused().code == 1);
  std::string output;
  CHECK(RunProcess({SIGNET_BIN "/signet-server", "validate", "--config", server.config_path()},
                   server.folder() + "/validate", &output)
            .code == 1);
  CHECK(output.find(":5:") != std::string::npos);
  CHECK(output.find(":6:") != std::string::npos);
  server.Configure("");
  CHECK(RunProcess({SIGNET_BIN "/signet-server", "validate", "--config", server.config_path()},
                   server.folder() + "/validate")
            .code == 0);
  CHECK(RunProcess({SIGNET_BIN "/signet-server"}, server.folder() + "/usage").code == 2);
  CHECK(RunProcess({SIGNET_BIN "/signet-server", "version"}, server.folder() + "/version").code ==
        0);
}

TEST_CASE("a socket path that somebody listens on is refused") {
  ServerProcess first(SIGNET_BIN);
  first.Start();
  ServerProcess second(SIGNET_BIN);
  second.Configure("");
  std::ofstream(second.config_path())
      << "trust_domain: example.org\ndata_dir: " << second.data_dir()
      << "\nlisten: 127.0.0.1:0\nadmin_socket: " << first.admin_socket() << "\n";
  CHECK(second.StartRefused().code == 4);
  CHECK(StatusOf(first).healthy());
}

TEST_CASE("SIGTERM during traffic lets calls end, loses nothing acknowledged, and exits with 0") {
  ServerProcess server(SIGNET_BIN);
  server.Start();
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::string> acknowledged;
  std::vector<int> codes;
  const auto work = [&](int worker) {
    const auto stub = spire::api::server::entry::v1::Entry::NewStub(server.Admin());
    for (int i = 0;; ++i) {
      const auto id = "e-" + std::to_string(worker) + "-" + std::to_string(i);
      spire::api::server::entry::v1::BatchCreateEntryRequest request;
      *request.add_entries() = MakeEntry(id, "/" + id, "/parent", "unix:uid:1");
      spire::api::server::entry::v1::BatchCreateEntryResponse response;
      grpc::ClientContext context;
      const auto status = stub->BatchCreateEntry(&context, request, &response);
      const std::lock_guard lock(mutex);
      if (!status.ok()) return codes.push_back(status.error_code());
      acknowledged.push_back(id);
      changed.notify_all();
    }
  };
  std::vector<std::thread> threads;
  for (int worker = 0; worker < 4; ++worker) threads.emplace_back(work, worker);
  {
    std::unique_lock lock(mutex);
    REQUIRE(changed.wait_for(lock, seconds(20), [&] { return acknowledged.size() >= 40; }));
  }
  const auto end = server.Stop();
  CHECK(end.code == 0);
  for (auto& thread : threads) thread.join();
  for (const int code : codes) CHECK((code == grpc::UNAVAILABLE || code == grpc::CANCELLED));
  server.Start();
  const auto stub = spire::api::server::entry::v1::Entry::NewStub(server.Admin());
  for (const auto& id : acknowledged) {
    grpc::ClientContext context;
    spire::api::server::entry::v1::GetEntryRequest request;
    request.set_id(id);
    spire::api::types::Entry entry;
    INFO(id);
    CHECK(stub->GetEntry(&context, request, &entry).ok());
  }
}

}  // namespace
}  // namespace signet::test
