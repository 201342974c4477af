// signet-proxy as a real process before real sockets, with a Workload API that a test commands.

#include <sys/resource.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <csignal>
#include <fstream>
#include <thread>

#include "base/file.h"
#include "tests/support/eventually.h"
#include "tests/support/proxy_process.h"

namespace signet {
namespace {

using namespace std::chrono_literals;
using test::Eventually;
using test::ProxyProcess;
using test::StreamClient;
using test::StreamEnd;
using test::TestAuthority;
using test::TestBackend;

constexpr const char* kProgram = SIGNET_BIN "/signet-proxy";
constexpr const char* kShop = "spiffe://example.org/shop";
constexpr const char* kWeb = "spiffe://example.org/web";

using test::Talks;

std::string Inbound(const net::SocketAddress& backend, const std::string& ids,
                    const std::string& more = "") {
  return "inbound: [{name: web, listen: '127.0.0.1:0', forward: '" + backend.ToString() +
         "', allow: [{ids: [" + ids + "]}]}]\n" + more;
}
std::string Outbound(const net::SocketAddress& peer, const std::string& ids) {
  return "outbound: [{name: out, listen: '127.0.0.1:0', forward: '" + peer.ToString() +
         "', expect: [{ids: [" + ids + "]}]}]\n";
}

constexpr const char* kShopRule = "'spiffe://example.org/shop'";
constexpr const char* kBothRule = "'spiffe://example.org/shop', 'spiffe://example.org/batch'";

TEST_CASE("two proxies carry plain traffic over mutual TLS through 100 rotations at both ends") {
  const TestAuthority root("spiffe://example.org");
  TestBackend backend(TestBackend::Echo);
  ProxyProcess inbound(root), outbound(root);
  inbound.Become(kWeb);
  inbound.Start(Inbound(backend.address(), kShopRule));
  outbound.Become(kShop);
  outbound.Start(Outbound(inbound.ListenAddress("web"), "'spiffe://example.org/web'"));
  REQUIRE(inbound.BecomesReady());
  REQUIRE(outbound.BecomesReady());
  const net::SocketAddress entrance = outbound.ListenAddress("out");
  StreamClient steady = StreamClient::Connect(entrance);
  REQUIRE(Talks(steady));

  std::atomic<bool> stop{false};
  std::atomic<int> served{0}, failed{0};
  std::thread caller([&] {
    while (!stop) {
      StreamClient client = StreamClient::Connect(entrance);
      const bool good = Talks(client) && client.CloseWrite() && client.WaitForEnd() &&
                        client.end() == StreamEnd::kOrderly;
      ++(good ? served : failed);
    }
  });
  const std::string applied = R"(signet_proxy_identity_updates_total{result="applied"})";
  for (int i = 0; i < 100; ++i) {
    inbound.Become(kWeb);
    outbound.Become(kShop);
    REQUIRE(Talks(steady));
    if (i % 10 == 0) {
      const double before = inbound.Series(applied);
      inbound.Become(kWeb);
      REQUIRE(Eventually([&] { return inbound.Series(applied) > before; }));
    }
  }
  stop = true;
  caller.join();
  CHECK(failed == 0);
  CHECK(served > 10);
  CHECK(Talks(steady));
  steady.Drop();
  CHECK(inbound.Series("signet_proxy_svid_expiry_timestamp_seconds") > 0);
  CHECK(outbound.Stop().code == 0);
  CHECK(inbound.Stop().code == 0);
}

TEST_CASE("a changed file reloads the rules; a bad one is refused whole and the old stays") {
  const TestAuthority root("spiffe://example.org");
  TestBackend backend(TestBackend::Echo);
  ProxyProcess proxy(root);
  proxy.Become(kWeb);
  proxy.Start(Inbound(backend.address(), kBothRule));
  REQUIRE(proxy.BecomesReady());
  StreamClient shop = proxy.CallAs(kShop);
  StreamClient batch = proxy.CallAs("spiffe://example.org/batch");
  REQUIRE(Talks(shop));
  REQUIRE(Talks(batch));

  const std::string refused = R"(signet_proxy_reloads_total{result="refused"})";
  const std::string applied = R"(signet_proxy_reloads_total{result="applied"})";
  proxy.ConfigureBadly("inbound: [{name: web, allow: everyone}]\n");
  REQUIRE(Eventually([&] { return proxy.Series(refused) == 1; }));
  CHECK(Talks(shop));
  CHECK(Talks(batch));
  proxy.process->Signal(SIGHUP);
  REQUIRE(Eventually([&] { return proxy.Series(refused) == 2; }));
  CHECK(Talks(batch));

  proxy.Configure(Inbound(backend.address(), kShopRule));
  REQUIRE(Eventually([&] { return proxy.Series(applied) >= 1; }));
  CHECK(batch.WaitForEnd());
  CHECK(proxy.Closed("policy_changed") == 1);
  CHECK(Talks(shop));
  StreamClient again = proxy.CallAs("spiffe://example.org/batch");
  CHECK(again.WaitForEnd());
  CHECK(proxy.Refused("not_allowed") == 1);
}

TEST_CASE("SIGTERM lets connections finish; what is left when the drain is over is cut") {
  const TestAuthority root("spiffe://example.org");
  TestBackend backend(TestBackend::Echo);
  ProxyProcess proxy(root);
  proxy.Become(kWeb);
  proxy.Start(Inbound(backend.address(), kShopRule, "limits: {drain: 1s}"));
  REQUIRE(proxy.BecomesReady());
  StreamClient finishing = proxy.CallAs(kShop);
  StreamClient hanging = proxy.CallAs(kShop);
  REQUIRE(Talks(finishing));
  REQUIRE(Talks(hanging));
  proxy.process->Signal(SIGTERM);
  REQUIRE(proxy.BecomesUnready());
  CHECK(Talks(finishing));
  finishing.CloseWrite();
  CHECK(finishing.WaitForEnd());
  CHECK(finishing.end() == StreamEnd::kOrderly);
  CHECK(hanging.WaitForEnd());
  CHECK(hanging.end() == StreamEnd::kBroken);
  const auto end = proxy.process->Wait(20s);
  REQUIRE(end);
  CHECK(end->code == 0);
}

TEST_CASE("a proxy that starts before its agent becomes ready when the agent does") {
  const TestAuthority root("spiffe://example.org");
  TestBackend backend(TestBackend::Echo);
  ProxyProcess proxy(root);
  proxy.api.GoAway();
  proxy.Start(Inbound(backend.address(), kShopRule));
  CHECK(proxy.Get("/ready").find("no identity") != std::string::npos);
  CHECK(proxy.Get("/live").starts_with("HTTP/1.1 200"));
  StreamClient early = proxy.CallAs(kShop);
  CHECK(early.end() == StreamEnd::kBroken);
  CHECK(proxy.Refused("no_identity") == 1);
  proxy.Become(kWeb);
  proxy.api.ComeBack();
  REQUIRE(proxy.BecomesReady());
  StreamClient late = proxy.CallAs(kShop);
  CHECK(Talks(late));
}

TEST_CASE("traffic goes on while the agent is away, and stops when the identity is withdrawn") {
  const TestAuthority root("spiffe://example.org");
  TestBackend backend(TestBackend::Echo);
  ProxyProcess proxy(root);
  proxy.Become(kWeb);
  proxy.Start(Inbound(backend.address(), kShopRule));
  REQUIRE(proxy.BecomesReady());
  StreamClient old = proxy.CallAs(kShop);
  REQUIRE(Talks(old));

  proxy.api.GoAway();
  REQUIRE(Eventually([&] { return proxy.Series("signet_proxy_workload_api_failures_total") > 1; }));
  CHECK(proxy.BecomesReady());
  CHECK(Talks(old));
  StreamClient during = proxy.CallAs(kShop);
  CHECK(Talks(during));

  proxy.api.Deny();
  proxy.api.ComeBack();
  REQUIRE(proxy.BecomesUnready());
  CHECK(old.WaitForEnd());
  CHECK(during.WaitForEnd());
  CHECK(proxy.Closed("identity_lost") == 2);
  StreamClient refused = proxy.CallAs(kShop);
  CHECK(refused.end() == StreamEnd::kBroken);

  proxy.Become(kWeb);
  REQUIRE(proxy.BecomesReady());
  StreamClient back = proxy.CallAs(kShop);
  CHECK(Talks(back));
}

TEST_CASE("out of file descriptors it pauses, says so, and recovers") {
#ifdef __SANITIZE_ADDRESS__
  // The check of virtual pointers opens a pipe; without descriptors every object looks wrong to it.
  WARN("not run under the undefined-behaviour sanitizer");
  return;
#endif
  const TestAuthority root("spiffe://example.org");
  TestBackend backend(TestBackend::Echo);
  ProxyProcess proxy(root);
  proxy.Become(kWeb);
  proxy.Start(Inbound(backend.address(), kShopRule, "threads: 1"),
              {"/usr/bin/prlimit", "--nofile=64:64"});
  REQUIRE(proxy.BecomesReady());
  StreamClient standing = proxy.CallAs(kShop);
  REQUIRE(Talks(standing));
  std::vector<StreamClient> flood;
  const net::SocketAddress address = proxy.ListenAddress("web");
  for (int i = 0; i < 100; ++i) flood.push_back(StreamClient::Connect(address));
  CHECK(Talks(standing));
  flood.clear();
  REQUIRE(Eventually([&] { return proxy.Refused("handshake_failed") >= 100; }));
  CHECK(proxy.Series(R"(signet_proxy_accept_pauses_total{direction="inbound",listener="web"})") >
        0);
  StreamClient after = proxy.CallAs(kShop);
  CHECK(Talks(after));
  CHECK(Talks(standing));
  CHECK(proxy.BecomesReady());
}

TEST_CASE("attack 34: 5,000 half-open connections do not keep others out, and all are ended") {
  rlimit files{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &files) == 0);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  const std::size_t count = std::min<std::size_t>(5000, files.rlim_cur - 200);
  const TestAuthority root("spiffe://example.org");
  TestBackend backend(TestBackend::Echo);
  ProxyProcess proxy(root);
  proxy.Become(kWeb);
  proxy.Start(Inbound(backend.address(), kShopRule, "limits: {handshake_deadline: 2s}"));
  REQUIRE(proxy.BecomesReady());
  const net::SocketAddress address = proxy.ListenAddress("web");
  std::vector<StreamClient> flood;
  for (std::size_t i = 0; i < count; ++i) flood.push_back(StreamClient::Connect(address));
  StreamClient caller = proxy.CallAs(kShop);
  CHECK(Talks(caller));
  const auto ended = [&] {
    return proxy.Refused("handshake_limit") + proxy.Refused("handshake_address_limit") +
           proxy.Refused("handshake_timeout");
  };
  CHECK(Eventually([&] { return ended() == static_cast<double>(count); }));
  CHECK(Talks(caller));
}

TEST_CASE("the exit status tells a shell what went wrong") {
  test::TempDir directory;
  const std::string good = directory.File("good.yaml"), bad = directory.File("bad.yaml");
  REQUIRE(WriteFileAtomically(
      good, AsBytes("inbound: [{name: web, listen: '127.0.0.1:0', forward: '127.0.0.1:1'}]"),
      0600));
  REQUIRE(WriteFileAtomically(bad, AsBytes("inbound: [{name: web}]\nthreads: -1\n"), 0600));
  const auto run = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), kProgram);
    return test::RunProcess(arguments, directory.File("out")).code;
  };
  CHECK(run({"validate", "--config", good}) == 0);
  CHECK(run({"validate", "--config", bad}) == 3);
  CHECK(run({"validate", "--config", directory.File("missing.yaml")}) == 3);
  CHECK(run({"run", "--config", bad}) == 3);
  CHECK(run({"version"}) == 0);
  CHECK(run({"--help"}) == 0);
  CHECK(run({}) == 2);
  CHECK(run({"run"}) == 2);
  CHECK(run({"rum", "--config", good}) == 2);

  TestBackend taken(TestBackend::Echo);
  const std::string busy = directory.File("busy.yaml");
  REQUIRE(WriteFileAtomically(busy,
                              AsBytes("inbound: [{name: web, forward: '127.0.0.1:1', listen: '" +
                                      taken.address().ToString() + "'}]"),
                              0600));
  CHECK(run({"run", "--config", busy}) == 1);
}

}  // namespace
}  // namespace signet
