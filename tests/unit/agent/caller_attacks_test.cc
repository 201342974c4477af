// Who tries to be taken for somebody else: by a number that changed hands, from other namespaces,
// over a relay, by a change of user after connecting. Needs root for most of it.
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <iterator>
#include <mutex>
#include <thread>

#include "agent/workload/unix_attestor.h"
#include "net/peer_pin.h"

using namespace signet;
using namespace signet::agent;

namespace {

constexpr gid_t kVictimGroup = 424242;
constexpr uid_t kNobody = 65534;

// A listening socket in the abstract name space, under a name the kernel chose: no user is kept
// from it by a folder's mode.
struct Listener {
  Listener() : fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un any{};
    any.sun_family = AF_UNIX;
    REQUIRE(bind(fd.get(), reinterpret_cast<sockaddr*>(&any), sizeof(sa_family_t)) == 0);
    REQUIRE(listen(fd.get(), 16) == 0);
    length = sizeof address;
    REQUIRE(getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length) == 0);
  }
  bool ConnectFrom(int client) const {
    return connect(client, reinterpret_cast<const sockaddr*>(&address), length) == 0;
  }
  UniqueFd Accept() const { return UniqueFd(accept4(fd.get(), nullptr, nullptr, SOCK_CLOEXEC)); }

  UniqueFd fd;
  sockaddr_un address{};
  socklen_t length = 0;
};

UniqueFd NewSocket() { return UniqueFd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)); }

struct Pipe {
  Pipe() {
    int ends[2];
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    out.Reset(ends[0]);
    in.Reset(ends[1]);
  }
  bool Wait() const {
    char byte = 0;
    return read(out.get(), &byte, 1) == 1;
  }
  bool Tell() const { return write(in.get(), "x", 1) == 1; }
  UniqueFd out, in;
};

// fork(), under this very number when it is not 0. -1 with errno: EEXIST when somebody has it.
pid_t ForkAs(pid_t number) {
  clone_args arguments{};
  arguments.exit_signal = SIGCHLD;
  if (number != 0) {
    arguments.set_tid = reinterpret_cast<std::uint64_t>(&number);
    arguments.set_tid_size = 1;
  }
  return static_cast<pid_t>(syscall(SYS_clone3, &arguments, sizeof arguments));
}

// A child that runs `play` (system calls only), then waits to be told to end.
class Child {
 public:
  explicit Child(const std::function<bool()>& play) {
    pid_ = ForkAs(0);
    if (pid_ == 0) {
      const bool played = play();
      if (played && ready_.Tell()) end_.Wait();
      _exit(played ? 0 : 1);
    }
    ready_.in.Reset();
    began_ = ready_.Wait();
  }
  ~Child() {
    end_.Tell();
    waitpid(pid_, nullptr, 0);
  }
  bool began() const { return began_; }
  pid_t pid() const { return pid_; }

 private:
  Pipe ready_, end_;
  pid_t pid_ = -1;
  bool began_ = false;
};

bool Has(const Result<identity::SelectorSet>& selectors, const std::string& text) {
  return selectors && identity::IsSubset({*identity::Selector::Parse(text)}, *selectors);
}

std::string Uid(uid_t uid) { return "unix:uid:" + std::to_string(uid); }

bool IsRoot() {
  if (geteuid() == 0) return true;
  WARN("left out: only root may take another's number, user or namespace");
  return false;
}

std::ptrdiff_t OpenDescriptors() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
}

// Attests whoever it is given over and over, on a thread of its own, to be caught in the middle.
class Watcher {
 public:
  Watcher() : thread_([this] { Watch(); }) {}
  ~Watcher() {
    stop_ = true;
    thread_.join();
  }
  void Give(const net::PeerCredentials* peer) {
    const std::lock_guard lock(mutex_);
    peer_ = peer;
  }
  Result<identity::SelectorSet> Attest(const net::PeerCredentials& peer) {
    auto selectors = attestor_.Attest(peer);
    if (Has(selectors, "unix:supplementary_gid:" + std::to_string(kVictimGroup))) ++wrong_;
    return selectors;
  }
  int wrong() const { return wrong_; }
  int looks() const { return looks_; }

