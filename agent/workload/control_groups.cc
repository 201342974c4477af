#include "agent/workload/control_groups.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>

namespace signet::agent {
namespace {

constexpr std::size_t kMostLines = 64;
constexpr std::size_t kLongestLine = 4096;
constexpr std::size_t kLongestFile = kMostLines * kLongestLine;
constexpr std::size_t kLongestUnitName = 255;
constexpr std::size_t kIdDigits = 64;

std::vector<std::string_view> PartsOf(std::string_view path) {
  std::vector<std::string_view> parts;
  while (!path.empty()) {
    const auto slash = path.find('/');
    if (slash != 0) parts.push_back(path.substr(0, slash));
    path.remove_prefix(slash == path.npos ? path.size() : slash + 1);
  }
  return parts;
}

// systemd puts "_" before names that the kernel could take for its own.
std::string_view Unescaped(std::string_view part) {
  if (part.starts_with('_')) part.remove_prefix(1);
  return part;
}

// systemd.unit(5): the letters of a unit's name, and its type.
bool IsUnitName(std::string_view name) {
  constexpr std::string_view kLetters =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\\@";
  if (name.size() > kLongestUnitName || name.find_first_not_of(kLetters) != name.npos) return false;
  const auto dot = name.rfind('.');
  if (dot == name.npos || dot == 0 || name.front() == '@') return false;
  constexpr std::array<std::string_view, 5> kTypes = {"service", "scope", "socket", "mount",
                                                      "swap"};  // those that hold processes
  return std::ranges::find(kTypes, name.substr(dot + 1)) != kTypes.end();
}

bool LeadsOut(std::string_view path) {
  return std::ranges::any_of(PartsOf(path), [](std::string_view part) { return part == ".."; });
}

bool IsContainerId(std::string_view text) {
  return text.size() == kIdDigits && text.find_first_not_of("0123456789abcdef") == text.npos;
}

std::string_view Between(std::string_view text, std::string_view prefix, std::string_view suffix) {
  if (!text.starts_with(prefix) || !text.ends_with(suffix) ||
      text.size() < prefix.size() + suffix.size())
    return {};
  text.remove_prefix(prefix.size());
  text.remove_suffix(suffix.size());
  return text;
}

// The engine and id that the name of a group, below `parent`, stands for.
std::optional<std::pair<EngineKind, std::string_view>> ReadGroupName(std::string_view parent,
                                                                     std::string_view name) {
  if (const auto id = Between(name, "docker-", ".scope"); IsContainerId(id))
    return std::pair(EngineKind::kDocker, id);
  if (const auto id = Between(name, "libpod-", ".scope"); IsContainerId(id))
    return std::pair(EngineKind::kPodman, id);
  if (const auto id = Between(name, "libpod-", ""); IsContainerId(id))
    return std::pair(EngineKind::kPodman, id);
  if (parent == "docker" && IsContainerId(name)) return std::pair(EngineKind::kDocker, name);
  if (parent == "libpod_parent" && IsContainerId(name)) return std::pair(EngineKind::kPodman, name);
  return std::nullopt;
}

// The innermost container of a path: an engine may run within a container of another one.
std::optional<ContainerClaim> ClaimOf(const ControlGroup& group) {
  std::optional<ContainerClaim> claim;
  std::string_view parent;
  for (const std::string_view part : PartsOf(group.path)) {
    if (part == "user.slice") return std::nullopt;
    if (const auto found = ReadGroupName(parent, part)) {
      const char* const end = part.data() + part.size();
      claim = ContainerClaim{found->first, std::string(found->second), group.hierarchy,
                             std::string(group.path.data(), end)};
    }
    parent = part;
  }
  return claim;
}

}  // namespace

Result<ControlGroups> ParseControlGroups(std::string_view text) {
  ControlGroups groups;
  while (!text.empty()) {
    const auto end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
    const auto first = line.find(':');
    const auto second = first == line.npos ? line.npos : line.find(':', first + 1);
    const bool whole = second != line.npos && line.size() <= kLongestLine &&
                       groups.size() < kMostLines && line.substr(second + 1, 1) == "/";
    const std::string_view hierarchy =
        whole ? line.substr(first + 1, second - first - 1) : std::string_view();
    if (!whole || std::ranges::find(groups, hierarchy, &ControlGroup::hierarchy) != groups.end())
      return Fail(Code::kInternal, kControlGroupsUnreadable,
                  fmt::format("line {} is not as in cgroups(7)", groups.size() + 1));
    groups.push_back({std::string(hierarchy), std::string(line.substr(second + 1))});
  }
  return groups;
}

Result<ControlGroups> ReadControlGroups(pid_t pid) {
  const UniqueFd file(open(fmt::format("/proc/{}/cgroup", pid).c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return Fail(Code::kUnavailable, kControlGroupsUnreadable, ErrnoText(errno));
  std::string text;
  std::array<char, 4096> buffer;
  while (text.size() <= kLongestFile) {
    const ssize_t got = read(file.get(), buffer.data(), buffer.size());
    if (got < 0) return Fail(Code::kUnavailable, kControlGroupsUnreadable, ErrnoText(errno));
    if (got == 0) return ParseControlGroups(text);
    text.append(buffer.data(), static_cast<std::size_t>(got));
  }
  return Fail(Code::kUnavailable, kControlGroupsUnreadable, "too long");
}

std::optional<SystemdUnit> UnitOf(const ControlGroups& groups) {
  // systemd's own hierarchy where there is one; the unified one holds everything otherwise.
  const auto named = std::ranges::find(groups, "name=systemd", &ControlGroup::hierarchy);
  const auto unified = std::ranges::find(groups, "", &ControlGroup::hierarchy);
  const auto chosen = named != groups.end() ? named : unified;
  if (chosen == groups.end() || LeadsOut(chosen->path)) return std::nullopt;
  SystemdUnit unit{{}, "-.slice"};
  for (const std::string_view part : PartsOf(chosen->path)) {
    const std::string_view name = Unescaped(part);
    if (name.ends_with(".slice")) {
      unit.slice = name;
      continue;
    }
    if (!IsUnitName(name)) return std::nullopt;
    unit.id = name;
    return unit;
  }
  return std::nullopt;
}

std::optional<ContainerClaim> ContainerOf(const ControlGroups& groups) {
  std::optional<ContainerClaim> claim;
  for (const ControlGroup& group : groups) {
    auto next = ClaimOf(group);
    if (!next) continue;
    if (claim && (claim->id != next->id || claim->engine != next->engine)) return std::nullopt;
    if (!claim) claim = std::move(next);
  }
  return claim;
}

bool IsWithin(const ControlGroups& groups, std::string_view hierarchy, std::string_view group) {
  const auto found = std::ranges::find(groups, hierarchy, &ControlGroup::hierarchy);
  if (found == groups.end() || !found->path.starts_with(group)) return false;
  return found->path.size() == group.size() || found->path[group.size()] == '/';
}

}  // namespace signet::agent
