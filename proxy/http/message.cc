#include "proxy/http/message.h"

#include "proxy/http/syntax.h"

namespace signet::proxy {
namespace {

struct Phrase {
  int status;
  std::string_view text;
};
constexpr Phrase kPhrases[] = {{100, "Continue"},
                               {101, "Switching Protocols"},
                               {103, "Early Hints"},
                               {200, "OK"},
                               {201, "Created"},
                               {202, "Accepted"},
                               {204, "No Content"},
                               {206, "Partial Content"},
                               {301, "Moved Permanently"},
                               {302, "Found"},
                               {303, "See Other"},
                               {304, "Not Modified"},
                               {307, "Temporary Redirect"},
                               {308, "Permanent Redirect"},
                               {400, "Bad Request"},
                               {401, "Unauthorized"},
                               {403, "Forbidden"},
                               {404, "Not Found"},
                               {405, "Method Not Allowed"},
                               {408, "Request Timeout"},
                               {409, "Conflict"},
                               {412, "Precondition Failed"},
                               {413, "Content Too Large"},
                               {414, "URI Too Long"},
                               {415, "Unsupported Media Type"},
                               {416, "Range Not Satisfiable"},
                               {417, "Expectation Failed"},
                               {421, "Misdirected Request"},
                               {422, "Unprocessable Content"},
                               {426, "Upgrade Required"},
                               {429, "Too Many Requests"},
                               {431, "Request Header Fields Too Large"},
                               {500, "Internal Server Error"},
                               {501, "Not Implemented"},
                               {502, "Bad Gateway"},
                               {503, "Service Unavailable"},
                               {504, "Gateway Timeout"},
                               {505, "HTTP Version Not Supported"},
                               {508, "Loop Detected"}};

}  // namespace

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
  for (const Phrase& phrase : kPhrases)
    if (phrase.status == status) return phrase.text;
  return {};
}

}  // namespace signet::proxy