 private:
  void Watch() {
    while (!stop_) {
      {
        const std::lock_guard lock(mutex_);
        if (peer_ != nullptr) {
          Attest(*peer_);
          ++looks_;
        }
      }
      std::this_thread::yield();
    }
  }
  Metrics metrics_;
  UnixAttestor attestor_{{}, metrics_};
  std::mutex mutex_;
  const net::PeerCredentials* peer_ = nullptr;
  std::atomic<bool> stop_{false};
  std::atomic<int> wrong_{0}, looks_{0};
  std::thread thread_;
};

using Read = Result<net::PeerCredentials> (*)(int);
enum class Moment { kBeforeRead, kAfterRead };  // when the number changes hands

// One process connects and ends; another one, of more groups, is made under its number while the
// connection is being attested. Answers whether it got that number; `refused`: nobody was taken for
// anybody afterwards.
bool TryOnce(const Listener& listener, Read read, Moment moment, Watcher* watcher, bool* refused) {
  const UniqueFd client = NewSocket();
  const Pipe go;
  const pid_t liar = ForkAs(0);
  if (liar == 0) _exit(listener.ConnectFrom(client.get()) && go.Wait() ? 0 : 1);
  const UniqueFd accepted = listener.Accept();
  const auto end_liar = [&] { return go.Tell() && waitpid(liar, nullptr, 0) == liar; };
  if (moment == Moment::kBeforeRead) REQUIRE(end_liar());
  Result<net::PeerCredentials> peer = Fail(Code::kUnknown, Reason{});
  if (moment == Moment::kAfterRead) {
    peer = read(accepted.get());
    REQUIRE(peer);
    watcher->Give(&*peer);
    REQUIRE(end_liar());
  }
  const Pipe up;
  const pid_t victim = ForkAs(liar);
  if (victim == 0) {
    const gid_t groups[] = {kVictimGroup};
    if (syscall(SYS_setgroups, 1, groups) == 0 && up.Tell()) pause();
    _exit(1);
  }
  const bool reused = victim == liar && up.Wait();
  if (moment == Moment::kBeforeRead) {
    peer = read(accepted.get());
    REQUIRE(peer);
  }
  *refused = !watcher->Attest(*peer);
  watcher->Give(nullptr);
  if (victim > 0) {
    kill(victim, SIGKILL);
    waitpid(victim, nullptr, 0);
  }
  return reused;
}

int Tries() {
#ifdef __SANITIZE_THREAD__
  constexpr int kUsual = 20;  // a fork copies the sanitizer's own memory, too
#else
  constexpr int kUsual = 200;
#endif
  const char* asked = std::getenv("SIGNET_PID_TRIES");
  return asked == nullptr ? kUsual : std::atoi(asked);
}

}  // namespace

TEST_CASE("a number that changed hands is nobody's: no wrong identity, no descriptor lost") {
  if (!IsRoot()) return;
  const pid_t probe = ForkAs(0);
  if (probe == 0) _exit(0);
  waitpid(probe, nullptr, 0);
  const pid_t again = ForkAs(probe);
  if (again == 0) _exit(0);
  if (again < 0 && errno == EPERM) {
    WARN("left out: numbers cannot be chosen here");
    return;
  }
  if (again > 0) waitpid(again, nullptr, 0);

  const Listener listener;
  Watcher watcher;
  const std::ptrdiff_t descriptors = OpenDescriptors();
  for (const auto& [read, moment] :
       {std::pair<Read, Moment>{&net::ReadPeerCredentials, Moment::kBeforeRead},
        {&net::ReadPeerCredentials, Moment::kAfterRead},
        {&net::ReadPeerByNumber, Moment::kAfterRead}}) {
    int reused = 0, taken = 0;
    for (int i = 0; i < Tries(); ++i) {
      bool refused = false;
      if (!TryOnce(listener, read, moment, &watcher, &refused)) continue;
      ++reused;
      if (!refused) ++taken;
    }
    CHECK(reused > Tries() / 2);  // now and then somebody else gets the number first
    CHECK(taken == 0);
  }
  CHECK(watcher.wrong() == 0);
  CHECK(watcher.looks() > 0);
  CHECK(OpenDescriptors() == descriptors);
}

