#include "net/https_server.h"

#include <fcntl.h>
#include <openssl/ssl.h>

#include <catch2/catch.hpp>

#include "net/https_client.h"
#include "net/web_identity.h"
#include "net/web_verifier.h"
#include "tests/support/fake_clock.h"
#include "tests/support/stream_client.h"

namespace signet::net {
namespace {

using std::chrono::seconds;

struct World {
  explicit World(const HttpsServerLimits& limits = {}) {
    test::CertificateOptions options;
    options.dns_names = {"localhost"};
    const test::CertifiedKey leaf = authority.Issue(options);
    context =
        TlsContext::Create(DocumentServerOptions(), TlsIdentity{leaf.chain, leaf.key}, nullptr)
            .value();
    server = HttpsServer::Start(
                 Address::Parse("127.0.0.1:0").value(), [this] { return context; },
                 [](const std::string& path) -> std::optional<HttpDocument> {
                   if (path != "/" && path != "/big") return std::nullopt;
                   HttpDocument document;
                   document.body = std::make_shared<const std::string>(
                       path == "/" ? "{\"keys\":[]}" : std::string(1 << 20, 'x'));
                   document.etag = "\"tag\"";
                   document.max_age = seconds(300);
                   return document;
                 },
                 limits, clock, metrics)
                 .value();
  }
  test::StreamClient Connect() const {
    TlsOptions options;
    options.role = TlsRole::kClient;
    options.alpn = {"http/1.1"};
    options.versions = TlsVersions::k12And13;
    const std::vector<ca::Certificate> anchors = {authority.certificate()};
    auto verifier =
        std::make_shared<WebVerifier>(WebRoots::Of(anchors).value(), "localhost", test_clock);
    auto socket = net::Connect(Address::Parse(server->address()).value(), seconds(5));
    REQUIRE(socket);
    return test::StreamClient(*std::move(socket),
                              TlsContext::Create(options, std::nullopt, verifier).value());
  }
  std::string Ask(std::string_view request) const {
    auto stream = Connect();
    REQUIRE(stream.Send(request));
    std::string answer = stream.ReceiveToEnd();
    CHECK(stream.end() == test::StreamEnd::kOrderly);
    return answer;
  }
  bool Counted(const std::string& name, int value) const {
    return metrics.Text().find(name + " " + std::to_string(value) + "\n") != std::string::npos;
  }

  SystemClock clock;
  test::FakeClock test_clock;
  Metrics metrics;
  test::TestAuthority authority{"spiffe://example.org"};
  std::shared_ptr<const TlsContext> context;
  std::unique_ptr<HttpsServer> server;
};

}  // namespace

TEST_CASE("a document is given with its tag and how long it keeps, its head alone to HEAD") {
  const World world;
  const std::string got = world.Ask("GET /?query HTTP/1.1\r\nHost: localhost\r\n\r\n");
  CHECK(got.starts_with("HTTP/1.1 200 OK\r\n"));
  CHECK(got.find("Content-Type: application/json\r\n") != got.npos);
  CHECK(got.find("ETag: \"tag\"\r\n") != got.npos);
  CHECK(got.find("Cache-Control: max-age=300\r\n") != got.npos);
  CHECK(got.find("Content-Length: 11\r\n") != got.npos);
  CHECK(got.ends_with("\r\n\r\n{\"keys\":[]}"));
  const std::string head = world.Ask("HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  CHECK(head.find("Content-Length: 11\r\n") != head.npos);
  CHECK(head.ends_with("\r\n\r\n"));
  const std::string big = world.Ask("GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n");
  CHECK(big.size() > (1 << 20));
}

TEST_CASE("who holds the document already is told so and gets nothing more") {
  const World world;
  for (const char* tag : {"\"tag\"", "W/\"tag\"", "*", "\"other\", \"tag\""}) {
    const std::string got = world.Ask(
        "GET / HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: " + std::string(tag) + "\r\n\r\n");
    INFO(tag);
    CHECK(got.starts_with("HTTP/1.1 304 Not Modified\r\n"));
    CHECK(got.find("ETag: \"tag\"\r\n") != got.npos);
    CHECK(got.ends_with("\r\n\r\n"));
  }
  for (const char* tag : {"\"other\"", "tag", "", "\"tag"}) {
    INFO(tag);
    CHECK(world
              .Ask("GET / HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: " + std::string(tag) +
                   "\r\n\r\n")
              .starts_with("HTTP/1.1 200 OK\r\n"));
  }
}

TEST_CASE(
    "other paths, methods and malformed or endless requests are refused, each by its status") {
  const World world;
  const auto status = [&](const std::string& request) {
    const std::string answer = world.Ask(request);
    CHECK(answer.find("Cache-Control: no-store\r\n") != answer.npos);
    return answer.substr(9, 3);
  };
  CHECK(status("GET /other HTTP/1.1\r\nHost: x\r\n\r\n") == "404");
  CHECK(status("GET //  HTTP/1.1\r\nHost: x\r\n\r\n") == "400");
  CHECK(status("POST / HTTP/1.1\r\nHost: x\r\n\r\n") == "405");
  CHECK(status("nonsense\r\n\r\n") == "400");
  CHECK(status("GET / HTTP/1.1\r\nX: " + std::string(8200, 'x')) == "431");
}

TEST_CASE("nobody is asked for a certificate, and TLS 1.2 is spoken, but nothing older") {
  const World world;
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION, TLS1_1_VERSION}) {
    const auto free_context = [](SSL_CTX* context) { SSL_CTX_free(context); };
    const auto free_ssl = [](SSL* ssl) { SSL_free(ssl); };
    const std::unique_ptr<SSL_CTX, decltype(free_context)> context(SSL_CTX_new(TLS_client_method()),
                                                                   free_context);
    SSL_CTX_set_min_proto_version(context.get(), version);
    SSL_CTX_set_max_proto_version(context.get(), version);
    SSL_CTX_set_security_level(context.get(), 0);
    SSL_CTX_set_client_cert_cb(context.get(), [](SSL* of, X509**, EVP_PKEY**) {
      *static_cast<bool*>(SSL_get_app_data(of)) = true;
      return 0;
    });
    const std::unique_ptr<SSL, decltype(free_ssl)> ssl(SSL_new(context.get()), free_ssl);
    auto socket = net::Connect(Address::Parse(world.server->address()).value(), seconds(5));
    REQUIRE(socket);
    REQUIRE(fcntl(socket->get(), F_SETFL, 0) == 0);  // blocking
    SSL_set_fd(ssl.get(), socket->get());
    bool asked = false;
    SSL_set_app_data(ssl.get(), &asked);
    const int connected = SSL_connect(ssl.get());
    INFO(version);
    CHECK((connected == 1) == (version != TLS1_1_VERSION));
    if (connected != 1) continue;
    CHECK(SSL_version(ssl.get()) == version);
    CHECK_FALSE(asked);
  }
}

TEST_CASE("slow clients are cut off, and one address has no more than its share of the places") {
  const World world({.connections = 8,
                     .connections_per_address = 2,
                     .connection_time = std::chrono::milliseconds(300)});
  auto first = world.Connect();
  auto second = world.Connect();
  CHECK(first.end() == test::StreamEnd::kOpen);
  const auto third = world.Connect();
  CHECK(third.end() == test::StreamEnd::kBroken);
  CHECK(first.WaitForEnd());
  CHECK(second.WaitForEnd());
  CHECK(world.Ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n").starts_with("HTTP/1.1 200"));
  CHECK(world.Counted("signet_server_https_cut_total", 3));
}

}  // namespace signet::net
