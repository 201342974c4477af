// Callers that misuse TLS and certificates, before the whole proxy. They are OpenSSL's own client,
// which sends what ours would refuse to send.

#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "tests/support/test_certificates.h"
#include "tests/unit/proxy/proxy_world.h"

namespace signet::proxy {
namespace {

using namespace std::chrono_literals;
using test::CaSpec;
using test::CertificateSpec;
using test::LeafSpec;
using test::MakeCertificate;
using test::TestCertificate;

constexpr const char* kShop = "spiffe://example.org/shop";
constexpr const char* kWeb = "spiffe://example.org/web";

// What a caller shows and offers; nothing of it is checked here.
struct CallerOptions {
  std::vector<Bytes> chain;  // leaf first, DER
  Bytes key;                 // PKCS #8
  std::string server_name;   // empty: no SNI
  std::string alpn;          // in wire format; empty: none
  SSL_SESSION* session = nullptr;
};

// One call: the handshake, `request` sent, and what came back of it. Blocking, with a time limit.
class OpenSslCaller {
 public:
  OpenSslCaller(const net::SocketAddress& address, const CallerOptions& options)
      : context_(SSL_CTX_new(TLS_client_method()), SSL_CTX_free), ssl_(nullptr, SSL_free) {
    SSL_CTX_set_security_level(context_.get(), 0);
    SSL_CTX_set_session_cache_mode(context_.get(), SSL_SESS_CACHE_CLIENT);
    Show(options);
    ssl_.reset(SSL_new(context_.get()));
    if (!options.server_name.empty())
      SSL_set_tlsext_host_name(ssl_.get(), options.server_name.c_str());
    if (!options.alpn.empty())
      SSL_set_alpn_protos(ssl_.get(), reinterpret_cast<const unsigned char*>(options.alpn.data()),
                          static_cast<unsigned>(options.alpn.size()));
    if (options.session != nullptr) SSL_set_session(ssl_.get(), options.session);
    socket_ = UniqueFd(::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
    const timeval patience{20, 0};
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    REQUIRE(::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address.storage),
                      address.length) == 0);
    SSL_set_fd(ssl_.get(), socket_.get());
    connected_ = SSL_connect(ssl_.get()) == 1;
  }

  // What the far end answers; empty when it refuses.
  std::string Ask(const std::string& request, std::size_t most) {
    if (!connected_ || SSL_write(ssl_.get(), request.data(), static_cast<int>(request.size())) <= 0)
      return {};
    std::string answer(most, '\0');
    const int got = SSL_read(ssl_.get(), answer.data(), static_cast<int>(most));
    answer.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    return answer;
  }
  bool Echoes() { return Ask("x", 1) == "x"; }
  bool connected() const { return connected_; }
  SSL* ssl() const { return ssl_.get(); }
  std::string alpn() const {
    const unsigned char* name = nullptr;
    unsigned length = 0;
    SSL_get0_alpn_selected(ssl_.get(), &name, &length);
    return {reinterpret_cast<const char*>(name), length};
  }
  Bytes ServerCertificate() const {
    X509* shown = SSL_get0_peer_certificate(ssl_.get());
    REQUIRE(shown != nullptr);
    std::uint8_t* der = nullptr;
    const int size = i2d_X509(shown, &der);
    Bytes bytes(der, der + size);
    OPENSSL_free(der);
    return bytes;
  }

