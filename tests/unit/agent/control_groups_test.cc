// What control groups say of units and containers, and what they are not believed.
#include "agent/workload/control_groups.h"

#include <unistd.h>

#include <catch2/catch.hpp>

using namespace signet;
using namespace signet::agent;

namespace {

const std::string kId(64, 'a');
const std::string kOther = std::string(63, 'a') + "b";

ControlGroups Unified(const std::string& path) { return {{"", path}}; }

std::string UnitText(const ControlGroups& groups) {
  const auto unit = UnitOf(groups);
  return unit ? unit->id + " in " + unit->slice : "none";
}

std::string ClaimText(const ControlGroups& groups) {
  const auto claim = ContainerOf(groups);
  if (!claim) return "none";
  return (claim->engine == EngineKind::kPodman ? "podman " : "docker ") + claim->id + " " +
         claim->group;
}

}  // namespace

TEST_CASE("/proc/PID/cgroup is read line by line, version 1 and 2") {
  const auto groups = ParseControlGroups(
      "9:name=systemd:/system.slice/a.service\n4:memory,cpu:/x:y\n0::/init.scope\n");
  REQUIRE(groups);
  REQUIRE(groups->size() == 3);
  CHECK((*groups)[0].hierarchy == "name=systemd");
  CHECK((*groups)[1].path == "/x:y");
  CHECK((*groups)[2].hierarchy.empty());
  CHECK(ParseControlGroups("")->empty());
  CHECK_FALSE(ReadControlGroups(getpid())->empty());
  CHECK(ReadControlGroups(0x7fffffff).error().reason == kControlGroupsUnreadable);
}

TEST_CASE("what is not as in cgroups(7), or too much, is refused") {
  std::string many;
  for (int i = 0; i < 65; ++i) many += std::to_string(i) + ":name=h" + std::to_string(i) + ":/\n";
  for (const std::string& text :
       {std::string("0:/\n"), std::string("0::relative\n"), std::string("x\n"),
        std::string("0::\n"), std::string("9:pids:/a\n0::/\n8:pids:/b\n"),
        "0::/" + std::string(5000, 'x') + "\n", many})
    CHECK(ParseControlGroups(text).error().reason == kControlGroupsUnreadable);
}

TEST_CASE("a process's unit is the first one below the slices") {
  for (const auto& [path, unit] : std::vector<std::pair<std::string, std::string>>{
           {"/system.slice/nginx.service", "nginx.service in system.slice"},
           {"/system.slice/system-getty.slice/getty@tty1.service",
            "getty@tty1.service in system-getty.slice"},
           {"/init.scope", "init.scope in -.slice"},
           {"/system.slice/web.service/worker/1", "web.service in system.slice"},
           // Below a user's manager the user names groups: they are not the system's units.
           {"/user.slice/user-1000.slice/user@1000.service/app.slice/nginx.service",
            "user@1000.service in user-1000.slice"},
           {"/user.slice/user-0.slice/session-2.scope", "session-2.scope in user-0.slice"},
           {"/system.slice/_cpu.service", "cpu.service in system.slice"},
           {"/", "none"},
           {"/docker/" + kId, "none"},
           {"/lxc/nginx.service", "none"},  // a part that is no unit hides what is below
           {"/../nginx.service", "none"},
           {"/system.slice/../nginx.service", "none"},
           {"/system.slice/nginx.device", "none"},
           {"/system.slice/.service", "none"},
           {"/system.slice/a b.service", "none"},
           {"/system.slice/" + std::string(300, 'x') + ".service", "none"}}) {
    INFO(path);
    CHECK(UnitText(Unified(path)) == unit);
  }
}

TEST_CASE("systemd's own hierarchy wins over the unified one") {
  CHECK(UnitText({{"memory", "/m.service"}, {"", "/u.service"}, {"name=systemd", "/s.service"}}) ==
        "s.service in -.slice");
  CHECK(UnitText({{"memory", "/m.service"}}) == "none");
  CHECK(UnitText({}) == "none");
}

TEST_CASE("a container is known by the groups that engines make") {
  for (const auto& [path, claim] : std::vector<std::pair<std::string, std::string>>{
           {"/docker/" + kId, "docker " + kId + " /docker/" + kId},
           {"/system.slice/docker-" + kId + ".scope/sub",
            "docker " + kId + " /system.slice/docker-" + kId + ".scope"},
           {"/machine.slice/libpod-" + kId + ".scope/container",
            "podman " + kId + " /machine.slice/libpod-" + kId + ".scope"},
           {"/libpod_parent/libpod-" + kId, "podman " + kId + " /libpod_parent/libpod-" + kId},
           {"/docker/" + kId + "/docker/" + kOther,
            "docker " + kOther + " /docker/" + kId + "/docker/" + kOther},
           {"/machine.slice/libpod-conmon-" + kId + ".scope", "none"},
           {"/user.slice/user-1000.slice/user@1000.service/docker/" + kId, "none"},
           {"/x/" + kId, "none"},
           {"/docker/" + kId.substr(1), "none"},
           {"/docker/" + kId + "a", "none"},
           {"/docker/" + std::string(64, 'A'), "none"},
           {"/docker/" + std::string(63, 'a') + "/", "none"},
           {"/system.slice/docker-.scope", "none"}}) {
    INFO(path);
    CHECK(ClaimText(Unified(path)) == claim);
  }
}

TEST_CASE("groups that name several containers name none") {
  CHECK(ClaimText({{"memory", "/docker/" + kId}, {"cpu", "/docker/" + kId}, {"", "/"}}) ==
        "docker " + kId + " /docker/" + kId);
  CHECK(ClaimText({{"memory", "/docker/" + kId}, {"cpu", "/docker/" + kOther}}) == "none");
  CHECK(ClaimText({{"memory", "/docker/" + kId}, {"cpu", "/libpod-" + kId}}) == "none");
}

TEST_CASE("within a group is the group itself and what is below it, in the same hierarchy") {
  const ControlGroups groups = {{"memory", "/docker/a/b"}, {"", "/docker/ab"}};
  CHECK(IsWithin(groups, "memory", "/docker/a"));
  CHECK(IsWithin(groups, "memory", "/docker/a/b"));
  CHECK_FALSE(IsWithin(groups, "memory", "/docker/a/b/c"));
  CHECK_FALSE(IsWithin(groups, "", "/docker/a"));
  CHECK_FALSE(IsWithin(groups, "cpu", "/docker/a"));
  CHECK_FALSE(IsWithin({}, "", "/"));
}
