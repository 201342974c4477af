// The docker attestor against an engine that does as it is told.
#include "agent/workload/docker/docker_attestor.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <map>
#include <mutex>
#include <thread>

#include "net/address.h"
#include "tests/support/temp_dir.h"

using namespace signet;
using namespace signet::agent;
using namespace std::chrono_literals;
using signet::test::TempDir;

namespace {

const std::string kId(64, 'c');
const std::string kDigest = "sha256:" + std::string(64, 'd');

std::string Describe(const std::string& id, pid_t pid, bool running = true) {
  return fmt::format(
      R"({{"Id":"{}","Image":"{}","State":{{"Running":{},"Pid":{}}},"Config":{{"Image":"web:1",)"
      R"("Labels":{{"app":"shop","b":""}},"Env":["MODE=prod","PASSWORD=x","MODE2=y","BARE"]}}}})",
      id, kDigest, running, pid);
}

std::string Http(const std::string& body, const std::string& status = "200 OK") {
  return fmt::format(
      "HTTP/1.1 {}\r\nContent-Length: {}\r\nContent-Type: application/json\r\n\r\n{}", status,
      body.size(), body);
}

// Answers each connection with the text it was given, whatever is asked.
class FakeEngine {
 public:
  FakeEngine() : listener_(*net::ListenUnix(path_, {})) {
    thread_ = std::thread([this] { Serve(); });
  }
  ~FakeEngine() {
    stop_ = true;
    shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }
  // Before it is asked. Empty: it takes the request and says nothing.
  void Say(std::string answer) {
    const std::lock_guard lock(mutex_);
    answer_ = std::move(answer);
  }
  const std::string& path() const { return path_; }
  std::string asked() const {  // after an answer
    const std::lock_guard lock(mutex_);
    return asked_;
  }
  int connections() const { return connections_; }

 private:
  void Serve() {
    while (!stop_) {
      pollfd polled{listener_.get(), POLLIN, 0};
      poll(&polled, 1, -1);
      UniqueFd connection(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!connection.valid()) continue;
      ++connections_;
      char buffer[4096];
      const ssize_t got = read(connection.get(), buffer, sizeof buffer);
      const std::string answer =
          Note({buffer, static_cast<std::size_t>(std::max<ssize_t>(got, 0))});
      if (answer.empty()) {
        while (read(connection.get(), buffer, sizeof buffer) > 0) continue;
      } else {
        send(connection.get(), answer.data(), answer.size(), MSG_NOSIGNAL);
      }
    }
  }

  std::string Note(std::string_view request) {
    const std::lock_guard lock(mutex_);
    asked_ = request;
    return answer_;
  }

  TempDir dir_;
  const std::string path_ = dir_.File("engine.sock");
  const UniqueFd listener_;
  mutable std::mutex mutex_;  // guards what follows
  std::string answer_, asked_;
  std::atomic<int> connections_{0};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

struct World {
  Result<std::vector<identity::Selector>> Attest(Duration patience = 20s) {
    DockerAttestorOptions options;
    options.docker_socket = docker.path();
    options.podman_socket = podman.path();
    options.allowed_variables = {"MODE"};
    DockerAttestor attestor(options, clock, [this](pid_t pid) -> Result<ControlGroups> {
      const auto found = groups.find(pid);
      if (found == groups.end()) return Fail(Code::kUnavailable, kControlGroupsUnreadable);
      return ControlGroups{{"", found->second}};
    });
    net::PeerCredentials caller;
    caller.pid = kCaller;
    return attestor.Attest(caller, clock.SteadyNow() + patience);
  }