 private:
  void Show(const CallerOptions& options) {
    for (std::size_t i = 0; i < options.chain.size(); ++i) {
      const std::uint8_t* at = options.chain[i].data();
      X509* certificate = d2i_X509(nullptr, &at, static_cast<long>(options.chain[i].size()));
      REQUIRE(certificate != nullptr);
      if (i == 0) {
        REQUIRE(SSL_CTX_use_certificate(context_.get(), certificate) == 1);
        X509_free(certificate);
      } else {
        REQUIRE(SSL_CTX_add_extra_chain_cert(context_.get(), certificate) == 1);
      }
    }
    if (options.key.empty()) return;
    const std::uint8_t* at = options.key.data();
    EVP_PKEY* key = d2i_AutoPrivateKey(nullptr, &at, static_cast<long>(options.key.size()));
    REQUIRE(key != nullptr);
    REQUIRE(SSL_CTX_use_PrivateKey(context_.get(), key) == 1);
    EVP_PKEY_free(key);
  }

  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context_;
  std::unique_ptr<SSL, decltype(&SSL_free)> ssl_;
  UniqueFd socket_;
  bool connected_ = false;
};

// A proxy whose bundle holds a root that signs whatever a test wants.
struct SignedWorld {
  explicit SignedWorld(const std::string& yaml) : world(yaml) {
    world.proxy->OnIdentity(
        MakeIdentity(1, kWeb, world.root.Issue(kWeb), {root.Parsed(), world.root.certificate()}));
  }
  net::SocketAddress address() const {
    return *world.proxy->ListenAddress(Direction::kInbound, "web");
  }
  CallerOptions Showing(const CertificateSpec& spec) const { return Showing(spec, {root}); }
  // `above`: the issuers, the root first; those below it are shown.
  static CallerOptions Showing(const CertificateSpec& spec,
                               const std::vector<TestCertificate>& above) {
    const TestCertificate leaf = MakeCertificate(spec, &above.back());
    CallerOptions options;
    options.chain.push_back(leaf.der);
    for (std::size_t i = above.size(); i-- > 1;) options.chain.push_back(above[i].der);
    options.key = leaf.Pkcs8();
    return options;
  }
  bool Serves(const CallerOptions& options) const {
    return OpenSslCaller(address(), options).Echoes();
  }

