#include "proxy/http/http1_head.h"

#include <algorithm>
#include <cstring>

#include "proxy/http/field_rules.h"
#include "proxy/http/syntax.h"

namespace signet::proxy {
namespace {

constexpr std::size_t kMaxMethod = 32;
constexpr std::size_t kMaxReason = 256;

// Takes the next line off `rest`, without its CRLF. The scanner has seen that every LF follows a CR
// and every CR precedes an LF.
std::string_view TakeLine(std::string_view* rest) {
  const std::size_t end = rest->find('\r');
  const std::string_view line = rest->substr(0, end);
  rest->remove_prefix(std::min(end == std::string_view::npos ? end : end + 2, rest->size()));
  return line;
}

// RFC 9112, 5: field-name ":" OWS field-value OWS. 5.1: no blank before the colon. 5.2: obs-fold,
// which begins with a blank, is no field name.
HttpFault ParseFieldLine(std::string_view line, Fields* fields) {
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos || !IsToken(line.substr(0, colon))) return HttpFault::kField;
  const std::string_view value = TrimBlanks(line.substr(colon + 1));
  if (!IsFieldValue(value)) return HttpFault::kField;
  fields->Add(line.substr(0, colon), value);
  return HttpFault::kNone;
}

HttpFault ParseFieldLines(std::string_view lines, std::size_t limit, Fields* fields) {
  for (;;) {
    const std::string_view line = TakeLine(&lines);
    if (line.empty()) return HttpFault::kNone;
    if (fields->size() == limit) return HttpFault::kHeadTooLarge;
    if (const HttpFault fault = ParseFieldLine(line, fields); fault != HttpFault::kNone)
      return fault;
  }
}

// RFC 9112, 2.3: HTTP-version is case-sensitive.
HttpFault ParseVersion(std::string_view text, HttpVersion* version) {
  if (text == "HTTP/1.1")
    *version = HttpVersion::kHttp11;
  else if (text == "HTTP/1.0")
    *version = HttpVersion::kHttp10;
  else
    return text.starts_with("HTTP/") && text.size() == 8 ? HttpFault::kVersion
                                                         : HttpFault::kStartLine;
  return HttpFault::kNone;
}

// RFC 9112, 3: method SP request-target SP HTTP-version, single blanks.
HttpFault ParseRequestLine(std::string_view line, const HttpLimits& limits, RequestHead* request) {
  const std::size_t first = line.find(' ');
  if (first == std::string_view::npos) return HttpFault::kStartLine;
  const std::string_view method = line.substr(0, first);
  line.remove_prefix(first + 1);
  const std::size_t second = line.find(' ');
  if (second == std::string_view::npos || !IsToken(method) || method.size() > kMaxMethod)
    return HttpFault::kStartLine;
  const std::string_view target = line.substr(0, second);
  if (const HttpFault fault = ParseVersion(line.substr(second + 1), &request->version);
      fault != HttpFault::kNone)
    return fault;
  if (target.size() > limits.target_bytes) return HttpFault::kTargetTooLong;
  request->method = method;
  return ParseTarget(target, request);
}

// RFC 9112, 4: HTTP-version SP status-code SP [reason-phrase]. The blank before an absent phrase is
// often left out; nothing hangs on it.
HttpFault ParseStatusLine(std::string_view line, ResponseHead* response) {
  if (line.size() < 12 || line[8] != ' ' || (line.size() > 12 && line[12] != ' '))
    return HttpFault::kStartLine;
  if (const HttpFault fault = ParseVersion(line.substr(0, 8), &response->version);
      fault != HttpFault::kNone)
    return fault;
  int status = 0;
  for (const char c : line.substr(9, 3)) {
    if (c < '0' || c > '9') return HttpFault::kStartLine;
    status = status * 10 + (c - '0');
  }
  if (status < 100 || status > 599) return HttpFault::kStartLine;
  const std::string_view reason = line.size() > 13 ? line.substr(13) : std::string_view();
  if (reason.size() > kMaxReason || !IsFieldValue(TrimBlanks(reason))) return HttpFault::kStartLine;
  response->status = status;
  response->reason = reason;
  return HttpFault::kNone;
}

// Of an authority: a ':' that is not inside brackets.
bool HasPort(std::string_view authority) {
  const std::size_t colon = authority.rfind(':');
  return colon != std::string_view::npos && authority.find(']', colon) == std::string_view::npos;
}

HttpFault TakeAbsoluteForm(std::string_view target, std::size_t scheme_bytes,
                           RequestHead* request) {
  target.remove_prefix(scheme_bytes);
  const std::size_t end = std::min(target.find_first_of("/?"), target.size());
  const std::string_view authority = target.substr(0, end);
  // RFC 9110, 4.2.1 and 4.2.4: an http URI has a host, and userinfo in it is an error.
  if (authority.empty() || !IsAuthority(authority)) return HttpFault::kTarget;
  request->authority = authority;
  const std::string_view path = target.substr(end);
  if (path.starts_with('/'))
    request->path = path;
  else if (path.empty() && request->method == "OPTIONS")
    request->path = "*";  // RFC 9112, 3.2.4
  else
    request->path = "/" + std::string(path);
  return HttpFault::kNone;
}

}  // namespace

