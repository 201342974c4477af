// What `signet proxy …` shows of a proxy at work: real programs, a real socket, its user's eyes.

#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <condition_variable>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/file.h"
#include "tests/support/eventually.h"
#include "tests/support/fake_workload_api.h"
#include "tests/support/process.h"
#include "tests/support/stream_client.h"
#include "tests/support/temp_dir.h"

namespace signet {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using test::Eventually;
using test::Process;
using test::StreamClient;
using test::TestBackend;

constexpr const char* kCli = SIGNET_BIN "/signet";
constexpr const char* kShop = "spiffe://example.org/shop";
constexpr const char* kWeb = "spiffe://example.org/web";
constexpr const char* kAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

// Answers each request; one for /slow waits until it may go on.
class Backend {
 public:
  ~Backend() { Release(); }
  const net::SocketAddress& address() const { return backend_.address(); }
  void Release() {
    const std::lock_guard lock(mutex_);
    released_ = true;
    changed_.notify_all();
  }

 private:
  void Serve(StreamClient& stream) {
    std::string held;
    for (;;) {
      const std::string more = stream.ReceiveSome(65536);
      if (more.empty()) return;
      held += more;
      for (auto end = held.find("\r\n\r\n"); end != std::string::npos;
           end = held.find("\r\n\r\n")) {
        if (held.starts_with("GET /slow")) {
          std::unique_lock lock(mutex_);
          changed_.wait(lock, [this] { return released_; });
        }
        held.erase(0, end + 4);
        if (!stream.Send(kAnswer)) return;
      }
    }
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  bool released_ = false;  // guarded by mutex_
  TestBackend backend_{[this](StreamClient& stream) { Serve(stream); }};
};

// A proxy before `backend`, with an identity and an admin socket.
struct ObservedProxy {
  explicit ObservedProxy(const net::SocketAddress& backend) {
    const std::string yaml =
        "inbound: [{name: web, listen: '127.0.0.1:0', forward: '" + backend.ToString() +
        "', protocol: http, allow: [{name: shop reads, id: '" + std::string(kShop) +
        "', methods: [GET]}]}]\nworkload_api: " + directory.File("api.sock") +
        "\nadmin: " + socket() + "\n";
    REQUIRE(WriteFileAtomically(directory.File("proxy.yaml"), AsBytes(yaml), 0600));
    process = std::make_unique<Process>(
        std::vector<std::string>{SIGNET_BIN "/signet-proxy", "run", "--config",
                                 directory.File("proxy.yaml")},
        directory.File("log"));
    api.Answer({kWeb, root.Issue(kWeb), {root.certificate()}, {}});
    REQUIRE(Eventually(
        [&] { return process->Output().find("signet-proxy: identity") != std::string::npos; }));
  }
  std::string socket() const { return directory.File("admin.sock"); }
  StreamClient Call() const {
    const std::string address = test::Logged(process->Output(), "listener=web", "address=");
    return StreamClient::Connect((*net::Address::Parse(address)->Resolve()).front(),
                                 test::TrustingContext(root.Issue(kShop)));
  }
  // `signet proxy …` as JSON.
  json Ask(std::vector<std::string> arguments) {
    const std::string file = directory.File("out" + std::to_string(++asked_));
    arguments.insert(arguments.begin(), {kCli, "-o", "json", "proxy"});
    arguments.insert(arguments.end(), {"--admin-socket", socket()});
    std::string output;
    const auto end = test::RunProcess(arguments, file, &output);
    INFO(output);
    REQUIRE(end.code == 0);
    return json::parse(output);
  }

  test::TempDir directory;
  test::TestAuthority root{"spiffe://example.org"};
  test::FakeWorkloadApi api{directory.File("api.sock")};
  std::unique_ptr<Process> process;

