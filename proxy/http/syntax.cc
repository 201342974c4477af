#include "proxy/http/syntax.h"

#include <algorithm>
#include <array>

namespace signet::proxy {
namespace {

enum CharClass : std::uint8_t {
  kTokenChar = 1,
  kValueChar = 2,   // VCHAR and obs-text
  kTargetChar = 4,  // VCHAR without '#'
  kHostChar = 8,    // unreserved
  kHexDigit = 16,
};

constexpr std::array<std::uint8_t, 256> MakeTable() {
  std::array<std::uint8_t, 256> table{};
  const auto add = [&](std::string_view chars, std::uint8_t what) {
    for (const char c : chars) table[static_cast<std::uint8_t>(c)] |= what;
  };
  constexpr std::string_view kAlphaDigit =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
  add(kAlphaDigit, kTokenChar | kHostChar);
  add("!#$%&'*+-.^_`|~", kTokenChar);
  add("-._~", kHostChar);
  add("0123456789abcdefABCDEF", kHexDigit);
  for (std::size_t c = 0x21; c < 0x7f; ++c) table[c] |= kValueChar | kTargetChar;
  for (std::size_t c = 0x80; c <= 0xff; ++c) table[c] |= kValueChar;
  table['#'] &= static_cast<std::uint8_t>(~kTargetChar);
  return table;
}
constexpr std::array<std::uint8_t, 256> kTable = MakeTable();

bool Is(char c, std::uint8_t what) { return (kTable[static_cast<std::uint8_t>(c)] & what) != 0; }

bool AllAre(std::string_view text, std::uint8_t what) {
  return std::ranges::all_of(text, [what](char c) { return Is(c, what); });
}

bool IsBlank(char c) { return c == ' ' || c == '\t'; }

bool IsPort(std::string_view text) {
  if (text.empty() || text.size() > 5) return false;
  std::uint32_t port = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
    port = port * 10 + static_cast<std::uint32_t>(c - '0');
  }
  return port >= 1 && port <= 65535;
}

// RFC 3986, 3.2.2, IPv6address by its characters; a zone is not part of it.
bool IsIpv6Text(std::string_view text) {
  return text.size() >= 2 && text.size() <= 45 && text.find(':') != std::string_view::npos &&
         std::ranges::all_of(text, [](char c) { return Is(c, kHexDigit) || c == ':' || c == '.'; });
}

}  // namespace

bool IsToken(std::string_view text) { return !text.empty() && AllAre(text, kTokenChar); }

bool IsFieldValue(std::string_view text) {
  if (text.empty()) return true;
  if (IsBlank(text.front()) || IsBlank(text.back())) return false;
  return std::ranges::all_of(text, [](char c) { return Is(c, kValueChar) || IsBlank(c); });
}

bool IsTargetText(std::string_view text) { return !text.empty() && AllAre(text, kTargetChar); }

bool IsAuthority(std::string_view text) {
  if (text.empty()) return true;
  std::string_view rest;
  if (text.front() == '[') {
    const std::size_t end = text.find(']');
    if (end == std::string_view::npos || !IsIpv6Text(text.substr(1, end - 1))) return false;
    rest = text.substr(end + 1);
  } else {
    const std::size_t end = std::min(text.find(':'), text.size());
    if (end == 0 || !AllAre(text.substr(0, end), kHostChar)) return false;
    rest = text.substr(end);
  }
  return rest.empty() || (rest.front() == ':' && IsPort(rest.substr(1)));
}

std::optional<std::uint64_t> ParseContentLength(std::string_view text) {
  if (text.empty() || text.size() > 18) return std::nullopt;  // 10^18 fits 63 bits
  std::uint64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + static_cast<std::uint64_t>(c - '0');
  }
  return value;
}

char LowerAscii(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

bool EqualsIgnoreCase(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) {
           return x == y || LowerAscii(x) == LowerAscii(y);
         });
}

bool IsTwinOf(std::string_view text, std::string_view name) {
  return text.size() == name.size() &&
         std::equal(text.begin(), text.end(), name.begin(),
                    [](char x, char y) { return (x == '_' ? '-' : LowerAscii(x)) == y; });
}

std::string_view TrimBlanks(std::string_view text) {
  while (!text.empty() && IsBlank(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsBlank(text.back())) text.remove_suffix(1);
  return text;
}

}  // namespace signet::proxy