HeadScanner::Found HeadScanner::Scan(std::string_view bytes, std::size_t limit) {
  const std::size_t end = std::min(bytes.size(), limit);
  while (scanned_ < end) {
    const void* found = std::memchr(bytes.data() + scanned_, '\n', end - scanned_);
    if (found == nullptr) {
      scanned_ = end;
      break;
    }
    const auto at = static_cast<std::size_t>(static_cast<const char*>(found) - bytes.data());
    // RFC 9112, 2.2: a lone LF may be taken for a line's end, and a lone CR must not: neither is.
    if (at == line_begin_ || bytes[at - 1] != '\r') return Fail(HttpFault::kLineEnding);
    const std::string_view line = bytes.substr(line_begin_, at - 1 - line_begin_);
    if (std::memchr(line.data(), '\r', line.size()) != nullptr ||
        std::memchr(line.data(), '\0', line.size()) != nullptr)
      return Fail(HttpFault::kLineEnding);
    scanned_ = line_begin_ = at + 1;
    if (line.empty()) {
      end_ = at + 1;
      return Found::kHead;
    }
  }
  return bytes.size() >= limit ? Fail(HttpFault::kHeadTooLarge) : Found::kMore;
}

bool MayBeHttp1(std::string_view bytes) {
  const std::size_t end = std::min(bytes.find(' '), bytes.size());
  const std::string_view method = bytes.substr(0, end);
  return method.size() <= kMaxMethod && (method.empty() ? bytes.empty() : IsToken(method));
}

HttpFault ParseTarget(std::string_view target, RequestHead* request) {
  // RFC 9112, 3.2.3: authority-form is CONNECT's, and only CONNECT's.
  if (request->method == "CONNECT") {
    // RFC 9110, 9.3.6: with a port, which no scheme would tell.
    if (!IsAuthority(target) || target.starts_with(':') || !HasPort(target))
      return HttpFault::kTarget;
    request->authority = target;
    return HttpFault::kNone;
  }
  if (!IsTargetText(target)) return HttpFault::kTarget;
  if (target.front() == '/') {
    request->path = target;
    return HttpFault::kNone;
  }
  if (target == "*") {
    request->path = target;
    return request->method == "OPTIONS" ? HttpFault::kNone : HttpFault::kTarget;
  }
  for (const std::string_view scheme : {"http://", "https://"})
    if (EqualsIgnoreCase(target.substr(0, scheme.size()), scheme))
      return TakeAbsoluteForm(target, scheme.size(), request);
  return HttpFault::kTarget;
}

HttpFault ParseRequestHead(std::string_view head, const HttpLimits& limits, RequestHead* request) {
  if (const HttpFault fault = ParseRequestLine(TakeLine(&head), limits, request);
      fault != HttpFault::kNone)
    return fault;
  Fields raw;
  if (const HttpFault fault = ParseFieldLines(head, limits.fields, &raw); fault != HttpFault::kNone)
    return fault;
  return TakeRequestFields(raw, request);
}

HttpFault ParseResponseHead(std::string_view head, const HttpLimits& limits,
                            std::string_view method, ResponseHead* response) {
  if (const HttpFault fault = ParseStatusLine(TakeLine(&head), response); fault != HttpFault::kNone)
    return fault;
  Fields raw;
  if (const HttpFault fault = ParseFieldLines(head, limits.fields, &raw); fault != HttpFault::kNone)
    return fault;
  return TakeResponseFields(raw, method, response);
}

HttpFault ParseTrailers(std::string_view lines, const HttpLimits& limits, Fields* trailers) {
  if (const HttpFault fault = ParseFieldLines(lines, limits.fields, trailers);
      fault != HttpFault::kNone)
    return fault == HttpFault::kHeadTooLarge ? HttpFault::kTrailersTooLarge : fault;
  for (std::size_t i = 0; i < trailers->size(); ++i)
    if (!MayBeTrailer((*trailers)[i].name)) return HttpFault::kTrailer;
  return HttpFault::kNone;
}

}  // namespace signet::proxy
