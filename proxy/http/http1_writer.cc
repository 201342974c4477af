#include "proxy/http/http1_writer.h"

#include <charconv>

#include "base/check.h"

namespace signet::proxy {
namespace {

void WriteFields(const Fields& fields, std::string* out) {
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const Fields::Field field = fields[i];
    out->append(field.name).append(": ").append(field.value).append("\r\n");
  }
}

}  // namespace

void WriteRequestHead(const RequestHead& request, std::string* out) {
  out->append(request.method).push_back(' ');
  out->append(request.path.empty() ? request.authority : request.path)
      .append(" HTTP/1.1\r\nHost: ");
  out->append(request.authority).append("\r\n");
  WriteFields(request.fields, out);
  if (request.body.kind == BodyKind::kChunked || request.body.kind == BodyKind::kFramed)
    out->append("Transfer-Encoding: chunked\r\n");
  if (!request.upgrade.empty())
    out->append("Connection: Upgrade\r\nUpgrade: ").append(request.upgrade).append("\r\n");
  else if (request.takes_trailers)
    out->append("Connection: TE\r\nTE: trailers\r\n");
  out->append("\r\n");
}

void WriteResponseHead(const ResponseHead& response, bool chunked, AfterResponse after,
                       std::string* out) {
  char status[3];
  std::to_chars(status, status + 3, response.status);
  out->append("HTTP/1.1 ").append(status, 3).push_back(' ');
  out->append(response.reason.empty() ? ReasonPhrase(response.status) : response.reason);
  out->append("\r\n");
  WriteFields(response.fields, out);
  if (chunked) out->append("Transfer-Encoding: chunked\r\n");
  if (!response.upgrade.empty())
    out->append("Connection: Upgrade\r\nUpgrade: ").append(response.upgrade).append("\r\n");
  else if (after == AfterResponse::kClose)
    out->append("Connection: close\r\n");
  else if (after == AfterResponse::kKeepAliveToHttp10)
    out->append("Connection: keep-alive\r\n");
  out->append("\r\n");
}

void WriteChunk(std::string_view data, std::string* out) {
  CHECK_TRUE(!data.empty());
  char size[16];
  const auto end = std::to_chars(size, size + sizeof size, data.size(), 16).ptr;
  out->append(size, static_cast<std::size_t>(end - size)).append("\r\n");
  out->append(data).append("\r\n");
}

void WriteLastChunk(const Fields& trailers, std::string* out) {
  out->append("0\r\n");
  WriteFields(trailers, out);
  out->append("\r\n");
}

}  // namespace signet::proxy
