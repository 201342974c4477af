#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include <algorithm>
#include <filesystem>
#include <future>
#include <optional>

#include "agent/endpoints/caller_table.h"
#include "agent/workload/attestation_pool.h"
#include "agent/workload/unix_attestor.h"
#include "base/file.h"
#include "tests/support/temp_dir.h"

using namespace signet;
using namespace signet::agent;
using signet::test::TempDir;

namespace {

// Both ends of a connected Unix socket; the peer of each is this process.
struct Pair {
  Pair() {
    int ends[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    ours.Reset(ends[0]);
    theirs.Reset(ends[1]);
  }
  UniqueFd ours, theirs;
};

net::PeerCredentials Myself() {
  const Pair pair;
  auto credentials = net::ReadPeerCredentials(pair.ours.get());
  REQUIRE(credentials);
  return std::move(*credentials);
}

bool Has(const identity::SelectorSet& selectors, const std::string& text) {
  return std::any_of(selectors.begin(), selectors.end(),
                     [&](const identity::Selector& s) { return s.ToString() == text; });
}

bool HasKind(const identity::SelectorSet& selectors, const std::string& prefix) {
  return std::any_of(selectors.begin(), selectors.end(),
                     [&](const identity::Selector& s) { return s.ToString().starts_with(prefix); });
}

}  // namespace

TEST_CASE("a caller's user and groups become SPIRE's unix selectors") {
  Metrics metrics;
  UnixAttestor attestor({}, metrics);
  const auto selectors = attestor.Attest(Myself());
  REQUIRE(selectors);
  CHECK(Has(*selectors, "unix:uid:" + std::to_string(geteuid())));
  CHECK(Has(*selectors, "unix:gid:" + std::to_string(getegid())));
  if (geteuid() == 0) CHECK(Has(*selectors, "unix:user:root"));
  if (getegid() == 0) CHECK(Has(*selectors, "unix:group:root"));
  std::vector<gid_t> groups(static_cast<std::size_t>(getgroups(0, nullptr)));
  REQUIRE(getgroups(static_cast<int>(groups.size()), groups.data()) >= 0);
  for (const gid_t gid : groups)
    CHECK(Has(*selectors, "unix:supplementary_gid:" + std::to_string(gid)));
  CHECK_FALSE(HasKind(*selectors, "unix:path:"));
  CHECK_FALSE(HasKind(*selectors, "unix:sha256:"));
}

TEST_CASE("path and digest of the binary come only when asked for") {
  Metrics metrics;
  UnixAttestor attestor({true, 1U << 30}, metrics);
  const auto selectors = attestor.Attest(Myself());
  REQUIRE(selectors);
  const std::string path = std::filesystem::read_symlink("/proc/self/exe");
  const auto content = ReadFile(path, 1U << 30);
  REQUIRE(content);
  CHECK(Has(*selectors, "unix:path:" + path));
  CHECK(Has(*selectors, "unix:sha256:" + EncodeHex(ca::Sha256(*content))));
}

TEST_CASE("a binary beyond the limit has a path and no digest; with limit 0 nothing is hashed") {
  Metrics metrics;
  for (const std::uint64_t limit : {0, 10}) {
    UnixAttestor attestor({true, limit}, metrics);
    const auto selectors = attestor.Attest(Myself());
    REQUIRE(selectors);
    CHECK(HasKind(*selectors, "unix:path:"));
    CHECK_FALSE(HasKind(*selectors, "unix:sha256:"));
  }
}

TEST_CASE(
    "attack 48: a caller that is gone is refused, also while its socket lives on in another "
    "process") {
  const Pair pair;
  int ends[2];
  REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
  TempDir dir;
  const UniqueFd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  dir.File("s").copy(address.sun_path, sizeof address.sun_path - 1);
  REQUIRE(bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  REQUIRE(listen(listener.get(), 1) == 0);
  const UniqueFd client(socket(AF_UNIX, SOCK_STREAM, 0));  // stays open here
  const pid_t child = fork();
  if (child == 0) {
    const int failed = connect(client.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
    char byte = 0;
    const ssize_t waited = read(ends[0], &byte, 1);
    _exit(failed != 0 || waited != 1);
  }
  const UniqueFd accepted(accept(listener.get(), nullptr, nullptr));
  auto credentials = net::ReadPeerCredentials(accepted.get());
  REQUIRE(credentials);
  CHECK(credentials->pid == child);
  Metrics metrics;
  UnixAttestor attestor({}, metrics);
  CHECK(attestor.Attest(*credentials));
  REQUIRE(write(ends[1], "x", 1) == 1);
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(status == 0);
  const auto refused = attestor.Attest(*credentials);
  REQUIRE_FALSE(refused);
  CHECK((refused.error().reason == kCallerGone || refused.error().reason == kCallerUnreadable));
  close(ends[0]);
  close(ends[1]);
}

TEST_CASE("attack 48: a caller whose user is not the one that connected is refused") {
  auto credentials = Myself();
  credentials.uid += 1;
  Metrics metrics;
  UnixAttestor attestor({}, metrics);
  const auto refused = attestor.Attest(credentials);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().reason == kCallerChanged);
}

TEST_CASE("a caller of a foreign pid namespace is refused") {
  auto credentials = Myself();
  credentials.pid = 0;
  Metrics metrics;
  UnixAttestor attestor({}, metrics);
  CHECK(attestor.Attest(credentials).error().reason == kCallerUnreadable);
}

TEST_CASE("a binary is read once until it changes") {
  TempDir dir;
  const std::string path = dir.File("binary");
  REQUIRE(WriteFileAtomically(path, AsBytes("one"), 0755));
  BinaryDigests digests;
  const auto digest = [&] {
    const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    return digests.DigestOf(file.get(), 100);
  };
  CHECK(digest() == ca::Sha256(AsBytes("one")));
  CHECK(digests.hits() == 0);
  CHECK(digest() == ca::Sha256(AsBytes("one")));
  CHECK(digests.hits() == 1);
  const UniqueFd writer(open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
  REQUIRE(write(writer.get(), "!", 1) == 1);
  CHECK(digest() == ca::Sha256(AsBytes("one!")));
  const UniqueFd folder(open(dir.path().c_str(), O_RDONLY | O_CLOEXEC));
  CHECK_FALSE(digests.DigestOf(folder.get(), 100));
}

TEST_CASE("a place lasts as long as its connection, a caller as long as somebody asks for it") {
  CallerTable table({});
  CallerPtr kept;
  {
    const auto place = table.Admit(Myself());
    REQUIRE(place);
    kept = place->caller();
    CHECK(table.connections() == 1);
  }
  CHECK(table.connections() == 0);
  CHECK(table.Connected().empty());
  CHECK(kept->credentials.uid == geteuid());
  CHECK(net::IsAlive(kept->credentials));
}

TEST_CASE("connections and streams of one user are bounded, those of others are not touched") {
  CallerTable table({3, 2, 1});
  const auto of_user = [](uid_t uid) {
    auto credentials = Myself();
    credentials.uid = uid;
    return credentials;
  };
  std::optional first = table.Admit(of_user(7));
  const auto second = table.Admit(of_user(7));
  REQUIRE(first->has_value());
  REQUIRE(second);
  CHECK(table.Admit(of_user(7)).error().reason == kTooManyConnections);
  const auto third = table.Admit(of_user(8));
  REQUIRE(third);
  CHECK(table.Admit(of_user(9)).error().reason == kTooManyConnections);
  first.reset();  // closed: its place is free at once
  CHECK(table.connections() == 2);
  CHECK(table.Admit(of_user(7)));

  const CallerPtr mine = second->caller(), other = third->caller();
  {
    const auto slot = table.TakeStream(mine);
    CHECK(slot);
    CHECK_FALSE(table.TakeStream(mine));
    CHECK(table.TakeStream(other));
    CHECK(table.streams() == 1);
    CHECK(mine->streams == 1);
    CHECK(other->streams == 0);
  }
  CHECK(mine->streams == 0);
  CHECK(table.TakeStream(mine));
}

TEST_CASE("who is connected is told by process, with streams, and no longer than it is") {
  CallerTable table({});
  auto stranger = Myself();
  stranger.pid += 1;
  std::optional first = table.Admit(Myself()), second = table.Admit(Myself());
  const auto third = table.Admit(std::move(stranger));
  const auto slot = table.TakeStream(third->caller());
  const auto connected = table.Connected();
  REQUIRE(connected.size() == 2);
  CHECK(connected[0].pid == getpid() + 1);
  CHECK(connected[0].streams == 1);
  CHECK(connected[1].pid == getpid());
  CHECK(connected[1].uid == geteuid());
  CHECK(connected[1].connections == 2);
  first.reset();
  second.reset();
  CHECK(table.Connected().size() == 1);
}

TEST_CASE("attestations beyond the queue are refused, not kept") {
  AttestationPool pool(1, 1);
  std::promise<void> go;
  std::promise<void> begun;
  REQUIRE(pool.Submit([&] {
    begun.set_value();
    go.get_future().wait();
  }));
  begun.get_future().wait();
  std::promise<void> ran;
  CHECK(pool.Submit([&] { ran.set_value(); }));
  CHECK_FALSE(pool.Submit([] {}));
  go.set_value();
  ran.get_future().wait();
  pool.Stop();
  CHECK_FALSE(pool.Submit([] {}));
}
