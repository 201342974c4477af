#include "proxy/detect/first_bytes.h"

#include <algorithm>
#include <string_view>

namespace signet::proxy {
namespace {

// RFC 9113, 3.4: its first line looks like a request line; the rest does not.
constexpr std::string_view kHttp2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr std::uint8_t kTlsHandshake = 22;
constexpr std::uint8_t kTlsMajor = 3;
constexpr std::string_view kVersionMark = "http/";

bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

// Text of a request line, also as a lenient server takes it: no control character but a tab.
bool IsLineText(char c) { return static_cast<std::uint8_t>(c) >= 0x20 || c == '\t' || c == '\r'; }

bool SaysVersion(std::string_view line) {
  const auto same = [](char c, char mark) {
    return c == mark || (c >= 'A' && c <= 'Z' && c - 'A' + 'a' == mark);
  };
  return std::search(line.begin(), line.end(), kVersionMark.begin(), kVersionMark.end(), same) !=
         line.end();
}

}  // namespace

FirstBytes ReadFirstBytes(ByteView bytes) {
  if (bytes.empty()) return FirstBytes::kUndecided;
  if (bytes[0] == kTlsHandshake) {
    if (bytes.size() < 2) return FirstBytes::kUndecided;
    return bytes[1] == kTlsMajor ? FirstBytes::kTls : FirstBytes::kOther;
  }
  std::string_view text = AsText(bytes);
  if (text.starts_with(kHttp2Preface)) return FirstBytes::kHttp;
  if (kHttp2Preface.starts_with(text)) return FirstBytes::kUndecided;
  const std::size_t seen = text.size();
  const auto* const begin = std::ranges::find_if_not(text, IsBlank);
  text.remove_prefix(static_cast<std::size_t>(begin - text.begin()));
  // In the order of the bytes, so that the answer does not hang on how they were cut.
  const auto* const end = std::ranges::find_if_not(text, IsLineText);
  if (SaysVersion({text.begin(), end})) return FirstBytes::kHttp;
  if (end != text.end()) return FirstBytes::kOther;
  return seen < kMostFirstBytes ? FirstBytes::kUndecided : FirstBytes::kHttp;
}

}  // namespace signet::proxy
