// "https://host[:port][/path][?query]" as an endpoint is configured with (RFC 3986, strictly): what
// to dial, what to name in the handshake, what to ask for. Nothing else is a URL here: other
// schemes, user information, white space and letters outside ASCII are refused.
//
// Threads: values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace signet::net {

inline constexpr Reason kUrlMalformed{"malformed URL"};
inline constexpr Reason kUrlNotHttps{"URL must use the https scheme"};
inline constexpr Reason kUrlWithoutHost{"URL must specify the host"};
inline constexpr Reason kUrlWithUserInfo{"URL must not contain user info"};
inline constexpr std::size_t kMaxUrlBytes = 2048;

class HttpsUrl {
 public:
  // Fails with one of the reasons above (INVALID_ARGUMENT).
  static Result<HttpsUrl> Parse(std::string_view text);

  // As it was written, but for the scheme, which is in lower case.
  const std::string& text() const { return text_; }
  // A name, an IPv4 address, or an IPv6 address without its brackets.
  const std::string& host() const { return host_; }
  // As written, or 443. Beyond 65535 there is nothing to dial.
  std::uint32_t port() const { return port_; }
  // What follows the authority, without the fragment; at least "/".
  const std::string& target() const { return target_; }
  // For a Host field: with brackets, and with the port unless it is 443.
  std::string HostField() const;

  friend bool operator==(const HttpsUrl&, const HttpsUrl&) = default;

 private:
  std::string text_;
  std::string host_;
  std::uint32_t port_ = 443;
  std::string target_;
};

}  // namespace signet::net
