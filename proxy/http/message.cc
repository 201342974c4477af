#include "proxy/http/message.h"

#include "proxy/http/syntax.h"

namespace signet::proxy {

void Fields::Add(std::string_view name, std::string_view value) {
  places_.push_back({static_cast<std::uint32_t>(text_.size()),
                     static_cast<std::uint32_t>(name.size()),
                     static_cast<std::uint32_t>(value.size())});
  text_.append(name).append(value);
}

std::size_t Fields::Count(std::string_view name) const {
  std::size_t count = 0;
  for (std::size_t i = 0; i < size(); ++i)
    if (EqualsIgnoreCase((*this)[i].name, name)) ++count;
  return count;
}

std::string_view Fields::First(std::string_view name) const {
  for (std::size_t i = 0; i < size(); ++i)
    if (const Field field = (*this)[i]; EqualsIgnoreCase(field.name, name)) return field.value;
  return {};
}

std::string_view FaultName(HttpFault fault) {
  static constexpr std::string_view kNames[] = {"none",
                                                "not_http",
                                                "start_line",
                                                "version",
                                                "line_ending",
                                                "field",
                                                "host",
                                                "target",
                                                "framing",
                                                "chunk",
                                                "trailer",
                                                "expectation",
                                                "method",
                                                "head_too_large",
                                                "target_too_long",
                                                "trailers_too_large",
                                                "truncated"};
  return kNames[static_cast<std::size_t>(fault)];
}

int StatusOfFault(HttpFault fault) {
  switch (fault) {
    case HttpFault::kVersion:
      return 505;
    case HttpFault::kExpectation:
      return 417;
    case HttpFault::kMethod:
      return 405;
    case HttpFault::kHeadTooLarge:
    case HttpFault::kTrailersTooLarge:
      return 431;
    case HttpFault::kTargetTooLong:
      return 414;
    default:
      return 400;
  }
}

std::string_view ReasonPhrase(int status) {
  switch (status) {
    case 100:
      return "Continue";
    case 101:
      return "Switching Protocols";
    case 103:
      return "Early Hints";
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 206:
      return "Partial Content";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 303:
      return "See Other";
    case 304:
      return "Not Modified";
    case 307:
      return "Temporary Redirect";
    case 308:
      return "Permanent Redirect";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 412:
      return "Precondition Failed";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 416:
      return "Range Not Satisfiable";
    case 417:
      return "Expectation Failed";
    case 421:
      return "Misdirected Request";
    case 422:
      return "Unprocessable Content";
    case 426:
      return "Upgrade Required";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return {};
  }
}

}  // namespace signet::proxy
