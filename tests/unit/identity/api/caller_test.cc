#include "identity/api/caller.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <catch2/catch.hpp>

#include "base/file.h"
#include "tests/support/test_certificates.h"

namespace signet::identity {
namespace {

struct Pair {
  Pair() {
    int fds[2] = {-1, -1};
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    a.Reset(fds[0]);
    b.Reset(fds[1]);
  }
  UniqueFd a;
  UniqueFd b;
};

CallerPtr Local(uid_t uid) {
  Caller caller;
  caller.kind = CallerKind::kLocal;
  caller.uid = uid;
  return std::make_shared<Caller>(caller);
}

std::string Peer(int fd) { return "fd:" + std::to_string(fd); }

TEST_CASE("callers: a connection is found by its descriptor, and nothing else is") {
  ConnectionTable table;
  Pair pair;
  table.Add(pair.a.get(), Local(5));
  REQUIRE(table.Find(Peer(pair.a.get())));
  CHECK(table.Find(Peer(pair.a.get()))->uid == 5);
  CHECK_FALSE(table.Find(Peer(pair.b.get())));
  for (const char* peer :
       {"", "fd:", "fd:x", "unix:", "ipv4:127.0.0.1:1", "fd:-1", "fd:99999999999"})
    CHECK_FALSE(table.Find(peer));
  CHECK_FALSE(table.Find(Peer(pair.a.get()) + "x"));
}

TEST_CASE("callers: a descriptor number that was reused is not the caller it was") {
  ConnectionTable table;
  int number = -1;
  {
    Pair pair;
    number = pair.a.get();
    table.Add(number, Local(5));
  }
  CHECK_FALSE(table.Find(Peer(number)));
  Pair other;
  // Put another socket under the very same number.
  UniqueFd reused(fcntl(other.a.get(), F_DUPFD_CLOEXEC, number));
  REQUIRE((reused.get() == number || other.a.get() == number || other.b.get() == number));
  CHECK_FALSE(table.Find(Peer(number)));
}

TEST_CASE("callers: closed connections are forgotten, open ones stay") {
  ConnectionTable table;
  Pair open;
  table.Add(open.a.get(), Local(1));
  {
    Pair closed;
    table.Add(closed.a.get(), Local(2));
    CHECK(table.size() == 2);
    CHECK(table.local() == 2);
  }
  table.Reap();
  CHECK(table.size() == 1);
  CHECK(table.Find(Peer(open.a.get())));
}

TEST_CASE("callers: a verified SVID gives ID, serial and end; no certificate is anonymous") {
  net::PeerIdentity peer;
  peer.name = "spiffe://example.org/w";
  const auto leaf = test::MakeCertificate(test::LeafSpec(peer.name)).Parsed();
  peer.chain = {leaf};
  const auto caller = CallerOfTls(&peer, "127.0.0.1:1");
  CHECK(caller.kind == CallerKind::kCertificate);
  CHECK(caller.Name() == peer.name);
  CHECK(caller.serial == leaf.SerialDecimal());
  CHECK(caller.valid_until == leaf.not_after());
  CHECK(CallerOfTls(nullptr, "127.0.0.1:1").kind == CallerKind::kAnonymous);
}

TEST_CASE("callers: a peer without a sound ID or a chain is unknown") {
  net::PeerIdentity peer;
  peer.name = "spiffe://example.org/w";
  CHECK(CallerOfTls(&peer, "").kind == CallerKind::kUnknown);
  peer.name = "example.org";
  peer.chain = {test::MakeCertificate(test::LeafSpec("spiffe://example.org/w")).Parsed()};
  CHECK(CallerOfTls(&peer, "").kind == CallerKind::kUnknown);
}

}  // namespace
}  // namespace signet::identity