  TestCertificate root = MakeCertificate(CaSpec("root"));
  World world;
};

std::vector<std::pair<std::string, CertificateSpec>> BadLeaves() {
  std::vector<std::pair<std::string, CertificateSpec>> all;
  const auto add = [&](const std::string& what, auto change) {
    CertificateSpec spec = LeafSpec(kShop);
    change(spec);
    all.emplace_back(what, spec);
  };
  add("expired", [](auto& s) { s.not_after = 1767225600 - 1; });
  add("not yet valid", [](auto& s) { s.not_before = 1767225600 + 600; });
  add("not for clients", [](auto& s) { s.extended_key_usage = "serverAuth"; });
  add("for code signing", [](auto& s) { s.extended_key_usage = "codeSigning"; });
  add("another trust domain", [](auto& s) { s.uri_sans = {"spiffe://elsewhere.org/shop"}; });
  add("two URIs", [](auto& s) { s.uri_sans.push_back("spiffe://example.org/other"); });
  add("a URI that is none of SPIFFE", [](auto& s) { s.uri_sans = {"https://example.org/shop"}; });
  add("no URI", [](auto& s) { s.uri_sans.clear(); });
  add("the ID as a DNS name", [](auto& s) {
    s.uri_sans.clear();
    s.dns_sans = {kShop};
  });
  add("the ID as an e-mail address", [](auto& s) {
    s.uri_sans.clear();
    s.more_extensions = {{"subjectAltName", "email:spiffe://example.org/shop"}};
  });
  add("the ID as the common name alone", [](auto& s) {
    s.uri_sans.clear();
    s.common_name = kShop;
  });
  add("an authority", [](auto& s) {
    s.ca = true;
    s.key_usage = "critical,digitalSignature,keyCertSign";
  });
  add("may sign certificates",
      [](auto& s) { s.key_usage = "critical,digitalSignature,keyCertSign"; });
  add("may not sign", [](auto& s) { s.key_usage = "critical,keyEncipherment"; });
  add("an unknown critical extension",
      [](auto& s) { s.more_extensions = {{"1.3.6.1.4.1.55555.1", "critical,ASN1:NULL"}}; });
  add("signed with SHA-1", [](auto& s) { s.digest = "SHA1"; });
  add("a key of RSA-1024", [](auto& s) { s.key = "RSA-1024"; });
  add("a percent-encoded ID", [](auto& s) { s.uri_sans = {"spiffe://example.org/sh%6fp"}; });
  return all;
}

TEST_CASE("attack 28: no leaf but a good X.509-SVID of the bundle's reaches the backend") {
  TestBackend backend(TestBackend::Echo);
  const SignedWorld signed_world(InboundYaml(
      backend.address(), "{ids: ['spiffe://example.org/*', 'spiffe://elsewhere.org/*']}"));
  REQUIRE(signed_world.Serves(signed_world.Showing(LeafSpec(kShop))));
  for (const auto& [what, spec] : BadLeaves()) {
    INFO(what);
    CHECK_FALSE(signed_world.Serves(signed_world.Showing(spec)));
  }
  CHECK_FALSE(signed_world.Serves({}));
  CHECK(backend.accepted() == 1);
}

TEST_CASE(
    "attack 28: an authority on the path keeps to its constraints, or its leaves are refused") {
  TestBackend backend(TestBackend::Echo);
  const SignedWorld signed_world(InboundYaml(backend.address()));
  const TestCertificate& root = signed_world.root;
  // Names differ: one that issues to its own name does not count for the length (RFC
  // 5280, 4.2.1.9).
  int made = 0;
  const auto authority = [&made](const TestCertificate& issuer, auto change) {
    CertificateSpec spec = CaSpec("intermediate " + std::to_string(++made));
    change(spec);
    return MakeCertificate(spec, &issuer);
  };
  const TestCertificate good = authority(root, [](auto&) {});
  const TestCertificate last = authority(root, [](auto& s) { s.path_length = 0; });
  const TestCertificate elsewhere =
      authority(root, [](auto& s) { s.name_constraints = "critical,permitted;URI:elsewhere.org"; });
  const TestCertificate no_authority = authority(root, [](auto& s) { s.ca = false; });
  const TestCertificate no_signer =
      authority(root, [](auto& s) { s.key_usage = "digitalSignature"; });
  const TestCertificate ended = authority(root, [](auto& s) { s.not_after = 1767225600 - 1; });
  REQUIRE(signed_world.Serves(SignedWorld::Showing(LeafSpec(kShop), {root, good})));
  REQUIRE(signed_world.Serves(SignedWorld::Showing(LeafSpec(kShop), {root, last})));
  const TestCertificate too_deep = authority(last, [](auto&) {});
  for (const auto& above : std::vector<std::vector<TestCertificate>>{{root, last, too_deep},
                                                                     {root, elsewhere},
                                                                     {root, no_authority},
                                                                     {root, no_signer},
                                                                     {root, ended}}) {
    INFO(above.back().common_name << " " << above.size());
    CHECK_FALSE(signed_world.Serves(SignedWorld::Showing(LeafSpec(kShop), above)));
  }
  CHECK(backend.accepted() == 2);
}

TEST_CASE("attack 29: no spelling of an ID but the one there is gets past a rule") {
  TestBackend backend(TestBackend::Echo);
  const SignedWorld signed_world(
      InboundYaml(backend.address(), "{ids: ['spiffe://example.org/a/*']}"));
  const auto serves = [&](const std::string& uri) {
    return signed_world.Serves(signed_world.Showing(LeafSpec(uri)));
  };
  REQUIRE(serves("spiffe://example.org/a/b"));
  REQUIRE(serves("spiffe://example.org/a/b/c"));
  for (const std::string uri :
       {"spiffe://example.org/ab", "spiffe://example.org/a", "spiffe://example.org/A/b",
        "spiffe://example.org/a/", "spiffe://example.org/a//b", "spiffe://example.org/a/../a/b",
        "spiffe://example.org/a/./b", "spiffe://example.org/%61/b", "spiffe://example.org/a/b%00",
        "spiffe://Example.org/a/b", "SPIFFE://example.org/a/b", "spiffe://example.org:443/a/b",
        "spiffe://user@example.org/a/b", "spiffe://example.org/a/b?x", "spiffe://example.org/a/b#x",
        "spiffe://example.org\\a/b", "spiffe:///a/b", "spiffe://example.org.evil/a/b"}) {
    INFO(uri);
    CHECK_FALSE(serves(uri));
  }
  CHECK_FALSE(serves("spiffe://example.org/a/" + std::string(2048, 'x')));
  CHECK(backend.accepted() == 2);
}

TEST_CASE("attack 30: no session is given, and one that is offered is no session") {
  TestBackend backend(TestBackend::Echo);
  SignedWorld signed_world(InboundYaml(backend.address()));
  CallerOptions caller = signed_world.Showing(LeafSpec(kShop));
  OpenSslCaller first(signed_world.address(), caller);
  REQUIRE(first.Echoes());
  SSL_SESSION* session = SSL_get1_session(first.ssl());
  CHECK(SSL_SESSION_is_resumable(session) == 0);
  CHECK(SSL_SESSION_get_max_early_data(session) == 0);
  // Offered all the same, under each change that must count: a full handshake, judged as any other.
  caller.session = session;
  OpenSslCaller again(signed_world.address(), caller);
  REQUIRE(again.Echoes());
  CHECK(SSL_session_reused(again.ssl()) == 0);
  REQUIRE(signed_world.world.proxy->Apply(signed_world.world.Read(
      InboundYaml(backend.address(), "{id: 'spiffe://example.org/other'}"))));
  CHECK_FALSE(signed_world.Serves(caller));
  REQUIRE(signed_world.world.proxy->Apply(signed_world.world.Read(InboundYaml(backend.address()))));
  CHECK(signed_world.Serves(caller));
  signed_world.world.Become(kWeb);  // its bundle is without the caller's root
  CHECK_FALSE(signed_world.Serves(caller));
  SSL_SESSION_free(session);
}

TEST_CASE(
    "attack 31: the name asked for by TLS chooses nothing: not who answers, nor what is allowed") {
  TestBackend backend([](StreamClient& stream) {
    stream.Receive(1);
    stream.Send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  });
  const SignedWorld signed_world(fmt::format(
      "inbound: [{{name: web, listen: '127.0.0.1:0', forward: '{}', protocol: http, allow: [{{id: "
      "'{}', hosts: [a.example.org]}}]}}]\n",
      backend.address().ToString(), kShop));
  CallerOptions caller = signed_world.Showing(LeafSpec(kShop));
  const auto ask = [&](const std::string& host) {
    OpenSslCaller call(signed_world.address(), caller);
    REQUIRE(call.connected());
    CHECK(ca::Certificate::Parse(call.ServerCertificate())->uri_sans() ==
          std::vector<std::string>{kWeb});
    return call.Ask("GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n", 12);
  };
  for (const char* name : {"", "a.example.org", "b.example.org", "localhost"}) {
    INFO(name);
    caller.server_name = name;
    CHECK(ask("a.example.org") == "HTTP/1.1 200");
    CHECK(ask("b.example.org") == "HTTP/1.1 403");
  }
}

TEST_CASE("attack 32: what ALPN settled is what is spoken, and another protocol is refused") {
  TestBackend backend([](StreamClient& stream) {
    stream.Receive(1);
    stream.Send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  });
  const SignedWorld signed_world(
      fmt::format("inbound: [{{name: web, listen: '127.0.0.1:0', forward: '{}', protocol: http, "
                  "allow: [{{id: '{}'}}]}}]\n",
                  backend.address().ToString(), kShop));
  const std::string get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  const std::string preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  const std::string settings("\0\0\0\4\0\0\0\0\0", 9);
  CallerOptions caller = signed_world.Showing(LeafSpec(kShop));
  const auto ask = [&](const std::string& alpn, const std::string& bytes) {
    caller.alpn = alpn;
    return OpenSslCaller(signed_world.address(), caller).Ask(bytes, 12);
  };
  CHECK(ask("", get) == "HTTP/1.1 200");
  CHECK(ask("\x08http/1.1", get) == "HTTP/1.1 200");
  CHECK(ask("\x08postgres\x08http/1.1", get) == "HTTP/1.1 200");
  const std::uint64_t asked = backend.accepted();
  // Nobody in common: the handshake ends.
  for (const char* alpn : {"\x08postgres",
                           "\x03"
                           "ftp\x04smtp",
                           "\x06"
                           "spdy/1"})
    CHECK(ask(alpn, get).empty());
  // Bytes of another protocol than was settled.
  CHECK(ask("\x02h2", get).substr(0, 4) != "HTTP");
  CHECK(ask("\x08http/1.1", preface + settings) == "HTTP/1.1 505");
  for (const char* bytes :
       {"220 mail.example.org ESMTP\r\n", "EHLO x\r\n", "\x16\x03\x01", "*1\r\n"})
    CHECK(ask("\x08http/1.1", bytes).find(" 200") == std::string::npos);
  CHECK(backend.accepted() == asked);
}

}  // namespace
}  // namespace signet::proxy
