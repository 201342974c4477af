// A small HTTP/1.1 server in a thread of its own: one request a connection, answered by a function
// of its head. Bounded: 64 connections (more wait), 8 KiB a request, 5 s a connection.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/file.h"
#include "net/http_request.h"

namespace signet::net {

struct HttpResponse {
  int status = 200;
  std::string type = "application/json";
  std::string body;
};

// On the server's thread. The request is good only when the status is kComplete.
using HttpAnswer = std::function<HttpResponse(HeadStatus, const HttpRequest&)>;
// On the server's thread, once a connection: false closes it unheard.
using HttpAdmission = std::function<bool(int socket)>;

class HttpServer {
 public:
  // `listener` is non-blocking. `clock` bounds how long a request may take and nothing else.
  static Result<std::unique_ptr<HttpServer>> Start(UniqueFd listener, HttpAnswer answer,
                                                   const Clock& clock);
  // For whom `admits` lets in.
  static Result<std::unique_ptr<HttpServer>> Start(UniqueFd listener, HttpAnswer answer,
                                                   HttpAdmission admits, const Clock& clock);
  ~HttpServer();

 private:
  struct State;
  explicit HttpServer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace signet::net
