// Any bytes as a bundle endpoint's URL: what is accepted is one line of ASCII, and reads the same
// again.
#include <algorithm>
#include <string_view>

#include "base/check.h"
#include "net/https_url.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto url = signet::net::HttpsUrl::Parse(text);
  if (!url) return 0;
  CHECK_TRUE(!url->host().empty() && url->target().starts_with('/'));
  for (const std::string& part : {url->text(), url->target(), url->HostField()})
    CHECK_TRUE(std::all_of(part.begin(), part.end(), [](char c) { return c > 0x20 && c < 0x7f; }));
  const auto again = signet::net::HttpsUrl::Parse(url->text());
  CHECK_TRUE(again && *again == *url);
  return 0;
}
