#include <openssl/decoder.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <memory>

#include "net/tls.h"
#include "tests/unit/net/tls_peers.h"

namespace signet::net {
namespace {

struct FreeSsl {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  void operator()(SSL* ssl) const { SSL_free(ssl); }
};

// A client that is not ours, as lax as its configuration makes it; drives `server` along.
struct PlainOpenSslClient {
  explicit PlainOpenSslClient(std::shared_ptr<const TlsContext> server_context)
      : context(SSL_CTX_new(TLS_client_method())) {
    auto [a, b] = SocketPair();
    server.emplace(std::move(server_context), std::move(a));
    socket = std::move(b);
  }
  void Shake() {
    ssl.reset(SSL_new(context.get()));
    SSL_set_fd(ssl.get(), socket.get());
    for (int turn = 0; turn < 10; ++turn) {
      if (client_done != 1) client_done = SSL_connect(ssl.get());
      if (server_status == IoStatus::kWantRead) server_status = server->Handshake();
    }
  }
  std::unique_ptr<SSL_CTX, FreeSsl> context;
  std::unique_ptr<SSL, FreeSsl> ssl;
  UniqueFd socket;
  std::optional<TlsStream> server;
  int client_done = -1;
  IoStatus server_status = IoStatus::kWantRead;
};

}  // namespace

TEST_CASE("both ends prove who they are") {
  const TlsPeers peers;
  StreamPair pair(peers.Server(), peers.Client());
  CHECK(pair.server->peer() == nullptr);
  pair.Shake();
  REQUIRE(pair.Connected());
  REQUIRE(pair.server->peer() != nullptr);
  CHECK(pair.server->peer()->name == TlsPeers::kClientId);
  CHECK(pair.client->peer()->name == TlsPeers::kServerId);
  CHECK(pair.server->peer()->chain == peers.client.chain);
  CHECK(pair.client->peer()->chain == peers.server.chain);
  CHECK(pair.server->Description() == "TLSv1.3 TLS_AES_128_GCM_SHA256 x25519");
  CHECK(peers.verifier->calls() == 2);
}

TEST_CASE(
    "a chain with an intermediate is presented leaf first, on both ends, each certificate once") {
  TlsPeers peers;
  const test::TestAuthority below = peers.authority.IssueAuthority("spiffe://example.org");
  const test::CertifiedKey server = below.Issue(TlsPeers::kServerId);
  const test::CertifiedKey client = below.Issue(TlsPeers::kClientId);
  REQUIRE(client.chain.size() == 2);
  for (int again = 0; again < 2; ++again) {  // the second time from the cache
    StreamPair pair(peers.Server(server), peers.Client(client));
    pair.Shake();
    REQUIRE(pair.Connected());
    CHECK(pair.server->peer()->chain == client.chain);
    CHECK(pair.client->peer()->chain == server.chain);
  }
}

TEST_CASE("a client without a certificate is refused when one is required") {
  const TlsPeers peers;
  StreamPair pair(peers.Server(), peers.AnonymousClient());
  pair.Shake();
  CHECK(pair.server_status == IoStatus::kError);
  CHECK(pair.server->error().reason == kTlsNoPeerCertificate);
  CHECK(pair.server->error().code == Code::kUnauthenticated);
  CHECK(pair.server->failure_reason() == kTlsNoPeerCertificate);
  CHECK(pair.server->peer() == nullptr);
  // TLS 1.3: the client was done before the server looked. It hears of it when it reads.
  REQUIRE(pair.client_status == IoStatus::kOk);
  CHECK(ReadText(&*pair.client) == "<error>");
  CHECK(pair.client->error().reason == kTlsBroken);
  CHECK(pair.client->error().detail.find("certificate required") != std::string::npos);
}

TEST_CASE("a client without a certificate is anonymous when one is optional") {
  TlsPeers peers;
  peers.server_options.client_certificate = ClientCertificate::kOptional;
  StreamPair anonymous(peers.Server(), peers.AnonymousClient());
  anonymous.Shake();
  REQUIRE(anonymous.Connected());
  CHECK(anonymous.server->peer() == nullptr);

  StreamPair known(peers.Server(), peers.Client());
  known.Shake();
  REQUIRE(known.Connected());
  CHECK(known.server->peer()->name == TlsPeers::kClientId);
}

TEST_CASE(
    "a foreign client is refused with the verifier's reason, also where certificates are "
    "optional") {
  TlsPeers peers;
  peers.server_options.client_certificate =
      GENERATE(ClientCertificate::kRequired, ClientCertificate::kOptional);
  StreamPair pair(peers.Server(), peers.Client(peers.stranger.Issue(TlsPeers::kClientId)));
  pair.Shake();
  CHECK(pair.server_status == IoStatus::kError);
  CHECK(pair.server->error().reason == kTlsPeerRefused);
  CHECK(pair.server->failure_reason() == kTestForeign);
  CHECK(pair.server->error().detail == "signed by a stranger: no root of mine");
  CHECK(pair.server->peer() == nullptr);
  CHECK(pair.server->Handshake() == IoStatus::kError);  // it stays refused
  CHECK(ReadText(&*pair.client) == "<error>");
  CHECK(pair.client->error().detail.find("bad certificate") != std::string::npos);
}

TEST_CASE("a foreign server is refused by the client") {
  const TlsPeers peers;
  StreamPair pair(peers.Server(peers.stranger.Issue(TlsPeers::kServerId)), peers.Client());
  pair.Shake();
  CHECK(pair.client_status == IoStatus::kError);
  CHECK(pair.client->failure_reason() == kTestForeign);
  CHECK(pair.server_status == IoStatus::kError);
  CHECK(pair.server->error().reason == kTlsHandshakeFailed);
}

TEST_CASE("an expired client is refused with that reason") {
  const TlsPeers peers;
  test::CertificateOptions options;
  options.uris = {TlsPeers::kClientId};
  options.not_after = peers.clock.Now() - std::chrono::seconds(1);
  StreamPair pair(peers.Server(), peers.Client(peers.authority.Issue(options)));
  pair.Shake();
  CHECK(pair.server_status == IoStatus::kError);
  CHECK(pair.server->failure_reason() == kTestExpired);
}

TEST_CASE("a client that shows another's certificate without its key is refused") {
  const TlsPeers peers;
  const test::CertifiedKey victim = peers.client;
  const test::CertifiedKey own = peers.authority.Issue("spiffe://example.org/thief");
  PlainOpenSslClient thief(peers.Server());
  // OpenSSL asks whether a key fits a certificate by its public half: give it one that lies.
  BIGNUM* private_half = nullptr;
  REQUIRE(EVP_PKEY_get_bn_param(own.key->handle(), "priv", &private_half) == 1);
  const ByteView spki = victim.key->public_key().spki();
  const ByteView point = spki.subspan(spki.size() - 65);
  Bytes scalar(32);
  REQUIRE(BN_bn2nativepad(private_half, scalar.data(), 32) == 32);
  BN_clear_free(private_half);
  char group[] = "P-256";
  OSSL_PARAM parameters[] = {OSSL_PARAM_construct_utf8_string("group", group, 0),
                             OSSL_PARAM_construct_octet_string(
                                 "pub", const_cast<std::uint8_t*>(point.data()), point.size()),
                             OSSL_PARAM_construct_BN("priv", scalar.data(), scalar.size()),
                             OSSL_PARAM_construct_end()};
  EVP_PKEY_CTX* maker = EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr);
  EVP_PKEY* forged = nullptr;
  REQUIRE(EVP_PKEY_fromdata_init(maker) == 1);
  REQUIRE(EVP_PKEY_fromdata(maker, &forged, EVP_PKEY_KEYPAIR, parameters) == 1);
  REQUIRE(SSL_CTX_use_certificate(thief.context.get(), victim.chain[0].handle()) == 1);
  REQUIRE(SSL_CTX_use_PrivateKey(thief.context.get(), forged) == 1);
  EVP_PKEY_free(forged);
  EVP_PKEY_CTX_free(maker);
  thief.Shake();
  CHECK(thief.server_status == IoStatus::kError);
  CHECK(thief.server->error().reason == kTlsHandshakeFailed);
  CHECK(thief.server->peer() == nullptr);
  CHECK(peers.verifier->calls() == 1);  // the certificate itself was good
}

