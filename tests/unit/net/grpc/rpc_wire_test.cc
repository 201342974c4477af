#include "net/grpc/rpc_wire.h"

#include <catch2/catch.hpp>

namespace signet::net {

TEST_CASE("a status message is percent-encoded but for printable ASCII") {
  CHECK(EncodeRpcMessage("") == "");
  CHECK(EncodeRpcMessage("no such entry: ~") == "no such entry: ~");
  CHECK(EncodeRpcMessage("100%") == "100%25");
  CHECK(EncodeRpcMessage(std::string_view("\0\x1f\x7f\xff\r\n", 6)) == "%00%1F%7F%FF%0D%0A");
}

TEST_CASE("a status message ends at its limit, never within an escape") {
  CHECK(EncodeRpcMessage(std::string(100, 'a'), 10).size() <= 10);
  for (std::size_t most = 0; most < 20; ++most) {
    const std::string text = EncodeRpcMessage(std::string(100, '\n'), most);
    CHECK(text.size() <= most);
    CHECK(text.size() % 3 == 0);
  }
}

TEST_CASE("a timeout is up to eight digits and a unit, a year at most") {
  using namespace std::chrono_literals;
  CHECK(ParseRpcTimeout("1H") == 1h);
  CHECK(ParseRpcTimeout("2M") == 2min);
  CHECK(ParseRpcTimeout("3S") == 3s);
  CHECK(ParseRpcTimeout("4m") == 4ms);
  CHECK(ParseRpcTimeout("5u") == 5us);
  CHECK(ParseRpcTimeout("6n") == 6ns);
  CHECK(ParseRpcTimeout("0n") == 0ns);
  for (const char* huge : {"99999999H", "99999999M", "99999999S"})
    CHECK(ParseRpcTimeout(huge) == 24h * 365);
  for (const char* bad :
       {"", "S", "1", "1s", "-1S", "+1S", " 1S", "1 S", "123456789S", "1.5S", "0x1S", "1SS"})
    CHECK(!ParseRpcTimeout(bad));
}

TEST_CASE("a prefix is read as it was written") {
  for (const std::uint32_t size : {0U, 1U, 255U, 256U, 0x01020304U, UINT32_MAX}) {
    std::string bytes;
    AppendRpcPrefix(size, &bytes);
    REQUIRE(bytes.size() == kRpcPrefixBytes);
    CHECK(ReadRpcPrefix(bytes).flag == 0);
    CHECK(ReadRpcPrefix(bytes).size == size);
  }
}

}  // namespace signet::net
