// Who gets in, who does not, and what the metrics say of it.

#include <arpa/inet.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <unistd.h>

#include "tests/unit/proxy/proxy_world.h"

namespace signet::proxy {
namespace {

using namespace std::chrono_literals;

constexpr const char* kShop = "spiffe://example.org/shop";

TEST_CASE("a caller that a rule allows reaches the backend and sees the proxy's identity") {
  TestBackend backend(TestBackend::Echo);
  World world(InboundYaml(backend.address(), "{id: 'spiffe://example.org/shop'}"));
  world.Become("spiffe://example.org/web");
  StreamClient caller = world.CallAs(kShop);
  REQUIRE(caller.end() == StreamEnd::kOpen);
  CHECK(caller.peer()->name == "spiffe://example.org/web");
  REQUIRE(caller.Send("hello"));
  CHECK(caller.Receive(5) == "hello");
  CHECK(caller.CloseWrite());
  CHECK(caller.WaitForEnd());
  CHECK(caller.end() == StreamEnd::kOrderly);
  CHECK(World::Eventually([&] { return world.Closed("finished") == 1; }));
  const std::string labels = R"({direction="inbound",listener="web"})";
  CHECK(world.Series("signet_proxy_connections_opened_total" + labels) == 1);
  CHECK(world.Series("signet_proxy_received_bytes_total" + labels) == 5);
  CHECK(world.Series("signet_proxy_sent_bytes_total" + labels) == 5);
  CHECK(world.Series(
            R"(signet_proxy_handshakes_total{direction="inbound",listener="web",result="ok"})") ==
        1);
  CHECK(world.Active() == 0);
}

TEST_CASE("a caller that no rule allows is refused before the backend hears of it") {
  TestBackend backend(TestBackend::Echo);
  World world(InboundYaml(backend.address(), "{id: 'spiffe://example.org/shop'}"));
  world.Become("spiffe://example.org/web");
  StreamClient caller = world.CallAs("spiffe://example.org/stranger");
  caller.Send("hello");
  CHECK(caller.WaitForEnd());
  CHECK(caller.end() == StreamEnd::kBroken);
  CHECK(World::Eventually([&] { return world.Refused("not_allowed") == 1; }));
  CHECK(backend.accepted() == 0);
}

TEST_CASE("an inbound listener without rules refuses everyone") {
  TestBackend backend(TestBackend::Echo);
  World world(InboundYaml(backend.address(), ""));
  world.Become("spiffe://example.org/web");
  StreamClient caller = world.CallAs(kShop);
  CHECK(caller.WaitForEnd());
  CHECK(World::Eventually([&] { return world.Refused("not_allowed") == 1; }));
  CHECK(backend.accepted() == 0);
}

TEST_CASE("attack 28: a caller without a certificate is refused") {
  TestBackend backend(TestBackend::Echo);
  World world(InboundYaml(backend.address()));
  world.Become("spiffe://example.org/web");
  StreamClient caller = world.Call("web", test::TrustingContext(std::nullopt));
  caller.Send("hello");
  CHECK(caller.WaitForEnd());
  CHECK(World::Eventually([&] { return world.Refused("no_client_certificate") == 1; }));
  CHECK(backend.accepted() == 0);
}

TEST_CASE("attack 28: a caller of a foreign authority is refused, whatever it calls itself") {
  TestBackend backend(TestBackend::Echo);
  World world(InboundYaml(backend.address()));
  world.Become("spiffe://example.org/web");
  const TestAuthority foreign("spiffe://example.org");
  for (const char* id : {"spiffe://example.org/shop", "spiffe://elsewhere.org/shop"}) {
    StreamClient caller = world.Call("web", test::TrustingContext(foreign.Issue(id)));
    caller.Send("hello");
    CHECK(caller.WaitForEnd());
  }
  CHECK(World::Eventually([&] { return world.Refused("certificate_untrusted") == 2; }));
  CHECK(backend.accepted() == 0);
}

TEST_CASE("attack 28: an SVID that has ended, or has not begun, is refused") {
  TestBackend backend(TestBackend::Echo);
  World world(InboundYaml(backend.address()));
  world.Become("spiffe://example.org/web");
  test::CertificateOptions ended;
  ended.uris = {kShop};
  ended.not_after = world.clock.Now() - 1s;
  test::CertificateOptions early = ended;
  early.not_before = world.clock.Now() + 1h;
  early.not_after = world.clock.Now() + 2h;
  for (const auto& options : {ended, early}) {
    StreamClient caller = world.Call("web", test::TrustingContext(world.root.Issue(options)));
    caller.Send("hello");
    CHECK(caller.WaitForEnd());
  }
  CHECK(World::Eventually([&] { return world.Refused("certificate_expired") == 2; }));
  CHECK(backend.accepted() == 0);
}

TEST_CASE("attack 28: a certificate that is no X.509-SVID is refused") {
  TestBackend backend(TestBackend::Echo);
  World world(InboundYaml(backend.address()));
  world.Become("spiffe://example.org/web");
  test::CertificateOptions nameless;
  test::CertificateOptions two;
  two.uris = {kShop, "spiffe://example.org/other"};
  test::CertificateOptions authority;
  authority.uris = {kShop};
  authority.is_ca = true;
  test::CertificateOptions domain;
  domain.uris = {"spiffe://example.org"};
  test::CertificateOptions escaped;
  escaped.uris = {"spiffe://example.org/sh%6fp"};
  for (const auto& options : {nameless, two, authority, domain, escaped}) {
    StreamClient caller = world.Call("web", test::TrustingContext(world.root.Issue(options)));
    caller.Send("hello");
    CHECK(caller.WaitForEnd());
  }
  CHECK(World::Eventually([&] { return world.Refused("certificate_invalid") == 5; }));
  CHECK(backend.accepted() == 0);
}

TEST_CASE("TLS 1.2 and garbage are refused") {
  TestBackend backend(TestBackend::Echo);
  World world(InboundYaml(backend.address()));
  world.Become("spiffe://example.org/web");

  StreamClient garbage = world.Call("web", nullptr);
  garbage.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  CHECK(garbage.WaitForEnd());

  StreamClient old = world.Call("web", nullptr);
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION);
  SSL* ssl = SSL_new(context);
  BIO* out = BIO_new(BIO_s_mem());
  SSL_set_bio(ssl, BIO_new(BIO_s_mem()), out);
  SSL_connect(ssl);  // leaves its hello in `out`
  char* hello = nullptr;
  const long size = BIO_get_mem_data(out, &hello);
  REQUIRE(size > 0);
  REQUIRE(old.Send({hello, static_cast<std::size_t>(size)}));
  CHECK(old.WaitForEnd());
  SSL_free(ssl);
  SSL_CTX_free(context);

