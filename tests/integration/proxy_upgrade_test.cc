// One process of the proxy after another, at the same addresses, while callers come and go.

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <atomic>
#include <filesystem>
#include <future>
#include <thread>

#include "tests/support/proxy_process.h"

namespace signet {
namespace {

using namespace std::chrono_literals;
using test::Eventually;
using test::ProxyProcess;
using test::StreamClient;
using test::StreamEnd;
using test::Talks;
using test::TestAuthority;
using test::TestBackend;

constexpr const char* kShop = "spiffe://example.org/shop";
constexpr const char* kWeb = "spiffe://example.org/web";

// An address that was free a moment ago.
std::string FreeAddress() {
  const auto socket = net::ListenTcp({"127.0.0.1", 0, false});
  REQUIRE(socket);
  return net::LocalAddress(socket->get())->ToString();
}

std::size_t Count(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

// A proxy and its successors, which are this process's to end: their parents are gone.
class Lineage {
 public:
  explicit Lineage(const TestBackend& backend) : listen(FreeAddress()), proxy(root) {
    REQUIRE(::prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
    proxy.Become(kWeb);
    proxy.Start(Yaml(backend));
    REQUIRE(proxy.BecomesReady());
    current = proxy.process->pid();
  }
  ~Lineage() {
    if (current == proxy.process->pid()) return;
    ::kill(current, SIGKILL);
    ::waitpid(current, nullptr, 0);
  }
  std::string Yaml(const TestBackend& backend) const {
    return "inbound: [{name: web, listen: '" + listen + "', forward: '" +
           backend.address().ToString() + "', allow: [{id: '" + kShop +
           "'}]}]\nthreads: 3\nadmin: " + proxy.directory.File("admin.sock") + "\n";
  }
  StreamClient Call() const { return proxy.CallAs(kShop); }
  std::size_t Said(const std::string& line) const { return Count(proxy.process->Output(), line); }
  // Answers when the successor has taken over.
  void Upgrade() {
    const std::size_t before = Said("the new process serves pid=");
    REQUIRE(::kill(current, SIGUSR2) == 0);
    REQUIRE(Eventually([&] { return Said("the new process serves pid=") > before; }));
    const std::string text = proxy.process->Output();
    const auto last = text.rfind("the new process serves pid=");
    former = std::exchange(current, std::stoi(text.substr(text.find('=', last) + 1)));
  }
  // The one that gave way ends by itself, in order.
  bool FormerEnds() {
    if (former == proxy.process->pid()) {
      const auto end = proxy.process->Wait(20s);
      return end && end->code == 0;
    }
    int status = -1;
    return Eventually([&] { return ::waitpid(former, &status, WNOHANG) == former; }) && status == 0;
  }

  const TestAuthority root{"spiffe://example.org"};
  const std::string listen;
  ProxyProcess proxy;
  pid_t current = 0;
  pid_t former = 0;
};

TEST_CASE("attack 49: five upgrades under a load of connections refuse none and break none") {
  TestBackend backend(TestBackend::Echo);
  Lineage lineage(backend);
  const auto address = lineage.proxy.ListenAddress("web");
  const auto context = test::TrustingContext(lineage.root.Issue(kShop));
  std::atomic<bool> stop{false};
  std::atomic<int> served{0}, failed{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 3; ++i)
    callers.emplace_back([&] {
      while (!stop) {
        StreamClient client = StreamClient::Connect(address, context);
        const bool good = client.end() == StreamEnd::kOpen && Talks(client) &&
                          client.CloseWrite() && client.WaitForEnd() &&
                          client.end() == StreamEnd::kOrderly;
        ++(good ? served : failed);
      }
    });
  for (int i = 0; i < 5; ++i) {
    StreamClient standing = lineage.Call();
    REQUIRE(Talks(standing));
    const int before = served;
    lineage.Upgrade();
    REQUIRE(Eventually([&] { return served > before + 20; }));
    // What the old process carries goes on until it is over.
    CHECK(Talks(standing));
    standing.CloseWrite();
    CHECK(standing.WaitForEnd());
    CHECK(standing.end() == StreamEnd::kOrderly);
    CHECK(lineage.FormerEnds());
  }
  stop = true;
  for (std::thread& each : callers) each.join();
  CHECK(failed == 0);
  CHECK(served > 100);
  CHECK(lineage.Said("took over") == 5);
}

TEST_CASE("attack 49: a new process that cannot serve leaves the old one serving") {
  TestBackend backend(TestBackend::Echo);
  Lineage lineage(backend);
  StreamClient standing = lineage.Call();
  REQUIRE(Talks(standing));
  lineage.proxy.ConfigureBadly("inbound: [{name: web, allow: everyone}]\n");
  REQUIRE(::kill(lineage.current, SIGUSR2) == 0);
  REQUIRE(Eventually([&] { return lineage.Said("this process goes on") == 1; }));
  CHECK(lineage.proxy.Series("signet_proxy_upgrades_failed_total") == 1);
  CHECK(Talks(standing));
  StreamClient again = lineage.Call();
  CHECK(Talks(again));
  CHECK(lineage.proxy.Get("/ready").starts_with("HTTP/1.1 200"));
  // Nothing of the failed one is left, and the next one may succeed.
  lineage.proxy.Configure(lineage.Yaml(backend));
  lineage.Upgrade();
  StreamClient after = lineage.Call();
  CHECK(Talks(after));
}

TEST_CASE("attack 49: killed and started again on a passed socket, whoever calls meanwhile waits") {
  const TestAuthority root("spiffe://example.org");
  TestBackend backend(TestBackend::Echo);
  const auto bound = net::ListenTcp({"127.0.0.1", 0, false});
  REQUIRE(bound);
  const UniqueFd passed(::fcntl(bound->get(), F_DUPFD, 100));
  const auto address = *net::LocalAddress(passed.get());
  const std::string yaml = "inbound: [{name: web, listen: '" + address.ToString() +
                           "', forward: '" + backend.address().ToString() + "', allow: [{id: '" +
                           kShop + "'}]}]\n";
  const std::vector<std::string> manager = {
      "/bin/bash", "-c",
      "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\" 3<&" + std::to_string(passed.get())};
  ProxyProcess proxy(root);
  proxy.Become(kWeb);
  proxy.Start(yaml, manager);
  REQUIRE(proxy.BecomesReady());
  StreamClient before = proxy.CallAs(kShop);
  REQUIRE(Talks(before));
  proxy.process->Kill();
  CHECK(before.WaitForEnd());
  const auto context = test::TrustingContext(root.Issue(kShop));
  auto meanwhile = std::async(std::launch::async, [&] {
    StreamClient client = StreamClient::Connect(address, context);
    return Talks(client);
  });
  std::filesystem::remove(proxy.directory.File("log"));
  proxy.Start(yaml, manager);
  CHECK(meanwhile.get());
  REQUIRE(proxy.BecomesReady());
  StreamClient after = proxy.CallAs(kShop);
  CHECK(Talks(after));
}

}  // namespace
}  // namespace signet
