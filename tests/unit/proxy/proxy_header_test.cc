#include "proxy/forward/proxy_header.h"

#include <netinet/in.h>

#include "tests/unit/proxy/proxy_world.h"

namespace signet::proxy {
namespace {

constexpr const char* kShop = "spiffe://example.org/shop";

net::SocketAddress Address(const std::string& text) {
  return net::Address::Parse(text)->Resolve()->front();
}

TEST_CASE("a PROXY protocol header holds the addresses and the identity, byte for byte") {
  const Bytes header =
      MakeProxyHeader(Address("10.1.2.3:4660"), Address("192.0.2.9:443"), "spiffe://td/a");
  // Written out by hand from the specification, 2.2.
  CHECK(EncodeHex(header) ==
        "0d0a0d0a000d0a515549540a"
        "2111"
        "0024"
        "0a010203c0000209123401bb"
        "2000050700000000"
        "e0000d7370696666653a2f2f74642f61");
}

TEST_CASE("IPv6 addresses are whole, and a Unix socket has none") {
  const Bytes six = MakeProxyHeader(Address("[2001:db8::1]:1"), Address("[::1]:2"), "x");
  CHECK(six[13] == 0x21);
  CHECK(six.size() == 16 + 36 + 8 + 4);
  const Bytes mixed = MakeProxyHeader(Address("10.1.2.3:1"), Address("[::1]:2"), "x");
  CHECK(mixed[13] == 0x00);
  CHECK(mixed.size() == 16 + 8 + 4);
  CHECK(MakeProxyHeader({}, {}, "x") == mixed);
}

TEST_CASE("an application that asks for it is told who calls before the caller's first byte") {
  TestBackend backend(TestBackend::Echo);
  World world(
      fmt::format("inbound: [{{name: web, listen: '127.0.0.1:0', forward: '{}', "
                  "proxy_protocol: v2, allow: [{{id: '{}'}}]}}]\n",
                  backend.address().ToString(), kShop));
  world.Become("spiffe://example.org/web");
  StreamClient shop = world.CallAs(kShop);
  REQUIRE(shop.Send("hello"));
  const std::string identity = std::string("\xe0\x00\x19", 3) + kShop;
  const std::size_t header = 16 + 12 + 8 + identity.size();
  const std::string seen = shop.Receive(header + 5);  // the echo of all the application got
  CHECK(seen.substr(0, 12) == std::string("\r\n\r\n\0\r\nQUIT\n", 12));
  CHECK(seen.substr(16 + 12 + 8) == identity + "hello");
}

ConfigProblem OnlyProblemOf(std::string_view rest) {
  test::TempDir folder;
  const std::string text = fmt::format(
      "inbound: [{{name: a, listen: '127.0.0.1:0', forward: '127.0.0.1:1', {}}}]", rest);
  REQUIRE(WriteFileAtomically(folder.File("p.yaml"), AsBytes(text), 0600));
  ConfigProblems problems;
  CHECK(LoadConfig(folder.File("p.yaml"), {}, &problems) == nullptr);
  REQUIRE(problems.all().size() == 1);
  return problems.all().front();
}

TEST_CASE("only version 2 is written, and only before TCP") {
  CHECK_THAT(OnlyProblemOf("proxy_protocol: v1").hint, Catch::Contains("v2"));
  CHECK_THAT(OnlyProblemOf("protocol: http, proxy_protocol: v2").hint, Catch::Contains("TCP"));
}

}  // namespace
}  // namespace signet::proxy
