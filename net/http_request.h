// The little of HTTP/1.1 (RFC 9112) that probes and scrapers speak: one request head, judged whole.
// Internal to net/.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace signet::net {

inline constexpr std::size_t kMaxRequestHead = 8 * 1024;

struct HttpRequest {
  std::string method;
  std::string path;           // without the query
  std::string host;           // the Host field as sent; empty when absent
  std::string if_none_match;  // all such fields, joined by ", "; empty when absent
  std::string accept;         // likewise
};

enum class HeadStatus { kIncomplete, kComplete, kMalformed, kTooLarge };

// Reads the head at the start of `bytes`. Strict: CRLF ends lines, one Host field, no folding, no
// blanks before colons.
HeadStatus ParseRequestHead(std::string_view bytes, HttpRequest* request);

// Whether a list of entity tags ("W/\"a\", \"b\"", or "*") names `etag`, compared weakly (RFC 9110,
// 13.1.2).
bool NamesEntityTag(std::string_view list, std::string_view etag);

// Whether `host` (with or without port) is localhost, a loopback address, or `own_host`; any
// numeric address when `any_address`. Names from elsewhere are refused: DNS can point them here
// (rebinding).
bool IsOwnHost(std::string_view host, std::string_view own_host, bool any_address);

// `text` as a JSON string, quotes included. Bytes that are no UTF-8 become U+FFFD.
std::string JsonString(std::string_view text);

}  // namespace signet::net