  CHECK(World::Eventually([&] { return world.Refused("handshake_failed") == 2; }));
  CHECK(backend.accepted() == 0);
}

TEST_CASE("a hello that comes byte by byte is understood") {
  TestBackend backend(TestBackend::Echo);
  World world(InboundYaml(backend.address()));
  world.Become("spiffe://example.org/web");
  // A relay between caller and proxy that passes single bytes on.
  const auto target = *world.proxy->ListenAddress(Direction::kInbound, "web");
  TestBackend dribble([&](StreamClient& caller) {
    StreamClient proxy = StreamClient::Connect(target);
    std::thread back([from = StreamClient(UniqueFd(::dup(proxy.fd()))),
                      to = StreamClient(UniqueFd(::dup(caller.fd())))]() mutable {
      for (std::string some; !(some = from.ReceiveSome(65536)).empty();) to.Send(some);
    });
    for (std::string one; !(one = caller.ReceiveSome(1)).empty();) proxy.Send(one);
    proxy.CloseWrite();
    back.join();
  });
  StreamClient caller =
      StreamClient::Connect(dribble.address(), test::TrustingContext(world.root.Issue(kShop)));
  REQUIRE(caller.end() == StreamEnd::kOpen);
  REQUIRE(caller.Send("hello"));
  CHECK(caller.Receive(5) == "hello");
}

TEST_CASE("without an identity everything is refused, and readiness says why") {
  TestBackend backend(TestBackend::Echo);
  World world(InboundYaml(backend.address()));
  CHECK_FALSE(world.proxy->health().ready);
  CHECK(world.proxy->health().problems.front().find("no identity") != std::string::npos);
  StreamClient caller = world.CallAs(kShop);
  CHECK(caller.end() == StreamEnd::kBroken);
  CHECK(World::Eventually([&] { return world.Refused("no_identity") == 1; }));
  world.Become("spiffe://example.org/web");
  CHECK(world.proxy->health().ready);
  CHECK(world.CallAs(kShop).end() == StreamEnd::kOpen);
}

TEST_CASE("attack 34: a stalled handshake ends at its deadline and hurts nobody meanwhile") {
  TestBackend backend(TestBackend::Echo);
  World world(InboundYaml(backend.address(), "{id: 'spiffe://example.org/*'}",
                          "limits: {handshake_deadline: 10s}"));
  world.Become("spiffe://example.org/web");
  std::vector<StreamClient> stalled;
  for (int i = 0; i < 100; ++i) stalled.push_back(world.Call("web", nullptr));
  StreamClient caller = world.CallAs(kShop);
  REQUIRE(caller.Send("hello"));
  CHECK(caller.Receive(5) == "hello");
  CHECK(world.Refused("handshake_timeout") == 0);
  world.Advance(11s);
  CHECK(World::Eventually([&] { return world.Refused("handshake_timeout") == 100; }));
  for (StreamClient& each : stalled) CHECK(each.WaitForEnd());
  REQUIRE(caller.Send("again"));
  CHECK(caller.Receive(5) == "again");
}

TEST_CASE("handshakes in progress are bounded: the oldest gives way to the newest") {
  TestBackend backend(TestBackend::Echo);
  World world(
      InboundYaml(backend.address(), "{id: 'spiffe://example.org/*'}", "limits: {handshakes: 8}"));
  world.Become("spiffe://example.org/web");
  std::vector<StreamClient> stalled;
  for (int i = 0; i < 20; ++i) stalled.push_back(world.Call("web", nullptr));
  CHECK(World::Eventually([&] { return world.Refused("handshake_limit") == 12; }));
  StreamClient caller = world.CallAs(kShop);
  REQUIRE(caller.Send("hello"));
  CHECK(caller.Receive(5) == "hello");
  CHECK(world.Refused("handshake_limit") == 13);
}

TEST_CASE("attack 34: a flood of handshakes from one address does not displace another's") {
  TestBackend backend(TestBackend::Echo);
  World world(InboundYaml(backend.address(), "{id: 'spiffe://example.org/*'}",
                          "limits: {handshakes: 8, handshakes_per_address: 4}"));
  world.Become("spiffe://example.org/web");
  const auto target = *world.proxy->ListenAddress(Direction::kInbound, "web");
  const auto connect_from = [&](std::uint32_t source) {
    UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in from{};
    from.sin_family = AF_INET;
    from.sin_addr.s_addr = htonl(source);
    REQUIRE(::bind(socket.get(), reinterpret_cast<sockaddr*>(&from), sizeof from) == 0);
    REQUIRE(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&target.storage),
                      target.length) == 0);
    REQUIRE(::fcntl(socket.get(), F_SETFL, O_NONBLOCK) == 0);
    return socket;
  };
  UniqueFd honest = connect_from(0x7f000001);
  std::vector<UniqueFd> flood;
  for (int i = 0; i < 40; ++i) flood.push_back(connect_from(0x7f000002));
  CHECK(World::Eventually([&] { return world.Refused("handshake_address_limit") == 36; }));
  CHECK(world.Refused("handshake_limit") == 0);
  StreamClient caller(std::move(honest), test::TrustingContext(world.root.Issue(kShop)));
  REQUIRE(caller.Send("hello"));
  CHECK(caller.Receive(5) == "hello");
}

