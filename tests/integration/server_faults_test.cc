// A real server on a full disk, and beside another process that holds its database: changes are
// refused by name, nothing is signed unrecorded, reading goes on, and it heals without a restart.

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <set>

#include "ca/x509/request.h"
#include "tests/support/file_size_limit.h"
#include "tests/support/server_process.h"

namespace signet::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr const char* kPython = "/usr/bin/python3";  // Debian's; sqlite3.h stays behind its fence

// Calls as an administrator, each with its outcome as a value.
class Admin {
 public:
  explicit Admin(const ServerProcess& server)
      : channel_(server.Admin()),
        entries_(spire::api::server::entry::v1::Entry::NewStub(channel_)),
        svids_(spire::api::server::svid::v1::SVID::NewStub(channel_)),
        key_(*ca::PrivateKey::Generate(ca::KeyType::kEcP256)) {}

  grpc::Status Create(const std::string& id) {
    spire::api::server::entry::v1::BatchCreateEntryRequest request;
    *request.add_entries() = MakeEntry(id, "/" + id, "/parent", "unix:uid:1");
    spire::api::server::entry::v1::BatchCreateEntryResponse response;
    grpc::ClientContext context;
    const auto status = entries_->BatchCreateEntry(&context, request, &response);
    if (!status.ok()) return status;
    const auto& result = response.results(0).status();
    return {static_cast<grpc::StatusCode>(result.code()), result.message()};
  }
  // What is signed is kept in serials().
  grpc::Status Mint() {
    spire::api::server::svid::v1::MintX509SVIDRequest request;
    request.set_csr(ToString(*ca::MakeRequest(key_, "spiffe://example.org/minted")));
    spire::api::server::svid::v1::MintX509SVIDResponse response;
    grpc::ClientContext context;
    auto status = svids_->MintX509SVID(&context, request, &response);
    for (const auto& certificate : ParseChain(response.svid().cert_chain())) {
      serials_.insert(certificate.SerialHex());
      break;  // the leaf is the first one
    }
    return status;
  }
  std::set<std::string> List() {
    spire::api::server::entry::v1::ListEntriesResponse response;
    grpc::ClientContext context;
    REQUIRE(entries_->ListEntries(&context, {}, &response).ok());
    std::set<std::string> ids;
    for (const auto& entry : response.entries()) ids.insert(entry.id());
    return ids;
  }
  const std::set<std::string>& serials() const { return serials_; }

 private:
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<spire::api::server::entry::v1::Entry::Stub> entries_;
  const std::unique_ptr<spire::api::server::svid::v1::SVID::Stub> svids_;
  const ca::PrivateKey key_;
  std::set<std::string> serials_;
};

// The serials in the journal of a server that does not run.
std::set<std::string> JournalOf(const ServerProcess& server) {
  std::string output;
  const auto end = RunProcess({kPython, "-c",
                               "import sqlite3, sys\n"
                               "rows = sqlite3.connect(sys.argv[1]).execute(\n"
                               "  \"SELECT serial FROM audit_log WHERE serial <> ''\")\n"
                               "print(*[serial for serial, in rows], sep='\\n')",
                               server.data_dir() + "/server.db"},
                              server.folder() + "/journal", &output);
  REQUIRE(end.code == 0);
  std::set<std::string> serials;
  std::istringstream lines(output);
  for (std::string line; std::getline(lines, line);) serials.insert(line);
  return serials;
}

// Another process inside the database, until destroyed.
class Intruder {
 public:
  // `setup`: SQL before the transaction.
  Intruder(const ServerProcess& server, const std::string& setup)
      : process_({kPython, "-c",
                  "import signal, sqlite3, sys\n"
                  "db = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
                  "db.execute(sys.argv[2])\n"
                  "db.execute('BEGIN EXCLUSIVE')\n"
                  "db.execute('SELECT count(*) FROM meta').fetchall()\n"
                  "print('held', flush=True)\n"
                  "signal.pause()",
                  server.data_dir() + "/server.db", setup},
                 server.folder() + "/intruder") {
    while (process_.Output().find("held") == std::string::npos)
      REQUIRE_FALSE(process_.Wait(milliseconds(5)));
  }

 private:
  Process process_;
};

