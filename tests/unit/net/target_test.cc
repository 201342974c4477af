#include "net/target.h"

#include <catch2/catch.hpp>

using namespace signet;
using namespace signet::net;

namespace {

SocketAddress At(const std::string& host) {
  Address address;
  address.host = host;
  address.port = 80;
  const auto resolved = address.Resolve();
  REQUIRE(resolved);
  return resolved->front();
}

}  // namespace

TEST_CASE(
    "A11: loopback, link-local, metadata and other addresses that are no hosts are no targets") {
  for (const char* host :
       {"127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "169.254.169.254", "169.254.0.1",
        "100.100.100.200", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
        "192.0.0.192", "::1", "::", "fe80::1", "febf::1", "ff02::1", "fd00:ec2::254",
        "fd20:ce::254", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:0.0.0.0",
        "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2001::1", "::7f00:1",
        // The resolver's older spellings of 127.0.0.1.
        "2130706433", "127.1", "0x7f.1", "0177.0.0.1"}) {
    CAPTURE(host);
    CHECK(RefusedKind(At(host)) != nullptr);
    CHECK_FALSE(IsAllowedTarget(At(host), {}));
  }
  SocketAddress local;
  local.storage.ss_family = AF_UNIX;
  CHECK_FALSE(IsAllowedTarget(local, {}));
  CHECK_FALSE(IsAllowedTarget(SocketAddress(), {}));
}

TEST_CASE("A11: ordinary addresses, private ones too, are targets: nodes are there") {
  for (const char* host : {"10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "8.8.8.8",
                           "126.255.255.255", "128.0.0.1", "169.253.255.255", "223.255.255.255",
                           "fd12:3456::1", "2600::1", "::ffff:10.0.0.1", "fec0::1"}) {
    CAPTURE(host);
    CHECK(RefusedKind(At(host)) == nullptr);
  }
}

TEST_CASE("A11: an operator opens ranges, in either spelling of IPv4, and no more than them") {
  const std::vector<AddressRange> opened = {*AddressRange::Parse("127.0.0.0/30"),
                                            *AddressRange::Parse("::1")};
  CHECK(IsAllowedTarget(At("127.0.0.3"), opened));
  CHECK(IsAllowedTarget(At("::ffff:127.0.0.3"), opened));
  CHECK_FALSE(IsAllowedTarget(At("127.0.0.4"), opened));
  CHECK(IsAllowedTarget(At("::1"), opened));
  CHECK_FALSE(IsAllowedTarget(At("169.254.169.254"), opened));
  CHECK(AddressRange::Parse("0.0.0.0/0")->Contains(At("9.9.9.9")));
  CHECK_FALSE(AddressRange::Parse("0.0.0.0/0")->Contains(At("2600::1")));
}

TEST_CASE("address ranges that are none") {
  for (const char* text : {"", "10.0.0.0/33", "10.0.0.1/8", "10.0.0.0/", "10.0.0.0/x", "::/129",
                           "10.0.0.0/-1", "host", "10.0.0/8", "fe80::%eth0/10", "1.2.3.4/8/8"}) {
    CAPTURE(text);
    CHECK(AddressRange::Parse(text).error().reason == kAddressMalformed);
  }
}
