// The agent's socket as connections see it: bounds, and who stays silent.
#include "agent/endpoints/socket_server.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <catch2/catch.hpp>

#include "agent/endpoints/health_service.h"
#include "net/address.h"
#include "tests/support/eventually.h"
#include "tests/support/temp_dir.h"

using namespace signet;
using namespace signet::agent;
using namespace std::chrono_literals;
using signet::test::TempDir;

namespace {

constexpr int kPatience = 20'000;  // milliseconds

struct World {
  explicit World(const CallerLimits& limits) : server(limits, clock, log, metrics) {
    REQUIRE(server.Serve(*net::ListenUnix(path, {}), {&health}));
  }
  UniqueFd Connect() const {
    UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    REQUIRE(connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    return fd;
  }

  TempDir dir;
  const std::string path = dir.File("api.sock");
  const SystemClock clock;
  const Logger log = Logger::Null();
  Metrics metrics;
  HealthService health;
  SocketServer server;
};

// Reads, and answers nothing, until the other side ends the connection or `milliseconds` are over.
// True: it ended.
bool IsHungUpOn(const UniqueFd& fd, int milliseconds = kPatience) {
  std::array<char, 4096> buffer{};
  while (true) {
    pollfd polled{fd.get(), POLLIN, 0};
    if (poll(&polled, 1, milliseconds) != 1) return false;
    if (recv(fd.get(), buffer.data(), buffer.size(), 0) <= 0) return true;
  }
}

// That the server has taken the connection: it speaks first (HTTP/2 SETTINGS).
bool IsGreeted(const UniqueFd& fd) {
  pollfd polled{fd.get(), POLLIN, 0};
  char first = 0;
  return poll(&polled, 1, kPatience) == 1 && recv(fd.get(), &first, 1, MSG_PEEK) == 1;
}

}  // namespace

TEST_CASE("who gives no sign of life is hung up on, whether it ever spoke HTTP/2 or not") {
  CallerLimits limits;
  limits.keepalive = 300ms;
  limits.keepalive_timeout = 300ms;
  const World world(limits);
  const UniqueFd mute = world.Connect();
  const UniqueFd started = world.Connect();
  const std::string hello("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33);
  REQUIRE(send(started.get(), hello.data(), hello.size(), MSG_NOSIGNAL) == 33);
  CHECK(IsHungUpOn(mute));
  CHECK(IsHungUpOn(started));
}

TEST_CASE("connections of a user beyond the bound are closed at once, and there is room again") {
  CallerLimits limits;
  limits.connections_per_uid = 2;
  World world(limits);
  const UniqueFd first = world.Connect();
  UniqueFd second = world.Connect();
  REQUIRE(IsGreeted(first));
  REQUIRE(IsGreeted(second));
  CHECK(IsHungUpOn(world.Connect()));
  CHECK(world.metrics.Text().find("signet_agent_connections_refused_total 1\n") !=
        std::string::npos);
  CHECK(world.server.callers().connections() == 2);
  second.Reset();
  // gRPC closes its end when it hears of ours.
  CHECK(signet::test::Eventually([&] { return IsGreeted(world.Connect()); }));
}