TEST_CASE("a full disk refuses changes and signatures, not reads, and heals without a restart") {
  ServerProcess server(SIGNET_BIN);
  server.Start();
  const auto agent = MakeAgent(server);
  Admin admin(server);
  std::set<std::string> created{"before"};
  REQUIRE(admin.Create("before").ok());
  REQUIRE(admin.Mint().ok());

  const auto log_size = std::filesystem::file_size(server.data_dir() + "/server.db-wal");
  const FileSizeLimit limit(server.process().pid(), log_size + 100'000);
  grpc::Status create, mint;
  for (int i = 0; i < 1000 && (create.ok() || mint.ok()); ++i) {
    const auto id = "full" + std::to_string(i);
    create = admin.Create(id);
    if (create.ok()) created.insert(id);
    mint = admin.Mint();
  }
  CHECK(create.error_code() == grpc::RESOURCE_EXHAUSTED);
  CHECK(create.error_message().find("disk full") != std::string::npos);
  CHECK(mint.error_code() == grpc::RESOURCE_EXHAUSTED);
  CHECK(mint.error_message().find("disk full") != std::string::npos);
  const auto signed_before = admin.serials().size();
  CHECK_FALSE(admin.Mint().ok());
  CHECK(admin.serials().size() == signed_before);
  CHECK(admin.List() == created);
  {
    const auto channel = server.Tls(&agent);
    REQUIRE(channel);
    CHECK(GetBundle(*channel).x509_authorities_size() == 1);
  }

  limit.Lift();
  CHECK(admin.Create("after").ok());
  created.insert("after");
  CHECK(admin.Mint().ok());
  CHECK(admin.List() == created);
  server.Kill();
  const auto journal = JournalOf(server);
  CHECK(std::ranges::includes(journal, admin.serials()));
  server.Start();
  CHECK(Admin(server).List() == created);
}

TEST_CASE("a first start on a full disk gives up, and the next one with room makes all there is") {
#ifdef __SANITIZE_THREAD__
  constexpr std::array kRooms = {40, 2000, 40'000, 120'000};  // its runtime needs a file too
#else
  constexpr std::array kRooms = {0, 40, 2000, 40'000, 120'000};
#endif
  ServerProcess server(SIGNET_BIN);
  int refused = 0;
  for (const int bytes : kRooms) {
    Process process({"/usr/bin/prlimit", "--fsize=" + std::to_string(bytes),
                     SIGNET_BIN "/signet-server", "run", "--config", server.config_path()},
                    server.folder() + "/full");
    if (process.WaitForSocket(server.admin_socket(), seconds(10))) continue;
    INFO(bytes);
    const auto end = process.Wait(seconds(1));
    REQUIRE(end);
    CHECK(end->code == 4);
    ++refused;
  }
  CHECK(refused >= 3);
  server.Start();
  Admin admin(server);
  CHECK(admin.Mint().ok());
  CHECK(GetBundle(*server.Admin()).x509_authorities_size() == 1);
}

TEST_CASE("a database that another process holds refuses changes until it is free again") {
  ServerProcess server(SIGNET_BIN);
  server.Start();
  Admin admin(server);
  REQUIRE(admin.Create("before").ok());
  {
    const Intruder intruder(server, "SELECT 1");
    const auto create = admin.Create("meanwhile");
    CHECK(create.error_code() == grpc::UNAVAILABLE);
    CHECK(create.error_message().find("another process") != std::string::npos);
    CHECK(admin.Mint().error_code() == grpc::UNAVAILABLE);
    CHECK(admin.serials().empty());
    CHECK(admin.List() == std::set<std::string>{"before"});
    CHECK(GetBundle(*server.Admin()).x509_authorities_size() == 1);
  }
  CHECK(admin.Create("after").ok());
  CHECK(admin.Mint().ok());
  CHECK(admin.List() == std::set<std::string>{"after", "before"});
}

TEST_CASE("a start beside another process that holds the database is refused, and works later") {
  ServerProcess server(SIGNET_BIN);
  server.Start();
  REQUIRE(Admin(server).Create("before").ok());
  REQUIRE(server.Stop().code == 0);
  {
    const Intruder intruder(server, "PRAGMA locking_mode = EXCLUSIVE");
    CHECK(server.StartRefused().code == 4);
    CHECK(server.Output().find("another process uses the file") != std::string::npos);
  }
  server.Start();
  CHECK(Admin(server).List() == std::set<std::string>{"before"});
}

TEST_CASE("SIGTERM with a peer that answers nothing any more ends within ten seconds, with 0") {
  ServerProcess server(SIGNET_BIN);
  server.Start();
  const auto silent = server.Raw();
  REQUIRE(silent.valid());
  const std::string hello("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", 33);
  REQUIRE(send(silent.get(), hello.data(), hello.size(), MSG_NOSIGNAL) == 33);
  // Its answer shows that the connection is served; nothing of it is read.
  pollfd answered{silent.get(), POLLIN, 0};
  REQUIRE(poll(&answered, 1, 10'000) == 1);
  server.process().Signal(SIGTERM);
  const auto end = server.process().Wait(seconds(10));
  REQUIRE(end);
  CHECK(end->code == 0);
}

}  // namespace
}  // namespace signet::test
