#include "net/http_response.h"

#include <catch2/catch.hpp>

namespace signet::net {
namespace {

struct Outcome {
  ResponseStatus status = ResponseStatus::kIncomplete;
  int code = 0;
  std::string etag;
  std::string body;
};

// Reads `bytes` in pieces of `piece`, then the end of the connection where the reader waits for it.
Outcome Read(std::string_view bytes, std::size_t piece, std::size_t max_body = 100) {
  HttpResponseReader reader(max_body);
  Outcome outcome;
  while (!bytes.empty() && outcome.status == ResponseStatus::kIncomplete) {
    outcome.status = reader.Add(bytes.substr(0, piece));
    bytes.remove_prefix(std::min(piece, bytes.size()));
  }
  if (outcome.status == ResponseStatus::kIncomplete) outcome.status = reader.End();
  outcome.code = reader.status();
  outcome.etag = reader.etag();
  outcome.body = reader.TakeBody();
  return outcome;
}

}  // namespace

TEST_CASE("a response is read by length, by chunks and to the end, however it is cut") {
  for (const std::size_t piece : {1U, 2U, 7U, 1000U}) {
    const auto length =
        Read("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"a\"\r\n\r\nhello and more", piece);
    CHECK(length.status == ResponseStatus::kComplete);
    CHECK(length.code == 200);
    CHECK(length.etag == "\"a\"");
    CHECK(length.body == "hello");
    const auto chunked = Read(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: CHUNKED\r\n\r\n3;x=\"y\"\r\nhel\r\n002 \r\nlo\r\n"
        "0\r\nTrailer: v\r\n\r\n",
        piece);
    CHECK(chunked.status == ResponseStatus::kComplete);
    CHECK(chunked.body == "hello");
    const auto to_end = Read("HTTP/1.0 503\r\n\r\nhello", piece);
    CHECK(to_end.status == ResponseStatus::kComplete);
    CHECK(to_end.code == 503);
    CHECK(to_end.body == "hello");
    CHECK(Read("HTTP/1.1 304 Not Modified\r\nETag: \"b\"\r\n\r\n", piece).status ==
          ResponseStatus::kComplete);
    CHECK(Read("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", piece).status ==
          ResponseStatus::kComplete);
  }
}

TEST_CASE("a response whose framing is in doubt is malformed") {
  for (const char* head :
       {"HTTP/2 200 OK\r\n", "HTTP/1.1 20 OK\r\n", "HTTP/1.1 2000 OK\r\n", "HTTP/1.1 100 Go\r\n",
        "HTTP/1.1 abc\r\n", "", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n",
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n", "HTTP/1.1 200 OK\r\n folded: x\r\n",
        "HTTP/1.1 200 OK\r\nName : x\r\n"}) {
    INFO(head);
    CHECK(Read(std::string(head) + "\r\nhello", 1000).status == ResponseStatus::kMalformed);
  }
  const std::string chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const char* body : {"x\r\n", "-1\r\n", "0x5\r\nhello\r\n0\r\n\r\n", "5\r\nhelloX\r\n",
                           "5\r\nhel", "5\r\nhello\r\n", "0\r\nbad trailer\r\n\r\n"}) {
    INFO(body);
    CHECK(Read(chunked + body, 1000).status == ResponseStatus::kMalformed);
  }
  CHECK(Read("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello", 1000).status ==
        ResponseStatus::kMalformed);
}

TEST_CASE("a response is cut off at its bounds, before it is held") {
  const std::string big(200, 'x');
  CHECK(Read("HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n", 10).status ==
        ResponseStatus::kTooLarge);
  CHECK(Read("HTTP/1.1 200 OK\r\n\r\n" + big, 10).status == ResponseStatus::kTooLarge);
  CHECK(Read("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", 10)
            .status == ResponseStatus::kTooLarge);
  CHECK(Read("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3c\r\n" + big.substr(0, 60) +
                 "\r\n3c\r\n" + big.substr(0, 60) + "\r\n0\r\n\r\n",
             10)
            .status == ResponseStatus::kTooLarge);
  CHECK(Read("HTTP/1.1 200 OK\r\nX: " + std::string(kMaxResponseHead, 'x'), 1000).status ==
        ResponseStatus::kTooLarge);
  CHECK(Read("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" +
                 std::string(2 * kMaxResponseHead, '0'),
             1000)
            .status == ResponseStatus::kTooLarge);
}

}  // namespace signet::net
