#include "net/passed_sockets.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "net/address.h"

namespace signet::net {
namespace {

constexpr int kFirstPassed = 3;  // SD_LISTEN_FDS_START
constexpr int kMostPassed = 64;
constexpr int kMostGiven = 65536;
constexpr const char* kGiven = "SIGNET_GIVEN_LISTENERS";  // how many; the pipe comes after them

struct PassedSocket {
  int fd;
  std::size_t taken = 0;  // how often
};

// A manager's are never closed: a socket closed here would still be open there.
struct PassedSockets {
  std::vector<PassedSocket> all;
  UniqueFd predecessor;
  bool given = false;  // by a predecessor, not by a manager
  bool files_left = false;
};

PassedSockets& State() {
  static PassedSockets state;
  return state;
}

int TakeNumber(const char* name) {
  const char* const value = std::getenv(name);
  const std::string_view text = value == nullptr ? "" : value;
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool whole = !text.empty() && error == std::errc() && end == text.data() + text.size();
  unsetenv(name);
  return whole ? number : 0;
}

int SocketOption(int fd, int option) {
  int value = 0;
  socklen_t size = sizeof value;
  return getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 ? value : 0;
}

bool IsStreamListener(int fd) {
  return SocketOption(fd, SO_TYPE) == SOCK_STREAM && SocketOption(fd, SO_ACCEPTCONN) != 0;
}

bool SameInet(const sockaddr* a, const sockaddr* b) {
  if (a->sa_family == AF_INET) {
    const auto& left = *reinterpret_cast<const sockaddr_in*>(a);
    const auto& right = *reinterpret_cast<const sockaddr_in*>(b);
    return left.sin_port == right.sin_port && left.sin_addr.s_addr == right.sin_addr.s_addr;
  }
  const auto& left = *reinterpret_cast<const sockaddr_in6*>(a);
  const auto& right = *reinterpret_cast<const sockaddr_in6*>(b);
  return left.sin6_port == right.sin6_port && left.sin6_scope_id == right.sin6_scope_id &&
         std::memcmp(&left.sin6_addr, &right.sin6_addr, sizeof left.sin6_addr) == 0;
}

// Of a socket with a name in the file system; empty: it has none.
std::string_view PathOf(const sockaddr_un& address, socklen_t length) {
  const auto room = static_cast<std::size_t>(length) - offsetof(sockaddr_un, sun_path);
  if (length <= offsetof(sockaddr_un, sun_path)) return {};
  return {address.sun_path, strnlen(address.sun_path, room)};
}

bool IsBoundTo(int fd, const sockaddr* wanted, socklen_t length) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  auto* const bound = reinterpret_cast<sockaddr*>(&storage);
  if (getsockname(fd, bound, &size) != 0 || bound->sa_family != wanted->sa_family) return false;
  if (wanted->sa_family == AF_INET || wanted->sa_family == AF_INET6) return SameInet(bound, wanted);
  if (wanted->sa_family != AF_UNIX) return false;
  const auto path = PathOf(*reinterpret_cast<const sockaddr_un*>(wanted), length);
  return !path.empty() && path == PathOf(*reinterpret_cast<const sockaddr_un*>(bound), size);
}

PassedSocket* Find(const sockaddr* address, socklen_t length) {
  PassedSocket* found = nullptr;
  for (PassedSocket& each : State().all)
    if (IsBoundTo(each.fd, address, length) && (found == nullptr || each.taken < found->taken))
      found = &each;
  return found;
}

void Keep(int fd) {
  if (!IsStreamListener(fd)) {
    close(fd);
    return;
  }
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  State().all.push_back({fd});
}

}  // namespace

std::size_t TakePassedSockets() {
  const bool ours = TakeNumber("LISTEN_PID") == static_cast<int>(getpid());
  const int count = TakeNumber("LISTEN_FDS");
  unsetenv("LISTEN_FDNAMES");
  const int given = std::clamp(TakeNumber(kGiven), 0, kMostGiven);
  if (given > 0) {
    for (int fd = kFirstPassed; fd < kFirstPassed + given; ++fd) Keep(fd);
    State().predecessor.Reset(kFirstPassed + given);
    fcntl(kFirstPassed + given, F_SETFD, FD_CLOEXEC);
    State().given = true;
  } else if (ours && count <= kMostPassed) {
    for (int fd = kFirstPassed; fd < kFirstPassed + count; ++fd) Keep(fd);
  }
  return State().all.size();
}

UniqueFd PassedListener(const sockaddr* address, socklen_t length) {
  PassedSocket* const found = Find(address, length);
  if (found == nullptr) return UniqueFd();
  ++found->taken;
  return UniqueFd(fcntl(found->fd, F_DUPFD_CLOEXEC, 0));
}

bool IsPassedPath(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return false;
  std::memcpy(address.sun_path, path.data(), path.size());
  return Find(reinterpret_cast<const sockaddr*>(&address), sizeof address) != nullptr;
}

std::size_t MostPassedQueues() {
  std::size_t most = 0;
  for (const PassedSocket& each : State().all) {
    sockaddr_storage bound{};
    socklen_t length = sizeof bound;
    if (getsockname(each.fd, reinterpret_cast<sockaddr*>(&bound), &length) != 0) continue;
    most = std::max(
        most,
        static_cast<std::size_t>(std::ranges::count_if(State().all, [&](const PassedSocket& other) {
          return IsBoundTo(other.fd, reinterpret_cast<const sockaddr*>(&bound), length);
        })));
  }
  return most;
}

UniqueFd TakePredecessor() { return std::move(State().predecessor); }

void CloseGiven() {
  if (!State().given) return;
  for (const PassedSocket& each : State().all) close(each.fd);
  State().all.clear();
}

Result<ListenerGift> GiveListeners() {
  const auto failed = [](int error) {
    return Fail(Code::kUnavailable, kListenFailed, "to hand over: " + ErrnoText(error));
  };
  ListenerGift gift;
  std::set<ino_t> queues;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd", error)) {
    const int fd = std::atoi(entry.path().filename().c_str());
    struct stat facts{};
    if (fstat(fd, &facts) != 0 || !S_ISSOCK(facts.st_mode) || !IsStreamListener(fd)) continue;
    if (!queues.insert(facts.st_ino).second) continue;
    gift.descriptors.emplace_back(fcntl(fd, F_DUPFD_CLOEXEC, 0));
    if (!gift.descriptors.back().valid()) return failed(errno);
  }
  if (error) return failed(error.value());
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return failed(errno);
  gift.ready.Reset(ends[0]);
  gift.variable = std::string(kGiven) + "=" + std::to_string(gift.descriptors.size());
  gift.descriptors.emplace_back(ends[1]);
  return gift;
}

void LeaveSocketFiles() { State().files_left = true; }
bool SocketFilesAreLeft() { return State().files_left; }

}  // namespace signet::net
