// Bodies of HTTP/1.1: whole, in pieces, broken.

#include "proxy/http/http1_body.h"

#include <catch2/catch.hpp>

#include "proxy/http/http1_writer.h"

namespace signet::proxy {
namespace {

struct Taken {
  std::string data;
  std::string rest;
  Http1Body::Step step = Http1Body::Step::kMore;
  HttpFault fault = HttpFault::kNone;
  Fields trailers;
};

// Feeds `text` in pieces of `piece` bytes, keeping what is left between them, as a connection does.
Taken Take(const BodyFraming& framing, std::string_view text, std::size_t piece = 1 << 20,
           const HttpLimits& limits = {}) {
  Http1Body body(framing, limits);
  Taken taken;
  std::string held;
  for (;;) {
    std::string_view input = held, data;
    taken.step = body.Next(&input, &data);
    if (taken.step == Http1Body::Step::kData) taken.data.append(data);
    held.erase(0, held.size() - input.size());
    if (taken.step == Http1Body::Step::kData) continue;
    if (taken.step != Http1Body::Step::kMore || text.empty()) break;
    held.append(text.substr(0, piece));
    text.remove_prefix(std::min(piece, text.size()));
  }
  taken.rest = held.append(text);
  taken.fault = body.fault();
  taken.trailers = body.trailers();
  return taken;
}
constexpr BodyFraming kChunkedBody{BodyKind::kChunked, 0};

TEST_CASE("a body of known length ends there, and what follows is left") {
  for (const std::size_t piece : {1, 2, 3, 100}) {
    const Taken taken = Take({BodyKind::kLength, 5}, "helloNEXT", piece);
    CHECK(taken.step == Http1Body::Step::kEnd);
    CHECK(taken.data == "hello");
    CHECK(taken.rest == "NEXT");
  }
  CHECK(Take({BodyKind::kLength, 0}, "NEXT").rest == "NEXT");
  CHECK(Take({BodyKind::kNone, 0}, "NEXT").step == Http1Body::Step::kEnd);
}

TEST_CASE("a chunked body is decoded in any pieces, extensions dropped, trailers kept") {
  const std::string text =
      "5\r\nhello\r\n00000A;x=\"y z\";q\r\n, wonderfu\r\n1\r\nl\r\n0\r\nX-Sum: 7\r\nX-B: "
      "\r\n\r\nNEXT";
  for (std::size_t piece = 1; piece < text.size(); ++piece) {
    const Taken taken = Take(kChunkedBody, text, piece);
    REQUIRE(taken.step == Http1Body::Step::kEnd);
    CHECK(taken.data == "hello, wonderful");
    CHECK(taken.rest == "NEXT");
    CHECK(taken.trailers.First("x-sum") == "7");
    CHECK(taken.trailers.size() == 2);
  }
}

TEST_CASE("attack 03: malformed chunks are refused in any pieces") {
  for (const char* bad : {"5\nhello\r\n0\r\n\r\n",
                          "5\r\nhello0\r\n\r\n",
                          "5\r\nhello\n0\r\n\r\n",
                          "5\r\nhelloX\r\n0\r\n\r\n",
                          "\r\n",
                          "x\r\n",
                          "-5\r\nhello\r\n",
                          "+5\r\nhello\r\n",
                          "0x5\r\nhello\r\n",
                          " 5\r\nhello\r\n",
                          "5 \r\nhello\r\n",
                          "5 ;a\r\nhello\r\n",
                          "5;a\rb\r\nhello\r\n",
                          "5;\n\r\nhello\r\n",
                          "5;a\x01\r\nhello\r\n",
                          "1000000000000000\r\n",
                          "fffffffffffffffff\r\n",
                          "0\n\n",
                          "0\r\nX: y\n\r\n",
                          "0\r\n X: y\r\n\r\n",
                          "0\r\nX : y\r\n\r\n",
                          "5\r\nhello\r\n\r\n0\r\n\r\n"}) {
    for (const std::size_t piece : {1, 3, 100}) {
      INFO(bad << " in pieces of " << piece);
      CHECK(Take(kChunkedBody, bad, piece).step == Http1Body::Step::kFault);
    }
  }
  CHECK(Take(kChunkedBody, std::string("5;") + std::string(300, 'e') + "\r\nhello\r\n").step ==
        Http1Body::Step::kFault);
}

TEST_CASE("attack 03: chunk extensions are bounded in all") {
  std::string text;
  for (int i = 0; i < 30; ++i) text += "1;" + std::string(200, 'e') + "\r\nx\r\n";
  const Taken taken = Take(kChunkedBody, text + "0\r\n\r\n");
  CHECK(taken.step == Http1Body::Step::kFault);
  CHECK(taken.fault == HttpFault::kChunk);
}

TEST_CASE("attack 03: trailers may not frame, route or authenticate") {
  for (const char* name :
       {"Host", "Content-Length", "Transfer-Encoding", "Authorization", "TE", "Trailer_x", "Cookie",
        "content_length", "Connection", "Upgrade", "X_Forwarded_For"}) {
    const Taken taken = Take(kChunkedBody, std::string("0\r\n") + name + ": x\r\n\r\n");
    INFO(name);
    CHECK((taken.fault == HttpFault::kTrailer) == (std::string_view(name) != "Trailer_x"));
  }
  HttpLimits limits;
  limits.trailer_bytes = 100;
  CHECK(Take(kChunkedBody, "0\r\nX: " + std::string(100, 'x') + "\r\n\r\n", 10, limits).fault ==
        HttpFault::kTrailersTooLarge);
}

TEST_CASE("only a body until the end may end with the connection") {
  Http1Body until({BodyKind::kUntilEnd, 0}, {});
  std::string_view input = "abc", data;
  CHECK(until.Next(&input, &data) == Http1Body::Step::kData);
  CHECK(data == "abc");
  CHECK(until.EndOfInput());
  Http1Body length({BodyKind::kLength, 3}, {});
  CHECK_FALSE(length.EndOfInput());
  CHECK(length.fault() == HttpFault::kTruncated);
  Http1Body chunked(kChunkedBody, {});
  CHECK_FALSE(chunked.EndOfInput());
}

TEST_CASE("what is written chunked is read back") {
  std::string text;
  WriteChunk("hello", &text);
  WriteChunk(std::string(70000, 'x'), &text);
  Fields trailers;
  trailers.Add("X-Sum", "1");
  WriteLastChunk(trailers, &text);
  const Taken taken = Take(kChunkedBody, text, 1000);
  CHECK(taken.step == Http1Body::Step::kEnd);
  CHECK(taken.data == "hello" + std::string(70000, 'x'));
  CHECK(taken.trailers.First("x-sum") == "1");
}

}  // namespace
}  // namespace signet::proxy
