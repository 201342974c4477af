#include "base/bytes.h"

#include <catch2/catch.hpp>

namespace signet {
namespace {

std::string Text(const std::optional<Bytes>& bytes) {
  return bytes ? ToString(*bytes) : "(refused)";
}

TEST_CASE("base64 of RFC 4648, 10 goes both ways") {
  const auto [plain, padded, url] = GENERATE(table<std::string, std::string, std::string>({
      {"", "", ""},
      {"f", "Zg==", "Zg"},
      {"fo", "Zm8=", "Zm8"},
      {"foo", "Zm9v", "Zm9v"},
      {"foob", "Zm9vYg==", "Zm9vYg"},
      {"fooba", "Zm9vYmE=", "Zm9vYmE"},
      {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
      {"\xfb\xff\xfe", "+//+", "-__-"},
  }));
  CHECK(EncodeBase64(AsBytes(plain)) == padded);
  CHECK(EncodeBase64Url(AsBytes(plain)) == url);
  CHECK(Text(DecodeBase64(padded)) == plain);
  CHECK(Text(DecodeBase64Url(url)) == plain);
}

TEST_CASE("base64 that is not canonical is refused") {
  for (const std::string text : {"Zg", "Zg=", "Zg===", "Z===", "====", "=Zg=", "Zg==Zg==", "Zh==",
                                 "Zm9=", "Zm 9v", "Zm9v\n", "-__-", "Zm9v="}) {
    INFO(text);
    CHECK_FALSE(DecodeBase64(text));
  }
}

TEST_CASE("base64url with padding, stray bits or the other alphabet is refused") {
  for (const std::string text : {"Zg==", "Zm8=", "Z", "Zm9vY", "Zh", "Zm9", "+//+", "Zm9v "}) {
    INFO(text);
    CHECK_FALSE(DecodeBase64Url(text));
  }
}

TEST_CASE("hex is written in lower case and read in either") {
  const Bytes bytes{0x00, 0x7f, 0xab};
  CHECK(EncodeHex(bytes) == "007fab");
  CHECK(DecodeHex("007FaB") == bytes);
  CHECK(DecodeHex("") == Bytes{});
  for (const std::string text : {"0", "0g", "0x00", " 00"}) CHECK_FALSE(DecodeHex(text));
}

TEST_CASE("both comparisons see every difference") {
  const Bytes a{1, 2, 3};
  for (const auto equal : {Equal, EqualConstantTime}) {
    CHECK(equal(a, Bytes{1, 2, 3}));
    CHECK(equal({}, {}));
    CHECK_FALSE(equal(a, Bytes{1, 2, 4}));
    CHECK_FALSE(equal(a, Bytes{9, 2, 3}));
    CHECK_FALSE(equal(a, Bytes{1, 2}));
    CHECK_FALSE(equal(a, {}));
  }
}

TEST_CASE("secret bytes move and leave nothing behind") {
  SecretBytes secret(AsBytes("hunter2"));
  SecretBytes moved = std::move(secret);
  CHECK(AsText(moved.view()) == "hunter2");
  CHECK(secret.empty());  // NOLINT(bugprone-use-after-move): that it is empty is the point
  SecretBytes other(AsBytes("old"));
  other = std::move(moved);
  CHECK(AsText(other.view()) == "hunter2");
  CHECK(moved.empty());  // NOLINT(bugprone-use-after-move)
  const SecretBytes copy = other.Clone();
  CHECK(Equal(copy.view(), other.view()));
}

TEST_CASE("wiping overwrites") {
  Bytes bytes{1, 2, 3};
  WipeBytes(bytes);
  CHECK(bytes == Bytes{0, 0, 0});
}

}  // namespace
}  // namespace signet
