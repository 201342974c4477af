// The programs under a service manager, as systemd(1) is one: they say when they serve, keep its
// watchdog fed, and take the sockets it opened for them.
#include <fcntl.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <filesystem>
#include <fstream>

#include "net/address.h"
#include "tests/support/agent_process.h"
#include "tests/support/notify_socket.h"
#include "tests/support/process.h"
#include "tests/support/server_process.h"
#include "tests/support/tools.h"

namespace signet::test {
namespace {

using std::chrono::seconds;

// A shell that becomes the program: only it knows the process id that LISTEN_PID must name.
std::vector<std::string> Managed(const NotifySocket& manager, const std::string& program,
                                 const std::string& config, const std::vector<int>& passed = {}) {
  std::string line = "NOTIFY_SOCKET='" + manager.path() + "' WATCHDOG_USEC=400000 LISTEN_PID=$$";
  line += " LISTEN_FDS=" + std::to_string(passed.size()) + " exec '" + SIGNET_BIN + "/" + program +
          "' run --config '" + config + "'";
  int target = 3;
  for (const int fd : passed) line += " " + std::to_string(target++) + "<&" + std::to_string(fd);
  return {"/bin/bash", "-c", line};
}

// Passed to the child, and well out of the way of its first descriptors.
UniqueFd Inheritable(UniqueFd fd) { return UniqueFd(fcntl(fd.get(), F_DUPFD, 100)); }

UniqueFd ListenOn(const std::string& path) {
  auto listener = net::ListenUnix(path, {});
  REQUIRE(listener);
  return Inheritable(std::move(*listener));
}

}  // namespace

TEST_CASE("a server serves on the sockets it was given, and says so") {
  const NotifySocket manager;
  const ServerProcess server(SIGNET_BIN);
  const UniqueFd admin = ListenOn(server.admin_socket());
  const TempDir folder;
  Process process(Managed(manager, "signet-server", server.config_path(), {admin.get()}),
                  folder.File("output"));
  CHECK(manager.Next(seconds(10)).starts_with("READY=1\nSTATUS=serving at 127.0.0.1:"));
  CHECK(manager.Hears("WATCHDOG=1"));
  CHECK(CreateJoinToken(*server.Admin()).size() == 36);
  process.Signal(SIGTERM);
  CHECK(manager.Hears("STOPPING=1"));
  const auto end = process.Wait(seconds(15));
  REQUIRE(end);
  CHECK(end->code == 0);
  // The manager's socket is still there: whoever connects now waits for the next start.
  CHECK(net::Connect({server.admin_socket(), 0, true}, seconds(1)));
}

TEST_CASE("whoever connects before the server is there is served when it is") {
  const NotifySocket manager;
  const ServerProcess server(SIGNET_BIN);
  const UniqueFd admin = ListenOn(server.admin_socket());
  const auto early = server.Admin();
  REQUIRE(early->GetState(true) != GRPC_CHANNEL_SHUTDOWN);
  const TempDir folder;
  Process process(Managed(manager, "signet-server", server.config_path(), {admin.get()}),
                  folder.File("output"));
  CHECK(CreateJoinToken(*early).size() == 36);
}

TEST_CASE("a stopped server does not feed the watchdog") {
  const NotifySocket manager;
  const ServerProcess server(SIGNET_BIN);
  const TempDir folder;
  Process process(Managed(manager, "signet-server", server.config_path()), folder.File("output"));
  REQUIRE(manager.Hears("WATCHDOG=1"));
  process.Signal(SIGSTOP);
  while (!manager.Next(std::chrono::milliseconds(1)).empty()) {
  }
  CHECK(manager.Next(seconds(1)).empty());
  process.Signal(SIGCONT);
  CHECK(manager.Hears("WATCHDOG=1"));
}

TEST_CASE("an agent is ready when workloads can connect, and leaves a given socket in its place") {
  const NotifySocket manager;
  ServerProcess server(SIGNET_BIN);
  server.Start();
  const AgentProcess agent(SIGNET_BIN, server,
                           "join_token: " + CreateJoinToken(*server.Admin()) + "\n");
  const UniqueFd socket = ListenOn(agent.socket());
  const TempDir folder;
  Process process(Managed(manager, "signet-agent", agent.config_path(), {socket.get()}),
                  folder.File("output"));
  // Before it, a slow start says that it lives and what it waits for.
  CHECK(manager.Hears("READY=1\nSTATUS=serving at ", seconds(60)));
  CHECK(manager.Hears("WATCHDOG=1"));
  process.Signal(SIGTERM);
  CHECK(manager.Hears("STOPPING=1"));
  REQUIRE(process.Wait(seconds(10)));
  CHECK(std::filesystem::is_socket(agent.socket()));
}

TEST_CASE("a proxy is ready when it listens, says what it lacks, and tells of a reload") {
  const NotifySocket manager;
  const TempDir folder;
  const auto bound = net::ListenTcp({"127.0.0.1", 0, false});
  REQUIRE(bound);
  const std::string address = net::LocalAddress(bound->get())->ToString();
  const UniqueFd passed = Inheritable(UniqueFd(dup(bound->get())));
  std::ofstream(folder.File("proxy.yaml")) << "workload_api: " << folder.File("nobody.sock")
                                           << "\ninbound:\n  - name: web\n    listen: " << address
                                           << "\n    forward: 127.0.0.1:9\n    allow: []\n";
  Process process(Managed(manager, "signet-proxy", folder.File("proxy.yaml"), {passed.get()}),
                  folder.File("output"));
  CHECK(manager.Next(seconds(10)) == "READY=1\nSTATUS=listening");
  CHECK(manager.Hears("STATUS=no identity"));
  CHECK(manager.Hears("WATCHDOG=1"));
  process.Signal(SIGHUP);
  CHECK(manager.Hears("RELOADING=1"));
  CHECK(manager.Hears("READY=1"));
  process.Signal(SIGTERM);
  CHECK(manager.Hears("STOPPING=1"));
  const auto end = process.Wait(seconds(15));
  REQUIRE(end);
  CHECK(end->code == 0);
}

}  // namespace signet::test
