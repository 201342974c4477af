// The admin socket before those who should get nothing of it.

#include "proxy/admin/admin_socket.h"

#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net/local_http.h"
#include "tests/unit/proxy/proxy_world.h"

namespace signet::proxy {
namespace {

constexpr const char* kWeb = "spiffe://example.org/web";

struct AdminWorld {
  AdminWorld()
      : world(InboundYaml(backend.address(), "{id: 'spiffe://example.org/*'}",
                          "admin: /run/signet/proxy/admin.sock\n")) {
    world.Become(kWeb, svid);
    auto started = AdminSocket::Start(path(), *world.proxy, system_clock);
    REQUIRE(started);
    admin = *std::move(started);
  }
  std::string path() const { return world.directory.File("admin.sock"); }
  // The whole answer to a request as it is.
  std::string Ask(const std::string& request) const {
    auto socket = net::Connect({path(), 0, true}, std::chrono::seconds(5));
    REQUIRE(socket);
    StreamClient client(*std::move(socket));
    client.Send(request);
    return client.ReceiveToEnd();
  }

  TestBackend backend{TestBackend::Echo};
  World world;
  CertifiedKey svid = world.root.Issue(kWeb);
  SystemClock system_clock;
  std::unique_ptr<AdminSocket> admin;
};

// What `connect` and one read answer to a process of another user: nothing below allocates or
// locks.
int AskAsNobody(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  constexpr std::string_view kRequest = "GET /config HTTP/1.1\r\nHost: localhost\r\n\r\n";
  const pid_t child = ::fork();
  if (child == 0) {
    if (::setgid(65534) != 0 || ::setuid(65534) != 0) ::_exit(9);
    const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
      ::_exit(1);  // not even connected
    if (::send(fd, kRequest.data(), kRequest.size(), MSG_NOSIGNAL) < 0) ::_exit(2);
    char byte = 0;
    ::_exit(::read(fd, &byte, 1) == 1 ? 0 : 2);  // 2: closed without a word
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WEXITSTATUS(status);
}

TEST_CASE("attack 45: the admin socket shows, and does nothing") {
  const AdminWorld world;
  for (const char* target : {"/shutdown", "/quitquitquit", "/drain", "/reload", "/log?level=trace",
                             "/env", "/debug/pprof", "/../config", "http://localhost/config"}) {
    INFO(target);
    const std::string answer =
        world.Ask(std::string("GET ") + target + " HTTP/1.1\r\nHost: localhost\r\n\r\n");
    CHECK((answer.starts_with("HTTP/1.1 404") || answer.starts_with("HTTP/1.1 400")));
  }
  for (const char* method : {"POST", "PUT", "DELETE", "PATCH"})
    CHECK(world
              .Ask(std::string(method) +
                   " /config HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
              .starts_with("HTTP/1.1 405"));
  CHECK(world.world.proxy->health().ready);
}

TEST_CASE("attack 45: what the admin socket shows holds no secret") {
  AdminWorld world;
  StreamClient caller = world.world.CallAs("spiffe://example.org/shop");
  REQUIRE(caller.Send("secret payload"));
  REQUIRE(caller.Receive(14) == "secret payload");
  for (const char* target : {"/config", "/connections", "/series", "/tap"}) {
    INFO(target);
    const auto answer = net::FetchLocal({world.path(), target});
    REQUIRE(answer);
    REQUIRE(answer->status == 200);
    CHECK(answer->body.find("PRIVATE") == std::string::npos);
    const auto key = world.svid.key->ToPkcs8();
    const std::string hex = EncodeHex(key.view());
    CHECK(answer->body.find(hex.substr(hex.size() - 32)) == std::string::npos);
    CHECK(answer->body.find("secret payload") == std::string::npos);
  }
}

TEST_CASE("attack 45: the admin socket is its user's alone, also when its mode was opened") {
  const AdminWorld world;
  struct stat facts{};
  REQUIRE(::stat(world.path().c_str(), &facts) == 0);
  CHECK((facts.st_mode & 0777U) == 0600);
  if (::geteuid() != 0) {
    WARN("another user's part needs root");
    return;
  }
  REQUIRE(::chmod(world.world.directory.path().c_str(), 0755) == 0);
  CHECK(AskAsNobody(world.path()) == 1);
  REQUIRE(::chmod(world.path().c_str(), 0666) == 0);
  CHECK(AskAsNobody(world.path()) == 2);
}

}  // namespace
}  // namespace signet::proxy
