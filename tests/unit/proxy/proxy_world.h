// A proxy in this process with real sockets on loopback, a clock that moves when told, and the
// identities a test hands it.
#pragma once

#include <sys/socket.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/metrics.h"
#include "proxy/proxy.h"
#include "tests/support/eventually.h"
#include "tests/support/fake_clock.h"
#include "tests/support/stream_client.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_pki.h"

namespace signet::proxy {

using test::CertifiedKey;
using test::StreamClient;
using test::StreamEnd;
using test::TestAuthority;
using test::TestBackend;

inline identity::TrustDomain Domain(const std::string& name) {
  return *identity::TrustDomain::Parse(name);
}

// An identity as the Workload API client makes it: `bundle` is the own trust domain's.
inline IdentityPtr MakeIdentity(std::uint64_t generation, const std::string& id,
                                const CertifiedKey& svid,
                                const std::vector<ca::Certificate>& bundle) {
  auto snapshot = std::make_shared<IdentitySnapshot>();
  snapshot->generation = generation;
  snapshot->id = *identity::SpiffeId::Parse(id);
  snapshot->tls = {svid.chain, svid.key};
  snapshot->valid_until = svid.chain.front().not_after();
  identity::Bundle own;
  own.trust_domain = snapshot->id.trust_domain();
  for (const ca::Certificate& root : bundle) own.x509_authorities.push_back({root, false});
  snapshot->bundles[own.trust_domain] = own;
  return snapshot;
}

class World {
 public:
  explicit World(const std::string& yaml, std::size_t threads = 1) : yaml_threads_(threads) {
    auto started = Proxy::Start(Read(yaml), {clock, log, metrics, random});
    if (!started) FAIL(started.error().Message());
    proxy = *std::move(started);
  }

  std::shared_ptr<const ProxyConfig> Read(const std::string& yaml) {
    const std::string text = yaml + "\nthreads: " + std::to_string(yaml_threads_) + "\n";
    REQUIRE(WriteFileAtomically(directory.File("proxy.yaml"), AsBytes(text), 0600));
    ConfigProblems problems;
    auto config = LoadConfig(directory.File("proxy.yaml"), {}, &problems);
    INFO(problems.Text());
    REQUIRE(config != nullptr);
    return config;
  }

  void Become(const std::string& id) { Become(id, root.Issue(id)); }
  void Become(const std::string& id, const CertifiedKey& svid) {
    proxy->OnIdentity(MakeIdentity(++generation, id, svid, {root.certificate()}));
  }

  StreamClient Call(const std::string& listener, std::shared_ptr<const net::TlsContext> context,
                    Direction direction = Direction::kInbound) {
    const auto address = proxy->ListenAddress(direction, listener);
    REQUIRE(address);
    return StreamClient::Connect(*address, std::move(context));
  }
  // A TLS caller with an SVID of this world.
  StreamClient CallAs(const std::string& id, const std::string& listener = "web") {
    return Call(listener, test::TrustingContext(root.Issue(id)));
  }

  // The value of a series, "name{labels}", or -1.
  double Series(const std::string& series) const {
    const std::string text = metrics.Text();
    const auto at = text.find(series + " ");
    return at == std::string::npos ? -1 : std::stod(text.substr(at + series.size() + 1));
  }
  double Refused(std::string_view reason, const std::string& listener = "web",
                 const std::string& direction = "inbound") const {
    return Series(
        fmt::format(R"(signet_proxy_refused_total{{direction="{}",listener="{}",reason="{}"}})",
                    direction, listener, reason));
  }
  double Closed(std::string_view reason, const std::string& listener = "web",
                const std::string& direction = "inbound") const {
    return Series(fmt::format(
        R"(signet_proxy_connections_closed_total{{direction="{}",listener="{}",reason="{}"}})",
        direction, listener, reason));
  }
  double Active(const std::string& listener = "web", const std::string& direction = "inbound") {
    return Series(fmt::format(R"(signet_proxy_connections_active{{direction="{}",listener="{}"}})",
                              direction, listener));
  }
  // A condition another thread brings about.
  template <class Condition>
  static bool Eventually(Condition condition) {
    return test::Eventually(std::move(condition));
  }
  // Callers with `id` come and go all the time while thirty times `allow` lets them in and `forbid`
  // shuts them out: none may be connected when `forbid` returns.
  void ExpectNoneOutlives(const std::string& id, const std::function<void()>& allow,
                          const std::function<void()>& forbid) {
    const auto svid = root.Issue(id);
    std::atomic<bool> stop{false};
    std::atomic<int> served{0};
    std::vector<std::thread> callers;
    for (int i = 0; i < 3; ++i)
      callers.emplace_back([&] {
        const auto context = test::TrustingContext(svid);
        const auto address = *proxy->ListenAddress(Direction::kInbound, "web");
        while (!stop) {
          StreamClient caller = StreamClient::Connect(address, context);
          if (caller.end() == StreamEnd::kOpen && test::Talks(caller)) ++served;
        }
      });
    for (int i = 0; i < 30; ++i) {
      allow();
      const int before = served;
      CHECK(Eventually([&] { return served > before; }));
      forbid();
      CHECK(Active() == 0);
    }
    stop = true;
    for (std::thread& each : callers) each.join();
  }
  // Moves the clock, and wakes the one worker with a connection that comes to nothing.
  void Advance(Duration by, const std::string& listener = "web",
               Direction direction = Direction::kInbound) {
    clock.Advance(by);
    Call(listener, nullptr, direction).Drop();
  }

  test::TempDir directory;
  test::FakeClock clock;
  Logger log = Logger::Null();
  Metrics metrics;
  OsRandom random;
  TestAuthority root{"spiffe://example.org"};
  std::uint64_t generation = 0;
  std::unique_ptr<Proxy> proxy;

 private:
  const std::size_t yaml_threads_;
};

// One inbound listener "web" before `backend`, open to `rules`.
inline std::string InboundYaml(const net::SocketAddress& backend,
                               const std::string& rules = "{id: 'spiffe://example.org/*'}",
                               const std::string& more = "") {
  return fmt::format(
      "inbound: [{{name: web, listen: '127.0.0.1:0', forward: '{}', allow: [{}]}}]\n{}",
      backend.ToString(), rules, more);
}
// One outbound listener "out" to `peer`, which must be one of `rules`.
inline std::string OutboundYaml(const net::SocketAddress& peer, const std::string& rules,
                                const std::string& more = "") {
  return fmt::format(
      "outbound: [{{name: out, listen: '127.0.0.1:0', forward: '{}', expect: [{}]}}]\n{}",
      peer.ToString(), rules, more);
}

}  // namespace signet::proxy
