#include "net/local_http.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "net/address.h"
#include "net/deadline.h"
#include "net/http_response.h"
#include "net/send_all.h"

namespace signet::net {
namespace {

tl::unexpected<Error> Unusable(Code code, const char* detail) {
  return Fail(code, kLocalAnswerUnusable, detail);
}

Status SendRequest(int fd, std::string_view bytes, const Deadline& deadline) {
  switch (SendAll(fd, bytes, deadline)) {
    case SendEnd::kSent:
      return {};
    case SendEnd::kLate:
      return Unusable(Code::kDeadlineExceeded, "no request was taken in time");
    case SendEnd::kClosed:
      break;
  }
  return Unusable(Code::kUnavailable, "the connection was closed");
}

Status Receive(int fd, HttpResponseReader* reader, const Deadline& deadline) {
  std::array<char, 16 * 1024> buffer;
  ResponseStatus status = ResponseStatus::kIncomplete;
  while (status == ResponseStatus::kIncomplete) {
    const ssize_t got = recv(fd, buffer.data(), buffer.size(), 0);
    if (got > 0) {
      status = reader->Add({buffer.data(), static_cast<std::size_t>(got)});
    } else if (got == 0) {
      status = reader->End();
      if (status == ResponseStatus::kIncomplete) status = ResponseStatus::kMalformed;
    } else if (errno == EAGAIN) {
      if (deadline.WaitFor(fd, POLLIN) != WaitStatus::kReady)
        return Unusable(Code::kDeadlineExceeded, "nothing came in time");
    } else if (errno != EINTR) {
      return Unusable(Code::kUnavailable, "the connection was closed");
    }
  }
  if (status == ResponseStatus::kTooLarge)
    return Unusable(Code::kResourceExhausted, "the answer is too long");
  if (status == ResponseStatus::kMalformed) return Unusable(Code::kInternal, "malformed HTTP");
  return {};
}

}  // namespace

Result<LocalAnswer> FetchLocal(const LocalQuery& query) {
  SIGNET_TRY(const Deadline deadline, Deadline::After(query.timeout));
  SIGNET_TRY(const UniqueFd fd, Connect(Address{query.socket, 0, true}, query.timeout));
  const std::string head = fmt::format(
      "GET {} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\nConnection: close\r\n\r\n",
      query.target);
  SIGNET_RETURN_IF_ERROR(SendRequest(fd.get(), head, deadline));
  HttpResponseReader reader(query.max_body_bytes);
  SIGNET_RETURN_IF_ERROR(Receive(fd.get(), &reader, deadline));
  return LocalAnswer{reader.status(), reader.TakeBody()};
}

}  // namespace signet::net