TEST_CASE("TLS 1.2 is refused") {
  const TlsPeers peers;
  PlainOpenSslClient old(peers.Server());
  SSL_CTX_set_max_proto_version(old.context.get(), TLS1_2_VERSION);
  old.Shake();
  CHECK(old.server_status == IoStatus::kError);
  CHECK(old.server->error().reason == kTlsHandshakeFailed);
  CHECK(old.server->error().detail.find("protocol") != std::string::npos);
  CHECK(old.client_done != 1);
}

TEST_CASE("attack 30: a foreign client speaking TLS 1.3 gets no ticket") {
  TlsPeers peers;
  peers.server_options.client_certificate = ClientCertificate::kOptional;
  PlainOpenSslClient client(peers.Server());
  static int tickets = 0;
  tickets = 0;
  SSL_CTX_set_session_cache_mode(client.context.get(), SSL_SESS_CACHE_CLIENT);
  SSL_CTX_sess_set_new_cb(client.context.get(), [](SSL*, SSL_SESSION*) { return ++tickets, 0; });
  client.Shake();
  REQUIRE(client.client_done == 1);
  REQUIRE(client.server_status == IoStatus::kOk);
  const std::string text = "hello";
  REQUIRE(client.server->Write(AsBytes(text)).bytes == 5);
  char buffer[10];
  REQUIRE(SSL_read(client.ssl.get(), buffer, sizeof buffer) == 5);
  CHECK(tickets == 0);
}

