#include "ca/jose/strict_json.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

namespace signet::ca {
namespace {

constexpr std::size_t kLimit = 4096;

TEST_CASE("a document is read with its numbers at full precision") {
  const auto document = ParseStrictJson(
      R"({"a": [1, -2, 1.5, null, true, "x"], "b": 18446744073709551615, "c": 9007199254740993})",
      kLimit);
  REQUIRE(document);
  CHECK((*document)["a"].size() == 6);
  CHECK((*document)["a"][5] == "x");
  CHECK((*document)["b"].get<std::uint64_t>() == 18446744073709551615U);
  CHECK((*document)["c"].get<std::uint64_t>() == 9007199254740993U);
  CHECK(ParseStrictJson("7", kLimit).value() == 7);
}

TEST_CASE("a whole number past 64 bits is no whole number") {
  CHECK(ParseStrictJson("18446744073709551616", kLimit).value().is_number_float());
}

TEST_CASE("what is not exactly one JSON document is refused") {
  for (const std::string& text :
       {std::string(), std::string("NOT JSON"), std::string("{}{}"), std::string("{} x"),
        std::string("{"), std::string("{\"a\":1,}"), std::string("// c\n{}"),
        std::string("\xEF\xBB\xBF{}"), std::string("{}\0{\"a\":1}", 9), std::string("{}\0", 3),
        std::string("{\"a\":\"\xFF\"}"), std::string("{\"a\":\"\\ud800\"}"), std::string("NaN")}) {
    INFO(text);
    const auto document = ParseStrictJson(text, kLimit);
    REQUIRE_FALSE(document);
    CHECK(document.error().reason == kJsonMalformed);
  }
}

TEST_CASE("a member that is there twice is refused, at any depth and after unescaping") {
  CHECK_FALSE(ParseStrictJson(R"({"a":1,"a":2})", kLimit));
  CHECK_FALSE(ParseStrictJson(R"({"a":1,"\u0061":2})", kLimit));
  CHECK_FALSE(ParseStrictJson(R"([{"x":{"a":{},"b":1,"a":null}}])", kLimit));
  CHECK(ParseStrictJson(R"([{"a":1},{"a":2}])", kLimit));
  CHECK(ParseStrictJson(R"({"a":{"a":{"a":1}},"b":[{"a":1}]})", kLimit));
}

TEST_CASE("size and depth are bounded") {
  CHECK(ParseStrictJson("[1]", 3));
  CHECK_FALSE(ParseStrictJson("[1]", 2));
  const auto nested = [](int depth) {
    return std::string(static_cast<std::size_t>(depth), '[') +
           std::string(static_cast<std::size_t>(depth), ']');
  };
  CHECK(ParseStrictJson(nested(kMaxJsonDepth), kLimit));
  CHECK_FALSE(ParseStrictJson(nested(kMaxJsonDepth + 1), kLimit));
}

}  // namespace
}  // namespace signet::ca
