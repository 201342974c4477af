// Any bytes as the head of a request, and as a Host field.
#include <string_view>

#include "base/check.h"
#include "net/http_request.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  signet::net::HttpRequest request;
  const auto status = signet::net::ParseRequestHead(text, &request);
  if (status == signet::net::HeadStatus::kComplete) {
    CHECK_TRUE(size >= 4 && request.path.starts_with('/'));
    CHECK_TRUE(request.path.find('\n') == std::string::npos);
    CHECK_TRUE(request.host.find('\n') == std::string::npos);
  }
  CHECK_TRUE(!signet::net::IsOwnHost("rebound.example", request.host + "x", true));
  signet::net::IsOwnHost(text, "", false);
  const std::string json = signet::net::JsonString(text);
  CHECK_TRUE(json.size() >= 2 && json.find('\n') == std::string::npos);
  return 0;
}