TEST_CASE("before Linux 6.5, too, a caller that ended before it was looked at is gone") {
  const Listener listener;
  const UniqueFd client = NewSocket();
  const pid_t liar = ForkAs(0);
  if (liar == 0) _exit(listener.ConnectFrom(client.get()) ? 0 : 1);
  const UniqueFd accepted = listener.Accept();
  waitpid(liar, nullptr, 0);
  const auto peer = net::ReadPeerByNumber(accepted.get());
  REQUIRE(peer);
  CHECK_FALSE(net::IsAlive(*peer));
  Metrics metrics;
  CHECK_FALSE(UnixAttestor({}, metrics).Attest(*peer));
}

TEST_CASE("a child that uses its parent's connection is its parent, and nobody once that ended") {
  const Listener listener;
  const UniqueFd client = NewSocket();
  const Pipe told;
  Metrics metrics;
  UnixAttestor attestor({}, metrics);
  pid_t grandchild = -1;
  const Pipe number;
  std::optional<net::PeerCredentials> peer;
  UniqueFd accepted;
  {
    const Child parent([&] {
      if (!listener.ConnectFrom(client.get())) return false;
      const pid_t child = ForkAs(0);
      if (child == 0) _exit(told.Wait() ? 0 : 1);
      return write(number.in.get(), &child, sizeof child) == sizeof child;
    });
    REQUIRE(parent.began());
    REQUIRE(::read(number.out.get(), &grandchild, sizeof grandchild) == sizeof grandchild);
    accepted = listener.Accept();
    auto credentials = net::ReadPeerCredentials(accepted.get());
    REQUIRE(credentials);
    CHECK(credentials->pid == parent.pid());
    CHECK(attestor.Attest(*credentials));
    peer = std::move(*credentials);
  }
  CHECK_FALSE(attestor.Attest(*peer));  // though the grandchild still holds the connection
  CHECK(told.Tell());
}

TEST_CASE("who changes its user after it connected is refused, and before it is that user") {
  if (!IsRoot()) return;
  const Listener listener;
  Metrics metrics;
  UnixAttestor attestor({}, metrics);
  const auto become_nobody = [] { return syscall(SYS_setresuid, kNobody, kNobody, kNobody) == 0; };
  {
    const UniqueFd client = NewSocket();
    const Child after([&] { return listener.ConnectFrom(client.get()) && become_nobody(); });
    REQUIRE(after.began());
    const UniqueFd accepted = listener.Accept();
    const auto selectors = attestor.Attest(*net::ReadPeerCredentials(accepted.get()));
    REQUIRE_FALSE(selectors);
    CHECK(selectors.error().reason == kCallerChanged);
  }
  const UniqueFd client = NewSocket();
  const Child before([&] { return become_nobody() && listener.ConnectFrom(client.get()); });
  REQUIRE(before.began());
  const UniqueFd accepted = listener.Accept();
  const auto selectors = attestor.Attest(*net::ReadPeerCredentials(accepted.get()));
  CHECK(Has(selectors, Uid(kNobody)));
  CHECK_FALSE(Has(selectors, Uid(0)));
}

