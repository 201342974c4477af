#include "proxy/detect/first_bytes.h"

#include <catch2/catch.hpp>
#include <string>

namespace signet::proxy {
namespace {

FirstBytes Read(const std::string& bytes) { return ReadFirstBytes(AsBytes(bytes)); }

// The answer to the whole, which no beginning may contradict.
FirstBytes ReadInPieces(const std::string& bytes) {
  const FirstBytes whole = Read(bytes);
  for (std::size_t seen = 0; seen < bytes.size(); ++seen) {
    INFO(seen);
    const FirstBytes before = Read(bytes.substr(0, seen));
    CHECK((before == FirstBytes::kUndecided || before == whole));
  }
  return whole;
}

TEST_CASE("HTTP is told by its request line, of any method and version, and by HTTP/2's preface") {
  for (const char* bytes : {"GET / HTTP/1.1\r\n", "BREW /pot HTTP/1.0\r\nHost: a\r\n",
                            "OPTIONS * HTTP/1.1\r\n", "CONNECT a:1 HTTP/1.1\r\n",
                            "GET http://a/ HTTP/9.9\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"}) {
    INFO(bytes);
    CHECK(ReadInPieces(bytes) == FirstBytes::kHttp);
  }
  CHECK(Read("PRI * HTTP/2.0\r\n\r\nSM\r\n\r") == FirstBytes::kUndecided);
}

TEST_CASE(
    "attack 23: what a lenient server would take for HTTP is HTTP, and so refused or judged") {
  for (const char* bytes :
       {"GET / HTTP/1.1\n", "\r\n\r\nGET / HTTP/1.1\r\n", " GET / HTTP/1.1\r\n",
        "\tGET\t/\tHTTP/1.1\r\n", "get / http/1.1\r\n", "GET  /  HTTP/1.1 \r\n", "GET / HTTP/1.1\r",
        "\x80GET / HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"}) {
    INFO(bytes);
    CHECK(ReadInPieces(bytes) == FirstBytes::kHttp);
  }
  CHECK(Read("GET /" + std::string(kMostFirstBytes, 'a')) == FirstBytes::kHttp);
  CHECK(Read(std::string(kMostFirstBytes, '\n')) == FirstBytes::kHttp);
}

TEST_CASE("TLS is told by its second byte") {
  CHECK(ReadInPieces(std::string("\x16\x03\x01\x02\x00\x01", 6)) == FirstBytes::kTls);
  CHECK(Read("\x16") == FirstBytes::kUndecided);
  CHECK(ReadInPieces("\x16\x02\x01") == FirstBytes::kOther);
}

TEST_CASE("what is neither is told as soon as a line ends without a version, or is no text") {
  for (const std::string& bytes :
       {std::string("SSH-2.0-OpenSSH_9.2\r\n"), std::string("EHLO there\r\n"),
        std::string("*1\r\n$4\r\nPING\r\n"), std::string("get key\r\n"), std::string("GET /\r\n"),
        std::string("\0\0\0\x08\x04\xd2\x16\x2f", 8), std::string("\x01 GET / HTTP/1.1\r\n"),
        std::string("GET / HT\0TP/1.1\r\n", 17), std::string("first\nGET / HTTP/1.1\r\n")}) {
    INFO(bytes);
    CHECK(ReadInPieces(bytes) == FirstBytes::kOther);
  }
  CHECK(Read("") == FirstBytes::kUndecided);
  CHECK(Read("GET / HTTP") == FirstBytes::kUndecided);
}

}  // namespace
}  // namespace signet::proxy
