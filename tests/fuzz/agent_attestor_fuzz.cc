// Any bytes as /proc/PID/cgroup, or as an engine's description of a container. The first byte
// chooses which.
#include "agent/workload/control_groups.h"
#include "agent/workload/docker/container.h"
#include "base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace signet::agent;
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 2 == 0) {
    const auto groups = ParseControlGroups(text);
    if (!groups) return 0;
    CHECK_TRUE(groups->size() <= 64);
    if (const auto unit = UnitOf(*groups)) CHECK_TRUE(unit->id.size() <= 255);
    if (const auto claim = ContainerOf(*groups)) {
      CHECK_TRUE(claim->id.size() == 64);
      CHECK_TRUE(IsWithin(*groups, claim->hierarchy, claim->group));
    }
    return 0;
  }
  if (const auto container = ParseContainer(text)) {
    CHECK_TRUE(!container->id.empty() && container->pid >= 0);
    for (const auto& selector : SelectorsOf(*container, {"A"}))
      CHECK_TRUE(selector.type == "docker" && selector.value.find(':') != std::string::npos);
  }
  return 0;
}
