#include "net/admin_server.h"

#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <mutex>
#include <nlohmann/json.hpp>
#include <vector>

#include "tests/support/fake_clock.h"

namespace signet::net {
namespace {

struct AdminWorld {
  AdminWorld() {
    metrics.Counter("signet_test_total", "For the test.").Add(3);
    auto started = AdminServer::Start(
        {"127.0.0.1", 0, false},
        [this] {
          const std::lock_guard lock(mutex);
          return health;
        },
        metrics, clock);
    REQUIRE(started);
    server = std::move(*started);
  }
  void SetHealth(Health next) {
    const std::lock_guard lock(mutex);
    health = std::move(next);
  }
  UniqueFd ConnectRaw() const {
    Result<UniqueFd> fd = Connect({"127.0.0.1", server->port(), false}, std::chrono::seconds(20));
    REQUIRE(fd);
    return std::move(*fd);
  }
  static void Send(int fd, std::string_view bytes) {
    REQUIRE(send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
            static_cast<ssize_t>(bytes.size()));
  }
  static std::string ReadToEnd(int fd) {
    std::string all;
    char buffer[4096];
    pollfd polled{fd, POLLIN, 0};
    while (poll(&polled, 1, 20000) == 1) {
      const ssize_t got = recv(fd, buffer, sizeof buffer, 0);
      if (got <= 0) break;
      all.append(buffer, static_cast<std::size_t>(got));
    }
    return all;
  }
  std::string Ask(std::string_view request) const {
    const UniqueFd fd = ConnectRaw();
    Send(fd.get(), request);
    return ReadToEnd(fd.get());
  }
  std::string Get(const std::string& path) const {
    return Ask("GET " + path + " HTTP/1.1\r\nHost: localhost\r\n\r\n");
  }