TEST_CASE("connections are bounded in all and for each caller") {
  TestBackend backend(TestBackend::Echo);
  World world(InboundYaml(backend.address(), "{id: 'spiffe://example.org/*'}",
                          "limits: {connections: 3, per_peer: 2}"));
  world.Become("spiffe://example.org/web");
  const auto opens = [&](StreamClient& caller) {
    return caller.Send("x") && caller.Receive(1) == "x";
  };
  StreamClient a1 = world.CallAs("spiffe://example.org/a");
  StreamClient a2 = world.CallAs("spiffe://example.org/a");
  REQUIRE(opens(a1));
  REQUIRE(opens(a2));
  StreamClient a3 = world.CallAs("spiffe://example.org/a");
  CHECK_FALSE(opens(a3));
  CHECK(World::Eventually([&] { return world.Refused("peer_limit") == 1; }));
  StreamClient b1 = world.CallAs("spiffe://example.org/b");
  REQUIRE(opens(b1));
  StreamClient b2 = world.CallAs("spiffe://example.org/b");
  CHECK_FALSE(opens(b2));
  CHECK(World::Eventually([&] { return world.Refused("connection_limit") == 1; }));
  a1.Drop();
  CHECK(World::Eventually([&] { return world.proxy->connections() == 2; }));
  StreamClient b3 = world.CallAs("spiffe://example.org/b");
  CHECK(opens(b3));
}

TEST_CASE("a backend that is down is named as the reason, and its return is noticed") {
  std::optional<TestBackend> backend(std::in_place, TestBackend::Echo);
  const net::SocketAddress address = backend->address();
  World world(InboundYaml(address));
  world.Become("spiffe://example.org/web");
  backend.reset();
  StreamClient caller = world.CallAs(kShop);
  CHECK(caller.WaitForEnd());
  CHECK(World::Eventually([&] { return world.Refused("backend_unreachable") == 1; }));
}

TEST_CASE("a backend that never answers the connection is given up in time") {
  // A listener whose queue is full: further connections hang in SYN.
  auto listener = net::ListenTcp(*net::Address::Parse("127.0.0.1:0"));
  REQUIRE(listener);
  REQUIRE(::listen(listener->get(), 0) == 0);
  const net::SocketAddress address = *net::LocalAddress(listener->get());
  std::vector<StreamClient> fill;
  for (int i = 0; i < 4; ++i) fill.push_back(StreamClient::Connect(address));
  World world(InboundYaml(address, "{id: 'spiffe://example.org/*'}",
                          "limits: {connect_timeout: 5s, handshake_deadline: 60s}"));
  world.Become("spiffe://example.org/web");
  StreamClient caller = world.CallAs(kShop);
  REQUIRE(caller.end() == StreamEnd::kOpen);
  const std::string handshakes =
      R"(signet_proxy_handshakes_total{direction="inbound",listener="web",result="ok"})";
  REQUIRE(World::Eventually([&] { return world.Series(handshakes) == 1; }));
  CHECK(World::Eventually([&] {
    world.Advance(6s);
    return world.Refused("backend_timeout") == 1;
  }));
  CHECK(caller.WaitForEnd());
}

}  // namespace
}  // namespace signet::proxy
