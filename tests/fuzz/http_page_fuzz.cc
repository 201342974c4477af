// Any bytes as the response of a host that is called back.
#include "base/check.h"
#include "net/http_page.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto body = signet::net::ParsePage(text, 64)) {
    CHECK_TRUE(body->size() <= 64);
    CHECK_TRUE(text.starts_with("HTTP/1.") && text.ends_with(*body));
  }
  (void)signet::net::AddressRange::Parse(text);
  return 0;
}