  static constexpr pid_t kCaller = 1 << 30;  // of no process: only its groups are looked at
  SystemClock clock;
  FakeEngine docker, podman;
  // This process plays the container's first one.
  std::map<pid_t, std::string> groups{{kCaller, "/docker/" + kId},
                                      {getpid(), "/docker/" + kId + "/init"}};
};

std::vector<std::string> Texts(const std::vector<identity::Selector>& selectors) {
  std::vector<std::string> texts;
  for (const auto& selector : selectors) texts.push_back(selector.ToString());
  return texts;
}

}  // namespace

TEST_CASE("a container's labels, image and allowed variables are its selectors") {
  World world;
  world.docker.Say(Http(Describe(kId, getpid())));
  const auto selectors = world.Attest();
  REQUIRE(selectors);
  CHECK(Texts(*selectors) == std::vector<std::string>{"docker:label:app:shop",
                                                      "docker:label:b:", "docker:image_id:web:1",
                                                      "docker:image_config_digest:" + kDigest,
                                                      "docker:env:MODE=prod"});
  CHECK(world.docker.asked().starts_with("GET /containers/" + kId + "/json HTTP/1.1\r\n"));
  CHECK(world.podman.connections() == 0);
}

TEST_CASE("Podman is asked about Podman's containers, and chunks are understood") {
  World world;
  world.groups[World::kCaller] = "/machine.slice/libpod-" + kId + ".scope/container";
  world.groups[getpid()] = world.groups[World::kCaller];
  const std::string body = Describe(kId, getpid());
  world.podman.Say(
      fmt::format("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{}\r\n"
                  "0\r\n\r\n",
                  body.size(), body));
  const auto selectors = world.Attest();
  REQUIRE(selectors);
  CHECK(selectors->size() == 5);
  CHECK(world.docker.connections() == 0);
}

TEST_CASE("a group named for somebody else's container grants nothing") {
  World world;
  world.docker.Say(Http(Describe(kId, getpid())));
  SECTION("its first process stands elsewhere") { world.groups[getpid()] = "/docker/x"; }
  SECTION("its first process's groups cannot be read") { world.groups.erase(getpid()); }
  SECTION("it does not run") { world.docker.Say(Http(Describe(kId, getpid(), false))); }
  SECTION("its first process is gone") { world.docker.Say(Http(Describe(kId, 0x7ffffffe))); }
  SECTION("the engine tells of another one") {
    world.docker.Say(Http(Describe(std::string(64, 'e'), getpid())));
  }
  SECTION("the engine knows none") { world.docker.Say(Http("{}", "404 Not Found")); }
  const auto selectors = world.Attest();
  REQUIRE(selectors);
  CHECK(selectors->empty());
}

TEST_CASE("outside of containers no engine is asked") {
  World world;
  world.groups[World::kCaller] = "/system.slice/nginx.service";
  REQUIRE(world.Attest());
  CHECK(world.Attest()->empty());
  CHECK(world.docker.connections() == 0);
}

TEST_CASE("an engine that fails is an error, not an answer") {
  World world;
  SECTION("a status") {
    world.docker.Say(Http("{}", "500 Internal Server Error"));
    CHECK(world.Attest().error().reason == kEngineAway);
  }
  SECTION("silence, no longer than the deadline") {
    CHECK(world.Attest(30ms).error().reason == kEngineAway);
  }
  SECTION("too much") {
    world.docker.Say("HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n" + std::string(1000, ' '));
    CHECK(world.Attest().error().reason == kEngineAway);
  }
  SECTION("no HTTP") {
    world.docker.Say("SSH-2.0-x\r\n\r\n");
    CHECK(world.Attest().error().reason == kEngineAway);
  }
  SECTION("no container") {
    world.docker.Say(Http(R"({"Id":""})"));
    CHECK(world.Attest().error().reason == kContainerMalformed);
  }
}

TEST_CASE("descriptions of containers are read strictly") {
  for (const char* text :
       {"", "[]", "{}", R"({"Id":1})", R"({"Id":"x"})", R"({"Id":"x","Config":[]})",
        R"({"Id":"x","Id":"y","Config":{}})", R"({"Id":"x","Config":{"Labels":{"a":1}}})",
        R"({"Id":"x","Config":{"Env":[1]}})",
        R"({"Id":"x","Config":{}} )"
        "x"}) {
    INFO(text);
    CHECK(ParseContainer(text).error().reason == kContainerMalformed);
  }
  const auto bare = ParseContainer(
      R"({"Id":"x","Config":{"Labels":null,"Env":null},"State":{"Running":true,"Pid":-1}})");
  REQUIRE(bare);
  CHECK(bare->pid == 0);
  CHECK(SelectorsOf(*bare, {}).empty());
}