 private:
  int asked_ = 0;  // what a program prints goes to a file of its own
};

bool Get(StreamClient& caller, const std::string& path) {
  return caller.Send("GET " + path + " HTTP/1.1\r\nHost: web\r\n\r\n") &&
         caller.Receive(std::string_view(kAnswer).size()).ends_with("hello");
}

}  // namespace

TEST_CASE("signet proxy shows requests in progress, figures by peer and the configuration") {
  Backend backend;
  ObservedProxy proxy(backend.address());
  struct stat file{};
  REQUIRE(::stat(proxy.socket().c_str(), &file) == 0);
  CHECK((file.st_mode & 0777) == 0600);

  StreamClient caller = proxy.Call();
  REQUIRE(Get(caller, "/items"));
  REQUIRE(caller.Send("DELETE /items HTTP/1.1\r\nHost: web\r\nContent-Length: 0\r\n\r\n"));
  REQUIRE(caller.ReceiveSome(65536).starts_with("HTTP/1.1 403"));
  REQUIRE(caller.Send("GET /slow?ticket=secret HTTP/1.1\r\nHost: web\r\n\r\n"));
  json connections;
  REQUIRE(Eventually([&] {
    connections = proxy.Ask({"connections"});
    return connections.size() == 1 && connections[0]["requests"].size() == 1;
  }));
  CHECK(connections[0]["caller"] == kShop);
  CHECK(connections[0]["callee"] == kWeb);
  CHECK(connections[0]["phase"] == "carrying");
  CHECK(connections[0]["requests"][0]["method"] == "GET");
  CHECK(connections[0]["requests"][0]["path"] == "/slow");
  CHECK(proxy.Ask({"connections", "--peer", "spiffe://example.org/other"}).empty());

  const json stat = proxy.Ask({"stat", "--peer", "spiffe://example.org/s*"});
  REQUIRE(stat.size() == 1);
  CHECK(stat[0]["peer"] == kShop);
  CHECK(stat[0]["listener"] == "web");
  CHECK(stat[0]["requests"] == 2);
  CHECK(stat[0]["success"] == 1.0);  // a refusal is an answer
  CHECK(proxy.Ask({"stat", "--direction", "outbound"}).empty());
  CHECK(proxy.Ask({"top", "--count", "1", "--interval", "10ms"}).empty());

  const json config = proxy.Ask({"config"});
  CHECK(config["identity"]["id"] == kWeb);
  CHECK(config["listeners"][0]["name"] == "web");
  CHECK(config["listeners"][0]["rules"] == 1);
  CHECK(config.dump().find("PRIVATE") == std::string::npos);
}

TEST_CASE("signet proxy tap shows what its filters take, as it happens") {
  Backend backend;
  const ObservedProxy proxy(backend.address());
  Process tap({kCli, "-o", "json", "proxy", "tap", "--count", "1", "--path", "/wanted/*",
               "--status", "2xx", "--admin-socket", proxy.socket()},
              proxy.directory.File("tapped"));
  StreamClient caller = proxy.Call();
  // Nobody knows when the watcher has begun: ask until it has seen enough.
  REQUIRE(Eventually([&] {
    return Get(caller, "/other") && Get(caller, "/wanted/7?ticket=secret") && !tap.running();
  }));
  CHECK(tap.Wait(0ms)->code == 0);
  const json record = json::parse(tap.Output());
  CHECK(record["path"] == "/wanted/7");
  CHECK(record["caller"] == kShop);
  CHECK(record["rule"] == "shop reads");
  CHECK(record["status"] == 200);
  CHECK(tap.Output().find("secret") == std::string::npos);
}

TEST_CASE("where no proxy answers, signet proxy says what to look at") {
  const test::TempDir directory;
  std::string output;
  const auto end =
      test::RunProcess({kCli, "proxy", "stat", "--admin-socket", directory.File("none.sock")},
                       directory.File("out"), &output);
  CHECK(end.code == 3);
  CHECK(output.find("admin:") != std::string::npos);
}

}  // namespace signet
