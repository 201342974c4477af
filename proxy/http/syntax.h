// The alphabets of HTTP (RFC 9110, RFC 9112): what a token, a field value, a request target and an
// authority may hold. HTTP/1.1 and HTTP/2 are judged by the same functions, so that what is legal
// in one cannot mean something else in the other.
//
// Threads: pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace signet::proxy {

// RFC 9110, 5.6.2: one or more tchar.
bool IsToken(std::string_view text);
// RFC 9110, 5.5: visible characters, obs-text, and blanks between them: no other control character,
// no blank at either end. May be empty.
bool IsFieldValue(std::string_view text);
// RFC 3986 as a request carries it: visible ASCII without '#' (a fragment is never sent). Not
// empty.
bool IsTargetText(std::string_view text);
// host [":" port] without userinfo: a registered name of unreserved characters, an IPv4 address, or
// a bracketed IPv6 address; the port 1 to 65535. May be empty (RFC 9112, 3.2).
bool IsAuthority(std::string_view text);
// 1*DIGIT that fits 63 bits; no sign, no blank, no list (RFC 9112, 6.3).
std::optional<std::uint64_t> ParseContentLength(std::string_view text);

char LowerAscii(char c);
bool EqualsIgnoreCase(std::string_view a, std::string_view b);
// The same with '_' read as '-': servers that hand fields on as environment variables (RFC 3875,
// 4.1.18) cannot tell the two apart. `name` is in lower case with '-'.
bool IsTwinOf(std::string_view text, std::string_view name);
std::string_view TrimBlanks(std::string_view text);

// Calls `each` for every element of a comma-separated list (RFC 9110, 5.6.1), blanks trimmed, empty
// elements left out, until it answers false. False when it did.
template <class Each>
bool ForEachElement(std::string_view list, Each each) {
  while (!list.empty()) {
    const std::size_t comma = list.find(',');
    const std::string_view element = TrimBlanks(list.substr(0, comma));
    if (!element.empty() && !each(element)) return false;
    if (comma == std::string_view::npos) break;
    list.remove_prefix(comma + 1);
  }
  return true;
}

}  // namespace signet::proxy