  test::FakeClock clock;
  Metrics metrics;
  std::mutex mutex;
  Health health;
  std::unique_ptr<AdminServer> server;
};

int StatusOf(const std::string& response) {
  return response.starts_with("HTTP/1.1 ") ? std::stoi(response.substr(9, 3)) : 0;
}

std::string BodyOf(const std::string& response) {
  const auto end = response.find("\r\n\r\n");
  return end == response.npos ? "" : response.substr(end + 4);
}

}  // namespace

TEST_CASE("live and ready answer as the program is, and say why not") {
  AdminWorld world;
  CHECK(StatusOf(world.Get("/live")) == 200);
  CHECK(StatusOf(world.Get("/ready")) == 503);  // ready is not the zero value

  world.SetHealth({true, false, {"no \"bundle\"\nyet", "no SVID"}});
  const std::string starting = world.Get("/ready");
  CHECK(StatusOf(starting) == 503);
  const nlohmann::json body = nlohmann::json::parse(BodyOf(starting));
  CHECK(body["ok"] == false);
  CHECK(body["problems"] == nlohmann::json({"no \"bundle\"\nyet", "no SVID"}));

  world.SetHealth({true, true, {}});
  const std::string ready = world.Get("/ready?full=1");
  CHECK(StatusOf(ready) == 200);
  CHECK(BodyOf(ready) == "{\"ok\":true,\"problems\":[]}\n");
  CHECK(ready.find("Connection: close\r\n") != std::string::npos);

  world.SetHealth({false, true, {"stuck"}});
  CHECK(StatusOf(world.Get("/live")) == 503);
  CHECK(StatusOf(world.Get("/ready")) == 503);
}

TEST_CASE("who accepts OpenMetrics is served it") {
  const AdminWorld world;
  const std::string response = world.Ask(
      "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: "
      "application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n\r\n");
  CHECK(response.find("Content-Type: application/openmetrics-text; version=1.0.0") !=
        std::string::npos);
  const std::string body = BodyOf(response);
  CHECK(body.find("# TYPE signet_test counter\nsignet_test_total 3\n") != std::string::npos);
  CHECK(body.ends_with("# EOF\n"));
}

TEST_CASE("metrics are served as text") {
  const AdminWorld world;
  const std::string response = world.Get("/metrics");
  CHECK(StatusOf(response) == 200);
  CHECK(response.find("Content-Type: text/plain; version=0.0.4") != std::string::npos);
  CHECK(BodyOf(response).find("signet_test_total 3") != std::string::npos);
}

TEST_CASE("a large answer arrives whole at a slow reader") {
  AdminWorld world;
  for (int i = 0; i < 30000; ++i)
    world.metrics.Gauge("signet_test_many", "For the test.", {{"n", std::to_string(i)}}).Set(i);
  const std::string response = world.Get("/metrics");
  CHECK(response.size() > 800'000);
  CHECK(response.find("signet_test_many{n=\"29999\"} 29999") != std::string::npos);
  CHECK(response.ends_with("\n"));
}

TEST_CASE("HEAD answers without the body") {
  const AdminWorld world;
  const std::string response = world.Ask("HEAD /live HTTP/1.1\r\nHost: localhost\r\n\r\n");
  CHECK(StatusOf(response) == 200);
  CHECK(response.find("Content-Length: 26\r\n") != std::string::npos);
  CHECK(BodyOf(response).empty());
}

TEST_CASE("attack 45: other paths, methods, hosts and protocols are refused") {
  const AdminWorld world;
  const auto status = [&](const std::string& request) { return StatusOf(world.Ask(request)); };
  CHECK(StatusOf(world.Get("/")) == 404);
  CHECK(StatusOf(world.Get("/metrics/../live")) == 404);
  const std::string post = world.Ask("POST /live HTTP/1.1\r\nHost: localhost\r\n\r\n");
  CHECK(StatusOf(post) == 405);
  CHECK(post.find("Allow: GET, HEAD\r\n") != std::string::npos);
  CHECK(status("GET /live HTTP/1.1\r\n\r\n") == 400);
  CHECK(status("GET /live HTTP/1.1\r\nHost: rebound.example\r\n\r\n") == 421);
  CHECK(status("GET /metrics HTTP/1.1\r\nHost: rebound.example:80\r\n\r\n") == 421);
  CHECK(status("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") == 400);
  CHECK(status("\x16\x03\x01 garbage\r\n\r\n") == 400);
  CHECK(status("GET / HTTP/1.1\r\nA: " + std::string(20000, 'x') + "\r\n\r\n") == 431);
}

TEST_CASE("a request may come in pieces") {
  const AdminWorld world;
  const UniqueFd fd = world.ConnectRaw();
  for (const char* piece : {"GET /li", "ve HTTP/1.1\r", "\nHost: 127.0.0.1\r\n\r", "\n"})
    AdminWorld::Send(fd.get(), piece);
  CHECK(StatusOf(AdminWorld::ReadToEnd(fd.get())) == 200);
}

TEST_CASE("connections over the limit wait, and slow ones end at five seconds") {
  AdminWorld world;
  std::vector<UniqueFd> slow;
  for (int i = 0; i < 64; ++i) slow.push_back(world.ConnectRaw());
  const UniqueFd waiting = world.ConnectRaw();
  AdminWorld::Send(waiting.get(), "GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n");
  pollfd polled{waiting.get(), POLLIN, 0};
  CHECK(poll(&polled, 1, 50) == 0);
  // Time passes until the slow ones, whenever they were accepted, are over it. Any event shows the
  // loop the new time.
  for (int i = 0; i < 200 && polled.revents == 0; ++i) {
    world.clock.Advance(std::chrono::seconds(5));
    send(slow[0].get(), "G", 1, MSG_NOSIGNAL);
    poll(&polled, 1, 100);
  }
  CHECK(AdminWorld::ReadToEnd(slow[1].get()).empty());
  CHECK(StatusOf(AdminWorld::ReadToEnd(waiting.get())) == 200);
}

TEST_CASE("the server ends with connections open, and its port is free again") {
  AdminWorld world;
  const UniqueFd open = world.ConnectRaw();
  const std::uint16_t port = world.server->port();
  world.server.reset();
  CHECK(AdminWorld::ReadToEnd(open.get()).empty());
  CHECK(ListenTcp({"127.0.0.1", port, false}));
}

TEST_CASE("a taken port is refused") {
  const AdminWorld world;
  const auto second = AdminServer::Start(
      {"127.0.0.1", world.server->port(), false}, [] { return Health{}; }, world.metrics);
  REQUIRE(!second);
  CHECK(second.error().reason == kListenFailed);
}

}  // namespace signet::net