TEST_CASE("what comes through a relay is the relay's, whoever stands behind it") {
  if (!IsRoot()) return;
  const Listener agent, relay;
  const UniqueFd to_agent = NewSocket(), to_relay = NewSocket();
  REQUIRE(relay.ConnectFrom(to_relay.get()));  // this process, which is root's
  REQUIRE(write(to_relay.get(), "?", 1) == 1);
  const Child relaying([&] {  // as socat does, in one direction
    if (syscall(SYS_setresuid, kNobody, kNobody, kNobody) != 0) return false;
    const int from = accept4(relay.fd.get(), nullptr, nullptr, SOCK_CLOEXEC);
    char byte = 0;
    return from >= 0 && ::read(from, &byte, 1) == 1 && agent.ConnectFrom(to_agent.get()) &&
           write(to_agent.get(), &byte, 1) == 1;
  });
  REQUIRE(relaying.began());
  const UniqueFd accepted = agent.Accept();
  const auto peer = net::ReadPeerCredentials(accepted.get());
  REQUIRE(peer);
  CHECK(peer->pid == relaying.pid());
  Metrics metrics;
  const auto selectors = UnixAttestor({}, metrics).Attest(*peer);
  CHECK(Has(selectors, Uid(kNobody)));
  CHECK_FALSE(Has(selectors, Uid(0)));
}

TEST_CASE("root of its own user namespace is the user it is outside") {
  if (!IsRoot()) return;
  const Listener listener;
  const UniqueFd client = NewSocket();
  const Child caller([&] {
    if (syscall(SYS_setresuid, kNobody, kNobody, kNobody) != 0) return false;
    if (unshare(CLONE_NEWUSER) != 0) return true;  // not allowed here: it does not connect
    constexpr std::string_view kMap = "0 65534 1";
    const int map = open("/proc/self/uid_map", O_WRONLY | O_CLOEXEC);
    if (map >= 0 && write(map, kMap.data(), kMap.size()) < 0) return false;
    return listener.ConnectFrom(client.get());
  });
  REQUIRE(caller.began());
  sockaddr_un connected{};
  socklen_t length = sizeof connected;
  if (getpeername(client.get(), reinterpret_cast<sockaddr*>(&connected), &length) != 0) {
    WARN("left out: no user namespaces here");
    return;
  }
  const UniqueFd accepted = listener.Accept();
  const auto peer = net::ReadPeerCredentials(accepted.get());
  REQUIRE(peer);
  CHECK(peer->uid == kNobody);
  Metrics metrics;
  CHECK_FALSE(Has(UnixAttestor({}, metrics).Attest(*peer), Uid(0)));
}

TEST_CASE("a binary put over another's path in a mount namespace does not get that path") {
  if (!IsRoot()) return;
  constexpr const char* kTrusted = "/usr/bin/env";
  constexpr const char* kFake = "/usr/bin/sleep";
  const Listener listener;
  const UniqueFd client = NewSocket();
  Pipe executed;  // closed by exec
  const pid_t liar = ForkAs(0);
  if (liar == 0) {
    const char* arguments[] = {kTrusted, "1000", nullptr};
    if (unshare(CLONE_NEWNS) == 0 &&
        mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
        mount(kFake, kTrusted, nullptr, MS_BIND, nullptr) == 0 &&
        listener.ConnectFrom(client.get()))
      execv(kTrusted, const_cast<char* const*>(arguments));
    executed.Tell();
    _exit(1);
  }
  executed.in.Reset();
  if (executed.Wait()) {
    WARN("left out: no mount namespaces here");
  } else {
    const UniqueFd accepted = listener.Accept();
    Metrics metrics;
    const auto selectors =
        UnixAttestor({true, 0}, metrics).Attest(*net::ReadPeerCredentials(accepted.get()));
    REQUIRE(selectors);
    CHECK(std::filesystem::read_symlink("/proc/" + std::to_string(liar) + "/exe") == kTrusted);
    CHECK_FALSE(Has(selectors, std::string("unix:path:") + kTrusted));
  }
  kill(liar, SIGKILL);
  waitpid(liar, nullptr, 0);
}