TEST_CASE("a client that offers only other groups is refused, one with P-256 alone is served") {
  TlsPeers peers;
  peers.server_options.client_certificate = ClientCertificate::kOptional;
  PlainOpenSslClient odd(peers.Server());
  SSL_CTX_set1_groups_list(odd.context.get(), "P-521");
  odd.Shake();
  CHECK(odd.server_status == IoStatus::kError);
  PlainOpenSslClient plain(peers.Server());
  SSL_CTX_set1_groups_list(plain.context.get(), "P-256");
  plain.Shake();
  CHECK(plain.server_status == IoStatus::kOk);
}

TEST_CASE("garbage is refused as such") {
  const TlsPeers peers;
  auto [a, b] = SocketPair();
  TlsStream server(peers.Server(), std::move(a));
  const std::string text = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
  REQUIRE(write(b.get(), text.data(), text.size()) > 0);
  CHECK(server.Handshake() == IoStatus::kError);
  CHECK(server.error().reason == kTlsHandshakeFailed);
  CHECK(server.error().code == Code::kUnauthenticated);
}

TEST_CASE("a peer that leaves during the handshake is told apart from one that is refused") {
  const TlsPeers peers;
  auto [a, b] = SocketPair();
  TlsStream server(peers.Server(), std::move(a));
  CHECK(server.Handshake() == IoStatus::kWantRead);
  b.Reset();
  CHECK(server.Handshake() == IoStatus::kError);
  CHECK(server.error().code == Code::kUnavailable);
  CHECK(server.error().reason == kTlsHandshakeFailed);
}

TEST_CASE("ALPN: the server's order decides, others are refused, and none at all is let in") {
  TlsPeers peers;
  peers.server_options.alpn = {"h2", "http/1.1"};
  const auto shake = [&peers](std::vector<std::string> offered) {
    peers.client_options.alpn = std::move(offered);
    auto pair = std::make_unique<StreamPair>(peers.Server(), peers.Client());
    pair->Shake();
    return pair;
  };
  const auto both = shake({"http/1.1", "h2"});
  REQUIRE(both->Connected());
  CHECK(both->server->alpn() == "h2");
  CHECK(both->client->alpn() == "h2");
  const auto other = shake({"h3", "h"});
  CHECK(other->server_status == IoStatus::kError);
  CHECK(other->server->error().reason == kTlsHandshakeFailed);
  CHECK(other->client_status == IoStatus::kError);
  CHECK(other->client->error().detail.find("no application protocol") != std::string::npos);
  const auto none = shake({});
  REQUIRE(none->Connected());
  CHECK(none->server->alpn().empty());

  peers.server_options.alpn = {};
  const auto ignored = shake({"h2"});
  REQUIRE(ignored->Connected());
  CHECK(ignored->client->alpn().empty());
}

TEST_CASE("a context refuses a key that is not the certificate's, and missing parts") {
  const TlsPeers peers;
  const auto reason = [&](const TlsOptions& options, const std::optional<TlsIdentity>& identity,
                          std::shared_ptr<const PeerVerifier> verifier) {
    const auto context = TlsContext::Create(options, identity, std::move(verifier));
    return context ? Reason{"made"} : context.error().reason;
  };
  const TlsIdentity good = TlsPeers::Identity(peers.server);
  const TlsIdentity mismatched{peers.server.chain, peers.client.key};
  CHECK(reason(peers.server_options, good, peers.verifier) == Reason{"made"});
  CHECK(reason(peers.server_options, mismatched, peers.verifier) == kTlsContextFailed);
  CHECK(reason(peers.server_options, std::nullopt, peers.verifier) == kTlsContextFailed);
  CHECK(reason(peers.server_options, TlsIdentity{{}, peers.server.key}, peers.verifier) ==
        kTlsContextFailed);
  CHECK(reason(peers.server_options, TlsIdentity{peers.server.chain, nullptr}, peers.verifier) ==
        kTlsContextFailed);
  CHECK(reason(peers.server_options, good, nullptr) == kTlsContextFailed);
  TlsOptions bad_alpn = peers.server_options;
  bad_alpn.alpn = {std::string(256, 'x')};
  CHECK(reason(bad_alpn, good, peers.verifier) == kTlsContextFailed);
}

