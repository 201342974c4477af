// Foreign TLS, passed on by the name it asks for.

#include <openssl/ssl.h>

#include "tests/unit/proxy/proxy_world.h"

namespace signet::proxy {
namespace {

using namespace std::chrono_literals;
using test::Talks;

std::string Yaml(const std::string& server_names, const std::string& more = "") {
  return "inbound: [{name: web, listen: '127.0.0.1:0', protocol: tls-passthrough, server_names: [" +
         server_names + "]}]\n" + more;
}
std::string To(const TestBackend& backend, const std::string& names, const std::string& more = "") {
  return "{names: [" + names + "], forward: '" + backend.address().ToString() + "'" + more + "}";
}

// The first bytes of a client that asks for `name`; empty: for none.
std::string HelloFor(const std::string& name) {
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  SSL* ssl = SSL_new(context);
  if (!name.empty()) SSL_set_tlsext_host_name(ssl, name.c_str());
  BIO* out = BIO_new(BIO_s_mem());
  SSL_set_bio(ssl, BIO_new(BIO_s_mem()), out);
  SSL_connect(ssl);
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(out, &bytes);
  std::string hello(bytes, static_cast<std::size_t>(size));
  SSL_free(ssl);
  SSL_CTX_free(context);
  return hello;
}

// Whether a caller with this hello has it echoed, which no proxy that ended TLS could do.
bool Passes(World& world, const std::string& hello) {
  StreamClient caller = world.Call("web", nullptr);
  return caller.Send(hello) && caller.Receive(hello.size()) == hello;
}

TEST_CASE("a name leads to its target byte for byte, an identity or not; others lead nowhere") {
  TestBackend exact(TestBackend::Echo), below(TestBackend::Echo);
  World world(Yaml(To(exact, "db.example.org") + ", " + To(below, "'*.example.org'")));
  CHECK(Passes(world, HelloFor("db.example.org")));
  CHECK(Passes(world, HelloFor("DB.Example.ORG")));
  CHECK(exact.accepted() == 2);
  CHECK(Passes(world, HelloFor("a.b.example.org")));
  CHECK(below.accepted() == 1);
  for (const char* name :
       {"example.org", "db.example.com", "xexample.org", "evil-db.example.org.x"}) {
    INFO(name);
    CHECK_FALSE(Passes(world, HelloFor(name)));
  }
  CHECK_FALSE(Passes(world, HelloFor("")));
  CHECK(World::Eventually([&] { return world.Refused("not_allowed") == 5; }));
  CHECK(exact.accepted() + below.accepted() == 3);
  CHECK(World::Eventually([&] { return world.Active() == 0; }));
}

TEST_CASE("attack 38: passed on TLS that would come back is refused before it goes out") {
  const test::TempDir files;
  const std::string own = "unix:" + files.File("web");
  World world("inbound: [{name: web, listen: '" + own +
              "', protocol: tls-passthrough, server_names: [{names: [a.example.org], forward: '" +
              own + "'}]}]\n");
  StreamClient caller = world.Call("web", nullptr);
  caller.Send(HelloFor("a.example.org"));
  CHECK(caller.WaitForEnd());
  CHECK(World::Eventually([&] { return world.Refused("forward_loop") == 1; }));
  CHECK(world.Series(
            R"(signet_proxy_connections_opened_total{direction="inbound",listener="web"})") <= 0);
}

TEST_CASE("what is passed on is cut at its maximum age, and has none unless one is set") {
  TestBackend backend(TestBackend::Echo);
  const std::string names = To(backend, "a.example.org");
  World world(Yaml(names, "limits: {idle: 20d}\n"));
  const std::string hello = HelloFor("a.example.org");
  StreamClient caller = world.Call("web", nullptr);
  REQUIRE(caller.Send(hello));
  REQUIRE(caller.Receive(hello.size()) == hello);
  world.Advance(24h * 5);
  CHECK(Talks(caller));
  REQUIRE(world.proxy->Apply(
      world.Read("inbound: [{name: web, listen: '127.0.0.1:0', protocol: tls-passthrough, "
                 "max_connection_age: 1h, server_names: [" +
                 names + "]}]\nlimits: {idle: 20d}\n")));
  world.Advance(30s);
  CHECK(caller.WaitForEnd());
  CHECK(World::Eventually([&] { return world.Closed("max_age") == 1; }));
}

TEST_CASE("attack 23: on a port for foreign TLS other bytes and cut hellos reach nobody") {
  TestBackend backend(TestBackend::Echo);
  World world(Yaml(To(backend, "a.example.org"), "limits: {handshake_deadline: 10s}\n"));
  for (const std::string bytes :
       {"GET / HTTP/1.1\r\nHost: a.example.org\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\x80\x2e\x01\x03\x01", "SSH-2.0-x\r\n"}) {
    StreamClient caller = world.Call("web", nullptr);
    caller.Send(bytes);
    CHECK(caller.WaitForEnd());
  }
  const std::string hello = HelloFor("a.example.org");
  StreamClient cut = world.Call("web", nullptr);
  cut.Send(hello.substr(0, hello.size() - 1));
  cut.CloseWrite();
  CHECK(cut.WaitForEnd());
  CHECK(World::Eventually([&] { return world.Refused("handshake_failed") == 5; }));
  // In single bytes it is the same hello.
  StreamClient slow = world.Call("web", nullptr);
  for (const char byte : hello) REQUIRE(slow.Send(std::string(1, byte)));
  CHECK(slow.Receive(hello.size()) == hello);
  // Who says nothing more is given up.
  StreamClient silent = world.Call("web", nullptr);
  silent.Send(hello.substr(0, 10));
  World::Eventually([&] { return world.proxy->LiveConnections().size() == 2; });
  world.Advance(11s);
  CHECK(silent.WaitForEnd());
  CHECK(World::Eventually([&] { return world.Refused("handshake_timeout") == 1; }));
  CHECK(backend.accepted() == 1);
}

TEST_CASE("half-closes, resets and sources hold for TLS that is passed on") {
  TestBackend backend(TestBackend::Echo);
  World world(Yaml(To(backend, "a.example.org", ", sources: [127.0.0.0/8]") + ", " +
                   To(backend, "b.example.org", ", sources: [10.0.0.0/8]")));
  const std::string hello = HelloFor("a.example.org");
  StreamClient caller = world.Call("web", nullptr);
  REQUIRE(caller.Send(hello));
  CHECK(caller.CloseWrite());
  CHECK(caller.ReceiveToEnd() == hello);
  CHECK(caller.end() == StreamEnd::kOrderly);
  CHECK(World::Eventually([&] { return world.Closed("finished") == 1; }));
  CHECK(world.Series(R"(signet_proxy_sent_bytes_total{direction="inbound",listener="web"})") ==
        static_cast<double>(hello.size()));
  CHECK_FALSE(Passes(world, HelloFor("b.example.org")));
  TestBackend breaking([](StreamClient& stream) { stream.ReceiveSome(10); });  // and away
  REQUIRE(world.proxy->Apply(world.Read(Yaml(To(breaking, "a.example.org")))));
  StreamClient broken = world.Call("web", nullptr);
  REQUIRE(broken.Send(hello));
  CHECK(broken.WaitForEnd());
}

TEST_CASE("attack 24: when a name goes, or leads elsewhere, what it carried is cut") {
  TestBackend one(TestBackend::Echo), other(TestBackend::Echo);
  World world(Yaml(To(one, "a.example.org") + ", " + To(one, "b.example.org")));
  StreamClient a = world.Call("web", nullptr), b = world.Call("web", nullptr);
  const std::string hello_a = HelloFor("a.example.org"), hello_b = HelloFor("b.example.org");
  REQUIRE(a.Send(hello_a));
  REQUIRE(a.Receive(hello_a.size()) == hello_a);
  REQUIRE(b.Send(hello_b));
  REQUIRE(b.Receive(hello_b.size()) == hello_b);
  REQUIRE(world.proxy->Apply(
      world.Read(Yaml(To(other, "a.example.org") + ", " + To(one, "b.example.org")))));
  CHECK(a.WaitForEnd());
  CHECK(world.Closed("policy_changed") == 1);
  CHECK(Talks(b));
}

TEST_CASE("what says nothing of TLS that is passed on is a problem with its line") {
  test::TempDir directory;
  const auto problems = [&](const std::string& listener) {
    REQUIRE(WriteFileAtomically(directory.File("p.yaml"),
                                AsBytes("inbound:\n- name: web\n  listen: 127.0.0.1:0\n  protocol: "
                                        "tls-passthrough\n" +
                                        listener),
                                0600));
    ConfigProblems found;
    LoadConfig(directory.File("p.yaml"), {}, &found);
    return found.Text();
  };
  CHECK(problems("  forward: 127.0.0.1:1\n  server_names: [{names: [a.example.org]}]\n").empty());
  const auto tells = [&](const std::string& listener, const std::string& what) {
    const std::string text = problems(listener);
    INFO(text);
    CHECK(text.find(what) != std::string::npos);
  };
  tells("  forward: 127.0.0.1:1\n", "server names");
  tells("  server_names: []\n", "server names");
  tells("  server_names: [{names: [a.example.org]}]\n", "'forward'");
  tells("  forward: 127.0.0.1:1\n  server_names:\n  - names: ['a.example.org:443']\n", ":7:");
  tells("  forward: 127.0.0.1:1\n  server_names: [{names: [a.b]}, {names: [A.B]}]\n", "already");
  tells("  forward: 127.0.0.1:1\n  server_names: [{names: [a.b], sources: [10.0.0.1/8]}]\n", ":6:");
  tells("  forward: 127.0.0.1:1\n  server_names: [{names: [a.b], sources: []}]\n", "empty");
  tells(
      "  forward: 127.0.0.1:1\n  server_names: [{names: [a.b]}]\n  allow: [{id: 'spiffe://a/b'}]\n",
      "no identity is known");
  tells("  forward: 127.0.0.1:1\n  server_names: [{names: [a.b]}]\n  routes: []\n", "HTTP");
}

}  // namespace
}  // namespace signet::proxy
