#include "agent/workload/unix_attestor.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <charconv>

namespace signet::agent {
namespace {

constexpr std::size_t kStatusLimit = 1U << 20;  // 65,536 groups of ten digits fit
constexpr std::string_view kDeletedSuffix = " (deleted)";

identity::Selector Unix(std::string_view name, std::string_view value) {
  return {"unix", fmt::format("{}:{}", name, value)};
}

UniqueFd OpenAt(int folder, const char* name, int flags) {
  return UniqueFd(openat(folder, name, flags | O_CLOEXEC));
}

Result<std::string> ReadWhole(int folder, const char* name) {
  const UniqueFd file = OpenAt(folder, name, O_RDONLY);
  if (!file.valid()) return Fail(Code::kUnavailable, kCallerUnreadable, ErrnoText(errno));
  std::string content;
  std::array<char, 4096> buffer;
  while (content.size() < kStatusLimit) {
    const ssize_t got = read(file.get(), buffer.data(), buffer.size());
    if (got < 0) return Fail(Code::kUnavailable, kCallerUnreadable, ErrnoText(errno));
    if (got == 0) return content;
    content.append(buffer.data(), static_cast<std::size_t>(got));
  }
  return Fail(Code::kUnavailable, kCallerUnreadable, "status too long");
}

// The numbers of the line "Name:\t1\t2 3".
std::vector<std::uint32_t> NumbersOf(std::string_view status, std::string_view name) {
  std::vector<std::uint32_t> numbers;
  const std::string label = fmt::format("\n{}:", name);
  const auto found = status.find(label);
  if (found == status.npos) return numbers;
  std::string_view line = status.substr(found + label.size());
  line = line.substr(0, line.find('\n'));
  const char* at = line.data();
  const char* const end = line.data() + line.size();
  while (at < end) {
    if (*at == ' ' || *at == '\t') {
      ++at;
      continue;
    }
    std::uint32_t number = 0;
    const auto [next, error] = std::from_chars(at, end, number);
    if (error != std::errc()) break;
    numbers.push_back(number);
    at = next;
  }
  return numbers;
}

// Calls getpwuid_r or getgrgid_r with a buffer that is large enough.
template <class Record, class Lookup>
std::optional<std::string> NameBy(Lookup lookup, char* Record::* name) {
  constexpr std::size_t kLargest = 1U << 20;
  Record record{};
  Record* found = nullptr;
  for (std::size_t size = 1024; size <= kLargest; size *= 4) {
    std::vector<char> buffer(size);
    const int error = lookup(&record, buffer.data(), buffer.size(), &found);
    if (error == ERANGE) continue;
    if (error != 0 || found == nullptr) return std::nullopt;
    return std::string(found->*name);
  }
  return std::nullopt;
}

std::optional<std::string> UserName(uid_t uid) {
  return NameBy<passwd>([&](auto... rest) { return getpwuid_r(uid, rest...); }, &passwd::pw_name);
}

std::optional<std::string> GroupName(gid_t gid) {
  return NameBy<group>([&](auto... rest) { return getgrgid_r(gid, rest...); }, &group::gr_name);
}

bool SameFile(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

bool SeesOurMounts(int proc_fd) {
  struct stat theirs{}, ours{};
  return fstatat(proc_fd, "ns/mnt", &theirs, 0) == 0 && stat("/proc/self/ns/mnt", &ours) == 0 &&
         SameFile(theirs, ours);
}

// Where the binary lies, if that can be said truthfully.
std::optional<std::string> PathOf(int proc_fd, const struct stat& binary) {
  std::string path(4096, '\0');
  const ssize_t length = readlinkat(proc_fd, "exe", path.data(), path.size());
  if (length <= 0 || static_cast<std::size_t>(length) == path.size()) return std::nullopt;
  path.resize(static_cast<std::size_t>(length));
  if (path.front() != '/') return std::nullopt;
  struct stat seen{};
  if (stat(path.c_str(), &seen) == 0 && SameFile(seen, binary)) return path;
  if (!SeesOurMounts(proc_fd)) return std::nullopt;
  // Replaced by an update while the process goes on: it was started from there.
  if (path.ends_with(kDeletedSuffix)) path.resize(path.size() - kDeletedSuffix.size());
  return path;
}

}  // namespace

UnixAttestor::UnixAttestor(const UnixAttestorOptions& options, Metrics& metrics)
    : options_(options),
      omitted_(
          metrics.Counter("signet_agent_attestation_facts_omitted_total",
                          "Paths and digests of callers' binaries that could not be learned")) {}

void UnixAttestor::AddBinary(int proc_fd, std::vector<identity::Selector>* selectors) {
  const UniqueFd binary = OpenAt(proc_fd, "exe", O_RDONLY);
  struct stat opened{}, again{};
  if (!binary.valid() || fstat(binary.get(), &opened) != 0) return omitted_.Add();
  const auto path = PathOf(proc_fd, opened);
  std::optional<ca::Sha256Digest> digest;
  if (options_.sha256_limit > 0) digest = digests_.DigestOf(binary.get(), options_.sha256_limit);
  // Another binary may have been executed meanwhile; then nothing is said about either.
  const UniqueFd now = OpenAt(proc_fd, "exe", O_PATH);
  if (!now.valid() || fstat(now.get(), &again) != 0 || !SameFile(opened, again))
    return omitted_.Add();
  if (path) selectors->push_back(Unix("path", *path));
  if (digest) selectors->push_back(Unix("sha256", EncodeHex(*digest)));
  if (!path || (!digest && options_.sha256_limit > 0)) omitted_.Add();
}

Result<identity::SelectorSet> UnixAttestor::Attest(const net::PeerCredentials& peer) {
  if (peer.pid <= 0)
    return Fail(Code::kUnavailable, kCallerUnreadable, "it is of another pid namespace");
  // The folder stands for this process alone: once it is gone, reads in it fail.
  const UniqueFd proc(
      open(fmt::format("/proc/{}", peer.pid).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!proc.valid()) return Fail(Code::kUnavailable, kCallerGone, ErrnoText(errno));
  SIGNET_TRY(const std::string status, ReadWhole(proc.get(), "status"));
  std::vector<identity::Selector> selectors;
  selectors.push_back(Unix("uid", std::to_string(peer.uid)));
  selectors.push_back(Unix("gid", std::to_string(peer.gid)));
  if (const auto name = UserName(peer.uid)) selectors.push_back(Unix("user", *name));
  if (const auto name = GroupName(peer.gid)) selectors.push_back(Unix("group", *name));
  for (const std::uint32_t gid : NumbersOf(status, "Groups")) {
    selectors.push_back(Unix("supplementary_gid", std::to_string(gid)));
    if (const auto name = GroupName(gid)) selectors.push_back(Unix("supplementary_group", *name));
  }
  if (options_.discover_path) AddBinary(proc.get(), &selectors);

  // Real, effective, saved, file system: the kernel told us the effective ones, as of connect().
  SIGNET_TRY(const std::string after, ReadWhole(proc.get(), "status"));
  const auto uids = NumbersOf(after, "Uid");
  const auto gids = NumbersOf(after, "Gid");
  if (uids.size() < 2 || gids.size() < 2 || uids[1] != peer.uid || gids[1] != peer.gid)
    return Fail(Code::kUnavailable, kCallerChanged);
  if (!net::IsAlive(peer)) return Fail(Code::kUnavailable, kCallerGone);
  return identity::MakeSelectorSet(std::move(selectors));
}

}  // namespace signet::agent
