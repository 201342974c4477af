#include "net/https_url.h"

#include <catch2/catch.hpp>

namespace signet::net {
namespace {

HttpsUrl Parsed(std::string_view text) {
  auto url = HttpsUrl::Parse(text);
  if (!url) FAIL(text << ": " << url.error().Message());
  return *url;
}

}  // namespace

TEST_CASE("an https URL says what to dial, what to name and what to ask for") {
  const HttpsUrl plain = Parsed("https://bundle.one.test/b");
  CHECK(plain.host() == "bundle.one.test");
  CHECK(plain.port() == 443);
  CHECK(plain.target() == "/b");
  CHECK(plain.HostField() == "bundle.one.test");
  const HttpsUrl full = Parsed("HTTPS://one_1.test:8443/a/%2f?x=1&y#part");
  CHECK(full.text() == "https://one_1.test:8443/a/%2f?x=1&y#part");
  CHECK(full.port() == 8443);
  CHECK(full.target() == "/a/%2f?x=1&y");
  CHECK(full.HostField() == "one_1.test:8443");
  const HttpsUrl v6 = Parsed("https://[::1]:9/");
  CHECK(v6.host() == "::1");
  CHECK(v6.HostField() == "[::1]:9");
  CHECK(Parsed("https://x").target() == "/");
  CHECK(Parsed("https://x?a").target() == "/?a");
  CHECK(Parsed("https://x:").port() == 443);
  CHECK(Parsed("https://x:99999/").port() == 99999);
}

TEST_CASE("what is no https URL is refused with the reason") {
  const auto reason = [](std::string_view text) {
    const auto url = HttpsUrl::Parse(text);
    INFO(text);
    REQUIRE_FALSE(url);
    CHECK(url.error().code == Code::kInvalidArgument);
    return url.error().reason;
  };
  for (const char* text : {"", "x", "http://x/", "https:x", "https:/x", "//x/", "spiffe://x"})
    CHECK(reason(text) == kUrlNotHttps);
  for (const char* text : {"https://", "https:///path", "https://:443/", "https://?q"})
    CHECK(reason(text) == kUrlWithoutHost);
  for (const char* text : {"https://user@x/", "https://user:pw@x/", "https://@x/"})
    CHECK(reason(text) == kUrlWithUserInfo);
  for (const char* text :
       {"%zz", "https://x/%zz", "https://x/%4", "https://[::1/", "https://[x]/", "https://[::1]x/",
        "https://x:ab/", "https://x:-1/", "https://x:1234567890/", "https://x y/", "https://x/a b",
        "https://x/\n", "https://\xc3\xa9/", "https://a%20b/", "https://a,b/"})
    CHECK(reason(text) == kUrlMalformed);
  CHECK(reason("https://x/" + std::string(kMaxUrlBytes, 'a')) == kUrlMalformed);
}

}  // namespace signet::net