TEST_CASE("peers with any kind of key are served, also from a library context of our own") {
  TlsPeers peers;
  test::CertificateOptions options;
  options.rsa = GENERATE(false, true);
  options.curve = options.rsa ? "" : GENERATE(as<std::string>{}, "P-256", "P-384", "P-521");
  const Result<std::shared_ptr<const TlsLibrary>> library = TlsLibrary::Create();
  REQUIRE(library);
  if (GENERATE(false, true)) peers.server_options.library = *library;
  if (GENERATE(false, true)) peers.client_options.library = *library;
  options.uris = {TlsPeers::kClientId};
  const test::CertifiedKey client = peers.authority.Issue(options);
  options.uris = {TlsPeers::kServerId};
  const test::CertifiedKey server = peers.authority.Issue(options);
  StreamPair pair(peers.Server(server), peers.Client(client));
  pair.Shake();
  REQUIRE(pair.Connected());
  CHECK(pair.server->peer()->name == TlsPeers::kClientId);
  CHECK(pair.client->peer()->name == TlsPeers::kServerId);
  REQUIRE(pair.server->Write(AsBytes(std::string("hello"))).bytes == 5);
  CHECK(ReadText(&*pair.client) == "hello");
}

TEST_CASE("a library context of our own refuses a key that is not the certificate's") {
  TlsPeers peers;
  const Result<std::shared_ptr<const TlsLibrary>> library = TlsLibrary::Create();
  REQUIRE(library);
  peers.server_options.library = *library;
  CHECK(TlsContext::Create(peers.server_options, TlsIdentity{peers.server.chain, peers.client.key},
                           peers.verifier)
            .error()
            .reason == kTlsContextFailed);
}

TEST_CASE("a library context of our own knows the decoders of peers' keys and no others") {
  const Result<std::shared_ptr<const TlsLibrary>> library = TlsLibrary::Create();
  REQUIRE(library);
  int decoders = 0;
  OSSL_DECODER_do_all_provided((*library)->handle(),
                               [](OSSL_DECODER*, void* count) { ++*static_cast<int*>(count); },
                               &decoders);
  CHECK(decoders == 4);
}

TEST_CASE("library contexts that come and go leave those that stay alone") {
  TlsPeers peers;
  const Result<std::shared_ptr<const TlsLibrary>> library = TlsLibrary::Create();
  REQUIRE(library);
  peers.server_options.library = *library;
  for (int i = 0; i < 3; ++i) {
    REQUIRE(TlsLibrary::Create());
    StreamPair pair(peers.Server(), peers.Client());
    pair.Shake();
    CHECK(pair.Connected());
  }
}

TEST_CASE("a chain longer than the bound is refused unread") {
  TlsPeers peers;
  test::CertifiedKey client = peers.client;
  for (std::size_t i = 0; i < ca::kMaxChainLength; ++i)
    client.chain.push_back(peers.authority.certificate());
  StreamPair pair(peers.Server(), peers.Client(client));
  pair.Shake();
  CHECK(pair.server_status == IoStatus::kError);
  CHECK(pair.server->failure_reason() == ca::kCertificateMalformed);
  CHECK(peers.verifier->calls() == 1);  // the client's look at the server
}

TEST_CASE("a swapped context counts for the next handshake and leaves older connections alone") {
  TlsPeers peers;
  StreamPair before(peers.Server(), peers.Client());
  before.Shake();
  REQUIRE(before.Connected());

  // Everything changes: root, server and client.
  const test::TestAuthority next("spiffe://example.org");
  const std::shared_ptr<const TlsContext> old_client = peers.Client();
  peers.verifier = peers.VerifierFor(next);
  const std::shared_ptr<const TlsContext> new_server =
      peers.Server(next.Issue("spiffe://example.org/2"));
  StreamPair after(new_server, peers.Client(next.Issue(TlsPeers::kClientId)));
  after.Shake();
  REQUIRE(after.Connected());
  CHECK(after.client->peer()->name == "spiffe://example.org/2");
  StreamPair outdated(new_server, old_client);
  outdated.Shake();
  CHECK(!outdated.Connected());

  REQUIRE(before.client->Write(AsBytes("still here")).bytes == 10);
  CHECK(ReadText(&*before.server) == "still here");
}

}  // namespace signet::net
