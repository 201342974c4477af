// A real agent with workloads that never read what they asked for, and on a full disk: the others
// are served all the same, and what it holds stays bounded.

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <fstream>

#include "net/address.h"
#include "tests/support/agent_process.h"
#include "tests/support/file_size_limit.h"
#include "tests/support/workload_client.h"

namespace signet::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const std::string kMine = "unix:uid:" + std::to_string(geteuid());

// A server and an agent of it, with the entry "a" for whoever runs this test.
struct Pair {
  explicit Pair(const std::string& server_settings = {}) : server(SIGNET_BIN, server_settings) {
    server.Start();
    PinPort(server);
    agent = std::make_unique<AgentProcess>(SIGNET_BIN, server);
    agent->Start(CreateJoinToken(*server.Admin()));
    parent = agent->AgentId();
    CreateEntry(*server.Admin(), MakeEntry("a", "/a", parent, kMine));
    // Refused until the entry has arrived.
    const auto deadline = std::chrono::steady_clock::now() + seconds(10);
    while (!FetchOnce(agent->socket()).status.ok())
      REQUIRE(std::chrono::steady_clock::now() < deadline);
  }
  // Its SVID is made anew, with this hint.
  void SetHint(const std::string& hint) {
    spire::api::server::entry::v1::BatchUpdateEntryRequest request;
    request.add_entries()->set_id("a");
    request.mutable_entries(0)->set_hint(hint);
    request.mutable_input_mask()->set_hint(true);
    spire::api::server::entry::v1::BatchUpdateEntryResponse response;
    grpc::ClientContext context;
    REQUIRE(spire::api::server::entry::v1::Entry::NewStub(server.Admin())
                ->BatchUpdateEntry(&context, request, &response)
                .ok());
    REQUIRE(response.results(0).status().code() == 0);
  }

  ServerProcess server;
  std::unique_ptr<AgentProcess> agent;
  std::string parent;
};

bool HasHint(const std::optional<X509SVIDResponse>& message, const std::string& hint) {
  return message && message->svids_size() > 0 && message->svids(0).hint() == hint;
}

// Messages are taken until one has the hint; false when none comes within ten seconds.
bool ReadUntilHint(SvidStream* stream, const std::string& hint) {
  const auto deadline = std::chrono::steady_clock::now() + seconds(10);
  while (std::chrono::steady_clock::now() < deadline)
    if (HasHint(stream->Next(seconds(1)), hint)) return true;
  return false;
}

std::string Frame(char type, char flags, char stream, const std::string& payload) {
  const char head[] = {0, 0, static_cast<char>(payload.size()), type, flags, 0, 0, 0, stream};
  return std::string(head, sizeof head) + payload;
}

// A literal header field, never indexed, of fewer than 127 octets each (RFC 7541, 6.2.2).
std::string Header(const std::string& name, const std::string& value) {
  return std::string(1, '\0') + static_cast<char>(name.size()) + name +
         static_cast<char>(value.size()) + value;
}

// FetchX509SVID in HTTP/2 by hand, with flow control windows as wide as they go: nothing but the
// socket's buffer holds the agent back, because nothing is ever read.
class SilentWorkload {
 public:
  explicit SilentWorkload(const std::string& socket)
      : socket_(*net::Connect(*net::Address::Parse("unix:" + socket), seconds(5))) {
    const std::string wide("\x00\x04\x7f\xff\xff\xff", 6);  // SETTINGS_INITIAL_WINDOW_SIZE
    const std::string connection_wide("\x7f\xff\x00\x00", 4);
    const std::string call =
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + Frame(4, 0, 0, wide) +
        Frame(8, 0, 0, connection_wide) +
        Frame(1, 4, 1,
              Header(":method", "POST") + Header(":scheme", "http") +
                  Header(":path", "/SpiffeWorkloadAPI/FetchX509SVID") +
                  Header(":authority", "localhost") + Header("content-type", "application/grpc") +
                  Header("te", "trailers") + Header("workload.spiffe.io", "true")) +
        Frame(0, 1, 1, std::string(5, '\0'));
    REQUIRE(send(socket_.get(), call.data(), call.size(), MSG_NOSIGNAL) ==
            static_cast<ssize_t>(call.size()));
  }
  // What waits to be read.
  int pending() const {
    int bytes = 0;
    REQUIRE(ioctl(socket_.get(), FIONREAD, &bytes) == 0);
    return bytes;
  }

 private:
  const UniqueFd socket_;
};

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kMemoryIsMeasurable = false;  // sanitizers keep what was freed
#else
constexpr bool kMemoryIsMeasurable = true;
#endif

std::size_t ResidentBytes(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/statm");
  std::size_t size = 0, resident = 0;
  REQUIRE((file >> size >> resident));
  return resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

TEST_CASE("workloads that never read cost a message each; the others get every change") {
  Pair pair;
  SvidStream reader(pair.agent->socket());
  pair.SetHint("first");
  REQUIRE(ReadUntilHint(&reader, "first"));
  std::vector<std::unique_ptr<SilentWorkload>> silent;
  for (int i = 0; i < 20; ++i)
    silent.push_back(std::make_unique<SilentWorkload>(pair.agent->socket()));
  constexpr int kOneMessage = 1000;  // a chain, a key and a bundle are more
  for (const auto& each : silent)
    while (each->pending() < kOneMessage)
      REQUIRE_FALSE(pair.agent->process().Wait(milliseconds(5)));

  const auto update = [&](int from, int to) {
    for (int i = from; i < to; ++i) {
      pair.SetHint(std::to_string(i));
      REQUIRE(ReadUntilHint(&reader, std::to_string(i)));
    }
  };
  update(0, 20);
  const auto before = ResidentBytes(pair.agent->process().pid());
  update(20, 220);
  const auto after = ResidentBytes(pair.agent->process().pid());
  INFO("resident: " << before << " then " << after << ", pending " << silent.front()->pending());
  if (kMemoryIsMeasurable) CHECK(after < before + 10'000'000);
  CHECK(HasHint(FetchOnce(pair.agent->socket()).response, "219"));
  CHECK(pair.agent->Stop().code == 0);
}

TEST_CASE("an agent on a full disk serves changes and renews, and keeps them once there is room") {
  Pair pair("default_x509_svid_ttl: 10m\nagent_ttl: 6s\n");
  SvidStream reader(pair.agent->socket());
  pair.SetHint("first");
  REQUIRE(ReadUntilHint(&reader, "first"));
  const FileSizeLimit full(pair.agent->process().pid(), 0);
  // Beyond the life of the agent's own SVID, so that it has to be renewed on the way.
  const auto until = std::chrono::steady_clock::now() + seconds(8);
  for (int i = 0; std::chrono::steady_clock::now() < until; ++i) {
    pair.SetHint(std::to_string(i));
    REQUIRE(ReadUntilHint(&reader, std::to_string(i)));
    REQUIRE_FALSE(pair.agent->process().Wait(milliseconds(100)));
  }
  CHECK(FetchOnce(pair.agent->socket()).status.ok());
  full.Lift();
  pair.SetHint("kept");
  REQUIRE(ReadUntilHint(&reader, "kept"));
  // On disk when the agent has ended, and served without the server.
  REQUIRE(pair.agent->Stop().code == 0);
  pair.server.Kill();
  pair.agent->Start();
  CHECK(HasHint(FetchOnce(pair.agent->socket()).response, "kept"));
}

}  // namespace
}  // namespace signet::test
