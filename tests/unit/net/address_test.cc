#include "net/address.h"

#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <fstream>

#include "tests/support/temp_dir.h"

namespace signet::net {
namespace {

std::string Canonical(std::string_view text) {
  const Result<Address> address = Address::Parse(text);
  return address ? address->ToString() : "refused: " + std::string(address.error().reason.text);
}

}  // namespace

TEST_CASE("an address is read and written back the same") {
  for (const char* text : {"127.0.0.1:8081", "[::1]:0", "localhost:65535", "unix:/run/x.sock",
                           "unix:relative.sock", "a-b_c.example:1"}) {
    CHECK(Canonical(text) == text);
  }
  CHECK(Canonical("unix:///run/x.sock") == "unix:/run/x.sock");
}

TEST_CASE("a malformed address is refused") {
  for (const std::string text : {"",           ":",          "host",    "host:",   ":8081",
                                 "host:65536", "host:-1",    "host:+1", "host:1x", "::1:80",
                                 "[::1]",      "[::1]80",    "[::1:80", "[]:80",   "[127.0.0.1]:80",
                                 "ho st:1",    "host:80:90", "unix:",   "unix://", "host/path:1",
                                 "h\nost:1"}) {
    CAPTURE(text);
    CHECK(Canonical(text) == "refused: malformed address");
  }
  CHECK(Canonical(std::string("unix:/a\0b", 9)) == "refused: malformed address");
  CHECK(Canonical(std::string(256, 'a') + ":1") == "refused: malformed address");
}

TEST_CASE("a listener on port 0 says its port and is found there") {
  const std::string host = GENERATE(as<std::string>(), "127.0.0.1", "::1");
  const Result<UniqueFd> listener = ListenTcp({host, 0, false});
  REQUIRE(listener);
  const Result<SocketAddress> local = LocalAddress(listener->get());
  REQUIRE(local);
  const Result<Address> address = Address::Parse(local->ToString());
  REQUIRE(address);
  CHECK(address->host == host);
  REQUIRE(address->port != 0);
  CHECK(Connect(*address, std::chrono::seconds(5)));

  const Result<UniqueFd> second = ListenTcp(*address);
  REQUIRE(!second);
  CHECK(second.error().reason == kListenFailed);
  CHECK(second.error().code == Code::kAlreadyExists);
}

TEST_CASE("two listeners share a port when both ask for it") {
  const Result<UniqueFd> first = ListenTcp({"127.0.0.1", 0, false}, true);
  REQUIRE(first);
  const Result<Address> address = Address::Parse(LocalAddress(first->get())->ToString());
  CHECK(ListenTcp(*address, true));
}

TEST_CASE("connecting where nobody listens fails") {
  const test::TempDir dir;
  Result<UniqueFd> listener = ListenTcp({"127.0.0.1", 0, false});
  const Result<Address> address = Address::Parse(LocalAddress(listener->get())->ToString());
  listener->Reset();
  for (const Address& target : {*address, Address{dir.File("none.sock"), 0, true}}) {
    const Result<UniqueFd> connected = Connect(target, std::chrono::seconds(5));
    REQUIRE(!connected);
    CHECK(connected.error().reason == kConnectFailed);
    CHECK(connected.error().code == Code::kUnavailable);
  }
}

TEST_CASE("connecting gives up at the deadline") {
  const test::TempDir dir;
  // A TCP listener whose queue is full does not answer.
  const UniqueFd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const Address any{"127.0.0.1", 0, false};
  const SocketAddress local = any.Resolve()->front();
  REQUIRE(bind(listener.get(), reinterpret_cast<const sockaddr*>(&local.storage), local.length) ==
          0);
  REQUIRE(listen(listener.get(), 0) == 0);
  const Result<Address> address = Address::Parse(LocalAddress(listener.get())->ToString());
  const Result<UniqueFd> filler = Connect(*address, std::chrono::seconds(5));
  REQUIRE(filler);
  const Result<UniqueFd> late = Connect(*address, std::chrono::milliseconds(30));
  REQUIRE(!late);
  CHECK(late.error().code == Code::kDeadlineExceeded);
}

TEST_CASE("a name that does not resolve is refused") {
  const Result<UniqueFd> connected =
      Connect({"no-such-host.invalid", 1, false}, std::chrono::seconds(1));
  REQUIRE(!connected);
  CHECK(connected.error().reason == kAddressUnresolved);
}

TEST_CASE("a Unix listener has the wanted mode and replaces a stale socket") {
  const test::TempDir dir;
  const std::string path = dir.File("a.sock");
  UnixListenOptions options;
  options.mode = 0770;
  options.owner = static_cast<int>(getuid());
  options.group = static_cast<int>(getgid());
  Result<UniqueFd> first = ListenUnix(path, options);
  REQUIRE(first);
  struct stat status{};
  REQUIRE(stat(path.c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0770);
  CHECK(Connect({path, 0, true}, std::chrono::seconds(5)));

  const Result<UniqueFd> taken = ListenUnix(path, options);
  REQUIRE(!taken);
  CHECK(taken.error().reason == kListenFailed);
  CHECK(taken.error().code == Code::kAlreadyExists);

  first->Reset();  // the file stays behind, as after a crash
  REQUIRE(ListenUnix(path, options));
  CHECK(Connect({path, 0, true}, std::chrono::seconds(5)).error().reason == kConnectFailed);
}

TEST_CASE("a Unix listener leaves other files alone") {
  const test::TempDir dir;
  const std::string path = dir.File("precious");
  std::ofstream(path) << "data";
  const Result<UniqueFd> listener = ListenUnix(path, {});
  REQUIRE(!listener);
  CHECK(listener.error().reason == kListenFailed);
  CHECK(std::filesystem::file_size(path) == 4);
  CHECK(ListenUnix(dir.File("missing/a.sock"), {}).error().reason == kListenFailed);
}

TEST_CASE("a Unix path longer than the kernel takes is refused with the limit") {
  const test::TempDir dir;
  const std::size_t room = 107 - dir.path().size() - 1;
  CHECK(ListenUnix(dir.File(std::string(room, 'a')), {}));
  const Result<UniqueFd> listener = ListenUnix(dir.File(std::string(room + 1, 'a')), {});
  REQUIRE(!listener);
  CHECK(listener.error().reason == kAddressMalformed);
  CHECK(listener.error().detail.find("107") != std::string::npos);
}

}  // namespace signet::net
