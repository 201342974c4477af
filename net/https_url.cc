#include "net/https_url.h"

#include <arpa/inet.h>

#include <algorithm>
#include <optional>

namespace signet::net {
namespace {

constexpr std::string_view kScheme = "https://";
constexpr std::uint32_t kDefaultPort = 443;
constexpr std::size_t kMaxPortDigits = 9;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsAlphanumeric(char c) {
  return IsDigit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool IsHexDigit(char c) { return IsDigit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

tl::unexpected<Error> Malformed(std::string detail) {
  return Fail(Code::kInvalidArgument, kUrlMalformed, std::move(detail));
}

bool HasHttpsScheme(std::string_view text) {
  return text.size() >= kScheme.size() &&
         std::equal(kScheme.begin(), kScheme.end(), text.begin(),
                    [](char a, char b) { return a == (b >= 'A' && b <= 'Z' ? b + 32 : b); });
}

// RFC 3986, 2.1: a percent sign has two hexadecimal digits behind it.
bool AreEscapesWhole(std::string_view text) {
  for (std::size_t at = text.find('%'); at != text.npos; at = text.find('%', at + 1)) {
    if (at + 2 >= text.size() || !IsHexDigit(text[at + 1]) || !IsHexDigit(text[at + 2]))
      return false;
  }
  return true;
}

bool IsVisibleAscii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

bool IsHostName(std::string_view host) {
  return std::all_of(host.begin(), host.end(),
                     [](char c) { return IsAlphanumeric(c) || c == '-' || c == '.' || c == '_'; });
}

std::optional<std::uint32_t> ParsePort(std::string_view digits) {
  if (digits.empty()) return kDefaultPort;  // "host:", RFC 3986, 3.2.3
  if (digits.size() > kMaxPortDigits || !std::all_of(digits.begin(), digits.end(), IsDigit))
    return std::nullopt;
  std::uint32_t port = 0;
  for (const char digit : digits) port = port * 10 + static_cast<std::uint32_t>(digit - '0');
  return port;
}

struct Authority {
  std::string host;
  std::uint32_t port = kDefaultPort;
};

Result<Authority> ParseAuthority(std::string_view text) {
  if (text.find('@') != text.npos) return Fail(Code::kInvalidArgument, kUrlWithUserInfo);
  std::string_view host = text.substr(0, text.find(':'));
  std::string_view rest = text.substr(host.size());
  if (text.starts_with('[')) {
    const auto close = text.find(']');
    if (close == text.npos) return Malformed("missing ']' in host");
    host = text.substr(1, close - 1);
    rest = text.substr(close + 1);
    in6_addr ignored{};
    if (inet_pton(AF_INET6, std::string(host).c_str(), &ignored) != 1)
      return Malformed("no IPv6 address between the brackets");
  } else if (!IsHostName(host)) {
    return Malformed("a character in the host that no host name has");
  }
  if (host.empty()) return Fail(Code::kInvalidArgument, kUrlWithoutHost);
  if (!rest.empty() && rest.front() != ':') return Malformed("text after the host");
  const auto port = ParsePort(rest.empty() ? rest : rest.substr(1));
  if (!port) return Malformed("the port is no number");
  return Authority{std::string(host), *port};
}

}  // namespace

Result<HttpsUrl> HttpsUrl::Parse(std::string_view text) {
  if (text.size() > kMaxUrlBytes)
    return Malformed("longer than " + std::to_string(kMaxUrlBytes) + " bytes");
  if (!IsVisibleAscii(text)) return Malformed("white space, or a letter outside ASCII");
  if (!AreEscapesWhole(text)) return Malformed("invalid URL escape");
  if (!HasHttpsScheme(text)) return Fail(Code::kInvalidArgument, kUrlNotHttps);
  const std::string_view rest = text.substr(kScheme.size());
  const std::string_view written = rest.substr(0, rest.find_first_of("/?#"));
  SIGNET_TRY(Authority authority, ParseAuthority(written));
  HttpsUrl url;
  url.text_ = std::string(kScheme) + std::string(rest);
  url.host_ = std::move(authority.host);
  url.port_ = authority.port;
  const std::string_view target = rest.substr(written.size());
  url.target_ = target.substr(0, target.find('#'));
  if (!url.target_.starts_with('/')) url.target_.insert(0, "/");
  return url;
}

std::string HttpsUrl::HostField() const {
  const std::string host = host_.find(':') == host_.npos ? host_ : "[" + host_ + "]";
  return port_ == kDefaultPort ? host : host + ":" + std::to_string(port_);
}

}  // namespace signet::net
