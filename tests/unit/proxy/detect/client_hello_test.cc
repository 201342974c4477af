// ClientHellos made by OpenSSL, whole, cut, in several records, and broken.

#include "proxy/detect/client_hello.h"

#include <openssl/ssl.h>

#include <catch2/catch.hpp>

namespace signet::proxy {
namespace {

Bytes HelloFor(const char* name, bool padded = false) {
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  SSL* ssl = SSL_new(context);
  if (name != nullptr) SSL_set_tlsext_host_name(ssl, name);
  if (padded) {
    std::string many;
    for (int i = 0; i < 200; ++i)
      many += std::string("\x09") + "protocol" + static_cast<char>('a' + i % 26);
    SSL_set_alpn_protos(ssl, reinterpret_cast<const unsigned char*>(many.data()),
                        static_cast<unsigned>(many.size()));
  }
  BIO* out = BIO_new(BIO_s_mem());
  SSL_set_bio(ssl, BIO_new(BIO_s_mem()), out);
  SSL_connect(ssl);
  char* data = nullptr;
  const long size = BIO_get_mem_data(out, &data);
  REQUIRE(size > 0);
  Bytes hello(data, data + size);
  SSL_free(ssl);
  SSL_CTX_free(context);
  return hello;
}

// The same handshake message in records of `size` bytes.
Bytes InRecords(const Bytes& hello, std::size_t size) {
  Bytes cut;
  for (std::size_t at = 5; at < hello.size(); at += size) {
    const std::size_t count = std::min(size, hello.size() - at);
    cut.insert(cut.end(), {22, 3, 1, static_cast<std::uint8_t>(count >> 8U),
                           static_cast<std::uint8_t>(count)});
    cut.insert(cut.end(), hello.begin() + static_cast<long>(at),
               hello.begin() + static_cast<long>(at + count));
  }
  return cut;
}

TEST_CASE("attack 33: the name is found in any cut of bytes and records") {
  for (const bool padded : {false, true}) {
    const Bytes hello = HelloFor("Web.Example.org", padded);
    for (const Bytes& bytes : {hello, InRecords(hello, 1), InRecords(hello, 100)}) {
      std::string name;
      for (std::size_t end = 0; end < bytes.size(); ++end)
        REQUIRE(ReadClientHello(ByteView(bytes).first(end), &name) == HelloStatus::kMore);
      CHECK(name.empty());
      CHECK(ReadClientHello(bytes, &name) == HelloStatus::kName);
      CHECK(name == "web.example.org");
    }
  }
}

TEST_CASE("a hello without a name says so, and what follows a hello is not looked at") {
  std::string name;
  Bytes hello = HelloFor(nullptr);
  CHECK(ReadClientHello(hello, &name) == HelloStatus::kNoName);
  hello.insert(hello.end(), 100, 0xff);
  CHECK(ReadClientHello(hello, &name) == HelloStatus::kNoName);
}

TEST_CASE("attack 33: what is no ClientHello is refused, at its first byte where that tells") {
  std::string name;
  const auto judge = [&](std::string_view text) { return ReadClientHello(AsBytes(text), &name); };
  CHECK(judge("G") == HelloStatus::kMalformed);
  CHECK(judge(std::string_view("\x80\x2e\x01\x03\x01", 5)) == HelloStatus::kMalformed);  // SSLv2
  CHECK(judge(std::string_view("\x16\x02\x01\x00\x05\x01", 6)) ==
        HelloStatus::kMalformed);  // version
  CHECK(judge(std::string_view("\x16\x03\x01\x00\x00\x01", 6)) ==
        HelloStatus::kMalformed);  // empty
  CHECK(judge(std::string_view("\x16\x03\x01\x00\x01\x02", 6)) ==
        HelloStatus::kMalformed);  // ServerHello
  CHECK(judge(std::string_view("\x16\x03\x01\x00\x04\x01\xff\xff\xff", 9)) ==
        HelloStatus::kMalformed);
  CHECK(judge(std::string("\x16\x03\x01\xff\xff", 5) + std::string(20000, '\1')) ==
        HelloStatus::kMalformed);
  const Bytes good = HelloFor("a.example");
  // Each length made one larger or smaller: never a name that is not the one sent.
  for (std::size_t at = 5; at < good.size(); ++at) {
    for (const int by : {1, -1}) {
      Bytes bad = good;
      bad[at] = static_cast<std::uint8_t>(bad[at] + by);
      std::string found;
      if (ReadClientHello(bad, &found) == HelloStatus::kName)
        CHECK(found.size() == std::string_view("a.example").size());
    }
  }
}

TEST_CASE("a name with other bytes than a host name's is refused") {
  for (const char* bad : {"a b", "a/b", "a:1", "[::1]", "a\xc3\xa9", "."}) {
    std::string name;
    CHECK(ReadClientHello(HelloFor(bad), &name) == HelloStatus::kMalformed);
    CHECK(name.empty());
  }
}

}  // namespace
}  // namespace signet::proxy
