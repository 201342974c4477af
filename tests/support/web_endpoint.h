// A server of one document over HTTPS for tests, on 127.0.0.1: it shows what it is told and answers
// what it is told, right or wrong.
//
// Threads: as TestBackend; Answer() from any thread.
#pragma once

#include <functional>
#include <mutex>
#include <string>

#include "tests/support/stream_client.h"

namespace signet::test {

class WebEndpoint {
 public:
  explicit WebEndpoint(const CertifiedKey& identity);
  // The whole response to each request from now on: head, empty line, body.
  void Answer(std::string response);
  // A 200 with this body, and an entity tag unless empty; 304 to who holds it.
  void Publish(const std::string& body, const std::string& etag = {});
  // "https://localhost:PORT" or another host, with a path.
  std::string Url(const std::string& host = "localhost", const std::string& path = "/") const;
  // The last request as it came; empty before there was one.
  std::string LastRequest() const;
  std::uint64_t requests() const { return backend_.accepted(); }

 private:
  void Serve(StreamClient& stream);

  mutable std::mutex mutex_;
  std::string response_;
  std::string etag_;
  std::string last_request_;
  TestBackend backend_;
};

}  // namespace signet::test
