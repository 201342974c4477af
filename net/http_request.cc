#include "net/http_request.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>

#include "net/http_grammar.h"

namespace signet::net {
namespace {

bool ParseRequestLine(std::string_view line, HttpRequest* request) {
  const auto first = line.find(' ');
  const auto last = line.rfind(' ');
  if (first == line.npos || first == last) return false;
  const std::string_view method = line.substr(0, first);
  const std::string_view target = line.substr(first + 1, last - first - 1);
  const std::string_view version = line.substr(last + 1);
  if (!IsToken(method) || (version != "HTTP/1.1" && version != "HTTP/1.0")) return false;
  if (!target.starts_with('/') || target.find_first_of(" \t") != target.npos ||
      !IsFieldValue(target))
    return false;
  request->method = method;
  request->path = target.substr(0, target.find('?'));
  return true;
}

bool ParseField(std::string_view line, HttpRequest* request) {
  std::string_view name, value;
  if (!SplitField(line, &name, &value)) return false;
  if (EqualIgnoringCase(name, "host")) {
    if (!request->host.empty() || value.empty()) return false;
    request->host = value;
  } else if (EqualIgnoringCase(name, "if-none-match")) {
    if (!request->if_none_match.empty()) request->if_none_match += ", ";
    request->if_none_match += value;
  } else if (EqualIgnoringCase(name, "accept")) {
    if (!request->accept.empty()) request->accept += ", ";
    request->accept += value;
  }
  return true;
}

// "host", "host:port", "[v6]" or "[v6]:port" without the port and brackets; absent when it is none
// of these.
std::optional<std::string> HostWithoutPort(std::string_view host) {
  std::string_view name, rest;
  if (host.starts_with('[')) {
    const auto close = host.find(']');
    if (close == host.npos) return std::nullopt;
    name = host.substr(1, close - 1);
    rest = host.substr(close + 1);
  } else {
    name = host.substr(0, host.find(':'));
    rest = host.substr(name.size());
  }
  const bool port_good = rest.empty() || (rest.size() <= 6 && rest.starts_with(':') &&
                                          rest.find_first_not_of("0123456789", 1) == rest.npos);
  if (name.empty() || !port_good) return std::nullopt;
  return std::string(name);
}

// The bytes of the UTF-8 sequence at the start of `text` (RFC 3629); 0 when there is none.
std::size_t Utf8Length(std::string_view text) {
  const auto at = [&text](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u;
  };
  const auto follows = [&](std::size_t i, unsigned low = 0x80, unsigned high = 0xbf) {
    return at(i) >= low && at(i) <= high;
  };
  const unsigned first = at(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return follows(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    const unsigned low = first == 0xe0 ? 0xa0 : 0x80, high = first == 0xed ? 0x9f : 0xbf;
    return follows(1, low, high) && follows(2) ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    const unsigned low = first == 0xf0 ? 0x90 : 0x80, high = first == 0xf4 ? 0x8f : 0xbf;
    return follows(1, low, high) && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

}  // namespace

HeadStatus ParseRequestHead(std::string_view bytes, HttpRequest* request) {
  const auto end = bytes.find("\r\n\r\n");
  if (end == bytes.npos || end + 4 > kMaxRequestHead)
    return bytes.size() >= kMaxRequestHead ? HeadStatus::kTooLarge : HeadStatus::kIncomplete;
  std::string_view head = bytes.substr(0, end + 2);
  *request = {};
  for (bool first = true; !head.empty(); first = false) {
    const auto line_end = head.find("\r\n");
    const std::string_view line = head.substr(0, line_end);
    head.remove_prefix(line_end + 2);
    if (!(first ? ParseRequestLine(line, request) : ParseField(line, request)))
      return HeadStatus::kMalformed;
  }
  return HeadStatus::kComplete;
}

bool NamesEntityTag(std::string_view list, std::string_view etag) {
  while (!list.empty()) {
    const auto comma = list.find(',');
    std::string_view named = Trim(list.substr(0, comma));
    if (named == "*") return true;
    if (named.starts_with("W/")) named.remove_prefix(2);
    if (!named.empty() && named == etag) return true;
    list.remove_prefix(comma == list.npos ? list.size() : comma + 1);
  }
  return false;
}

bool IsOwnHost(std::string_view host, std::string_view own_host, bool any_address) {
  const std::optional<std::string> name = HostWithoutPort(host);
  if (!name) return false;
  if (EqualIgnoringCase(*name, "localhost") || EqualIgnoringCase(*name, own_host)) return true;
  in_addr v4{};
  in6_addr v6{};
  if (inet_pton(AF_INET, name->c_str(), &v4) == 1)
    return any_address || ntohl(v4.s_addr) >> 24 == 127;
  if (inet_pton(AF_INET6, name->c_str(), &v6) == 1) return any_address || IN6_IS_ADDR_LOOPBACK(&v6);
  return false;
}

std::string JsonString(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    const char c = text.front();
    const std::size_t length = Utf8Length(text);
    if (length == 0)
      out += "\xef\xbf\xbd";
    else if (c == '"' || c == '\\')
      out += {'\\', c};
    else if (static_cast<unsigned char>(c) < 0x20)
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    else
      out += text.substr(0, length);
    text.remove_prefix(std::max<std::size_t>(1, length));
  }
  return out + "\"";
}

}  // namespace signet::net
