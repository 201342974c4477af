#include "net/peer_credentials.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "net/address.h"
#include "tests/support/temp_dir.h"

namespace signet::net {
namespace {

// A child that connects to `path` and stays until its pipe closes.
struct ConnectedChild {
  explicit ConnectedChild(const std::string& path) {
    int fds[2];
    REQUIRE(pipe(fds) == 0);
    pid = fork();
    if (pid == 0) {
      close(fds[1]);
      const Result<UniqueFd> connected = Connect({path, 0, true}, std::chrono::seconds(10));
      char end = 0;
      _exit(connected && read(fds[0], &end, 1) == 0 ? 0 : 1);
    }
    close(fds[0]);
    keep.Reset(fds[1]);
  }
  void End() {
    keep.Reset();
    int status = -1;
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(status == 0);
  }
  pid_t pid = -1;
  UniqueFd keep;
};

UniqueFd AcceptOne(int listener) {
  pollfd polled{listener, POLLIN, 0};
  REQUIRE(poll(&polled, 1, 10000) == 1);
  return UniqueFd(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
}

}  // namespace

TEST_CASE("the peer's process, user and group come from the kernel, and its end is seen") {
  const test::TempDir dir;
  const Result<UniqueFd> listener = ListenUnix(dir.File("a.sock"), {});
  REQUIRE(listener);
  ConnectedChild child(dir.File("a.sock"));
  const UniqueFd accepted = AcceptOne(listener->get());
  const Result<PeerCredentials> peer = ReadPeerCredentials(accepted.get());
  REQUIRE(peer);
  CHECK(peer->pid == child.pid);
  CHECK(peer->uid == getuid());
  CHECK(peer->gid == getgid());
  CHECK(peer->start_time != 0);
  CHECK(IsAlive(*peer));
  child.End();
  CHECK(!IsAlive(*peer));
}

TEST_CASE("a peer that exited before it was asked about is not alive") {
  const test::TempDir dir;
  const Result<UniqueFd> listener = ListenUnix(dir.File("a.sock"), {});
  REQUIRE(listener);
  ConnectedChild child(dir.File("a.sock"));
  const UniqueFd accepted = AcceptOne(listener->get());
  child.End();
  const Result<PeerCredentials> peer = ReadPeerCredentials(accepted.get());
  REQUIRE(peer);
  CHECK(peer->pid == child.pid);
  CHECK(!IsAlive(*peer));
}

TEST_CASE("attack 48: a changed start time means another process") {
  int fds[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
  const UniqueFd a(fds[0]), b(fds[1]);
  Result<PeerCredentials> peer = ReadPeerCredentials(a.get());
  REQUIRE(peer);
  CHECK(peer->pid == getpid());
  REQUIRE(IsAlive(*peer));
  ++peer->start_time;
  CHECK(!IsAlive(*peer));
}

TEST_CASE("a socket without kernel credentials is refused") {
  const Result<UniqueFd> listener = ListenTcp({"127.0.0.1", 0, false});
  REQUIRE(listener);
  const Result<Address> address = Address::Parse(LocalAddress(listener->get())->ToString());
  const Result<UniqueFd> connected = Connect(*address, std::chrono::seconds(5));
  REQUIRE(connected);
  for (const int fd : {connected->get(), -1}) {
    const Result<PeerCredentials> peer = ReadPeerCredentials(fd);
    REQUIRE(!peer);
    CHECK(peer.error().reason == kPeerUnknown);
  }
}

TEST_CASE("a process is pinned while it lives, and a reaped one is gone") {
  const test::TempDir dir;
  const Result<UniqueFd> listener = ListenUnix(dir.File("a.sock"), {});
  REQUIRE(listener);
  ConnectedChild child(dir.File("a.sock"));
  Result<PinnedProcess> pinned = PinProcess(child.pid);
  REQUIRE(pinned);
  const PeerCredentials peer{child.pid, 0, 0, std::move(pinned->pidfd), pinned->start_time};
  CHECK(IsAlive(peer));
  child.End();
  CHECK(!IsAlive(peer));
  CHECK(PinProcess(child.pid).error().reason == kPeerGone);
  CHECK(PinProcess(0).error().reason == kPeerGone);
}

}  // namespace signet::net
