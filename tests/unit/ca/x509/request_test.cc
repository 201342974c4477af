#include "ca/x509/request.h"

#include <openssl/x509.h>

#include <catch2/catch.hpp>

#include "ca/x509/algorithm.h"
#include "ca/x509/der.h"
#include "ca/x509/der_writer.h"

namespace signet::ca {
namespace {

// Requests made by `openssl req` (3.0.22) with keys of each type; the first asks for
// "/C=DE/O=Acme/OU=Dev/CN=boss" and a URI, two DNS names, an e-mail address and an IP address.
constexpr std::string_view kOpenSslP256 =
    "MIIBUzCB+"
    "gIBADA5MQswCQYDVQQGEwJERTENMAsGA1UECgwEQWNtZTEMMAoGA1UECwwDRGV2MQ0wCwYDVQQDDARib3NzMFkwEwYHKoZ"
    "Izj0CAQ"
    "YIKoZIzj0DAQcDQgAE0QZznVxcbrDMrcZ4cbg/"
    "gAFmRXeBZCJjom2pZ7nCQ3atRjmPGoqln3fd5qLHzmNwbP2AjltLxbcBJUS2sBWOLaBfMF0G"
    "CSqGSIb3DQEJDjFQME4wTAYDVR0RBEUwQ4YWc3BpZmZlOi8vZXhhbXBsZS5vcmcvd4IJYS5leGFtcGxlggsqLmIuZXhhbX"
    "BsZYELYUBiLmV4YW"
    "1wbGWHBAoAAAEwCgYIKoZIzj0EAwIDSAAwRQIhAMUjsU6saMllUNTrciXd5Wz9UGDmEkzLl14WgmcD1+"
    "gUAiBf3bOKbe9WYN1jwAjlBl1/qBZR"
    "wtoWGhTTy7ARYrsLYQ==";
constexpr std::string_view kOpenSslP384 =
    "MIIBLDCBswIBADAAMHYwEAYHKoZIzj0CAQYFK4EEACIDYgAESlI8AlBq6O8qP50mMnPt/9HVe0eFptN5MOi/"
    "WJemgcs4zpdLZV4Y5yv04uAJlh"
    "5aAK1kpW3rBW5eZoa+8o6AEFUvufxTVY+YMar+7hBfqk55F8x0B8ZXrQcBLln5+"
    "auroDQwMgYJKoZIhvcNAQkOMSUwIzAhBgNVHREEGjAYhhZz"
    "cGlmZmU6Ly9leGFtcGxlLm9yZy93MAoGCCqGSM49BAMDA2gAMGUCMQC730h2VSUTN02q1W89Tw6AHK4LopQf3gu26M4Ue4"
    "/knXbfPHZujNW9Eu"
    "JyhQAtAvoCMGVu55SVcvbHMI1oKJU0g7Vby2f2CJ7kTjXjnYNMq7HjEvoyMPxTXB3Lyz+ZwXMcIA==";
constexpr std::string_view kOpenSslRsa2048 =
    "MIICeTCCAWECAQAwADCCASIwDQYJKoZIhvcNAQEBBQADggEPADCCAQoCggEBAOyLyTeqvyYhP0VHAoYE1z1T5sQsOwYn8W"
    "DMvIkT44JQa4znhk"
    "0iUPMapGbyLQN6WOWlVlUtw6t+L2l6qATvEXWtbUAcHyzYkPX0qDJ4kj89+"
    "lTZipkUpFscDhQ30sbnbsHGJdYR5frZXSGg5rrgMA4/t/y/cJi2"
    "Xbi/dUUhTnN3C/Uukg5Nuv6JbCB85uJx8L1w//Zew/s798DGRQN8TqVtRJ6C/WJwOrtjXcxqD3/"
    "c+bb3rCQeK3qf4xjXzY/sQKQGbuP6a+EFBy"
    "eyxdQXt7VGrjmrNof4JURKxWJf3huvwZkDzZqpzGaZ91bEB2C6Mv5qTiVJ44KLLS36wDctDGUCAwEAAaA0MDIGCSqGSIb3"
    "DQEJDjElMCMwIQYD"
    "VR0RBBowGIYWc3BpZmZlOi8vZXhhbXBsZS5vcmcvdzANBgkqhkiG9w0BAQsFAAOCAQEA4uyDbpwrT4cdd5jKQmWQzCOkiv"
    "1VFKsibYU1lOkEMW"
    "WgnOatsk+HutnDZqybqe9wB/E0TOaHKKtF8TiVKFaZkxvAr+1/T+FJmDuPzHwQrs/"
    "p08Z6anZSrNwf0brZU9mp+Mc70JBYZFZEOT6aGrBC1Gag"
    "ICqF8/YTr/Hk1BJzht0VCVEwJAd/"
    "mRg+9RM8XhGwww2r873ZpGmSXA9LBcvrLFGRYhR87lvKqQd5UK3oYGSM6tPVKoAynWdiKXJRIj1/d+4KLT"
    "VeeWWwih7bnGw6Bfv2k7OAqPyQlpDDDFE/8nDgKPStuWDDDF1kPKQ02w2S185iQZ3CGUJ0e8Wx6AmE8Q==";
constexpr std::string_view kOpenSslRsaPss =
    "MIICeTCCAS0CAQAwADCCASIwDQYJKoZIhvcNAQEBBQADggEPADCCAQoCggEBAOyLyTeqvyYhP0VHAoYE1z1T5sQsOwYn8W"
    "DMvIkT44JQa4znhk"
    "0iUPMapGbyLQN6WOWlVlUtw6t+L2l6qATvEXWtbUAcHyzYkPX0qDJ4kj89+"
    "lTZipkUpFscDhQ30sbnbsHGJdYR5frZXSGg5rrgMA4/t/y/cJi2"
    "Xbi/dUUhTnN3C/Uukg5Nuv6JbCB85uJx8L1w//Zew/s798DGRQN8TqVtRJ6C/WJwOrtjXcxqD3/"
    "c+bb3rCQeK3qf4xjXzY/sQKQGbuP6a+EFBy"
    "eyxdQXt7VGrjmrNof4JURKxWJf3huvwZkDzZqpzGaZ91bEB2C6Mv5qTiVJ44KLLS36wDctDGUCAwEAAaAAMEEGCSqGSIb3"
    "DQEBCjA0oA8wDQYJ"
    "YIZIAWUDBAIBBQChHDAaBgkqhkiG9w0BAQgwDQYJYIZIAWUDBAIBBQCiAwIBIAOCAQEA0evH36PJ0lqVi0eJX2JFPAiZOR"
    "Ccl/WEcqJPH7QEOp"
    "Jfi5mMLHEM02r8zNDixQ+2d8shYoZZb4kOImv7D6K2C170m3Hzwx5PZvHtr0wZwHx/vmMyCzIwvhmjUL2ys/X/"
    "tEso4R8N1YFjGZeguxwCjjJq"
    "BkFJc8BAI/i+A/tKXA6nHKZh+qPWxMHTeJsVhgkxVkVZYkj9t243A8JbL2aZSEQ1x/vm+e3TnB8WpItCFKQ+Q/"
    "0tTKUPvMXE4Jg0MoH6GUNb7f"
    "L8C7aeQVqkATsG3DJ0C5VQb0z061mDOgxakEGeKO4fQgC7IX0Ycc44KadY+NFsrm6rvi9KAzWTbLy5Kg==";
constexpr std::string_view kOpenSslEd25519 =
    "MIGzMGcCAQAwADAqMAUGAytlcAMhACN0kmcji2x31ZPfVWNujq+"
    "XwEFdBn2BIuXF1KjkmEvnoDQwMgYJKoZIhvcNAQkOMSUwIzAhBgNVHREEGj"
    "AYhhZzcGlmZmU6Ly9leGFtcGxlLm9yZy93MAUGAytlcANBAOcPISAZzcoryPz2pY6w1S9UZO4dwlwd2wMTG08U9ipC6+"
    "YeivSH0KNWJsHEDIyu"
    "bnbdrA3BF112jBzgbosigw0=";

Bytes Decode(std::string_view base64) { return DecodeBase64(base64).value(); }

PrivateKey NewKey() { return PrivateKey::Generate(KeyType::kEcP256).value(); }

// What a request is made of, each part replaceable by a bad one.
struct Parts {
  std::string version{"\x02\x01\x00", 3};
  std::string subject{"\x30\x00", 2};
  std::string attributes{"\xa0\x00", 2};
  std::string after_attributes;
  std::string after_signature;
};

// A request of these parts, properly signed.
Bytes Craft(const Parts& parts) {
  const PrivateKey key = NewKey();
  DerWriter info;
  const auto sequence = info.Begin(kDerSequence);
  info.Raw(AsBytes(parts.version));
  info.Raw(AsBytes(parts.subject));
  info.Raw(key.public_key().spki());
  info.Raw(AsBytes(parts.attributes));
  info.Raw(AsBytes(parts.after_attributes));
  info.End(sequence);
  const Bytes signed_part = info.Take();
  DerWriter request;
  const auto outer = request.Begin(kDerSequence);
  request.Raw(signed_part);
  request.Raw(AlgorithmIdentifier(SignatureAlgorithm::kEcdsaSha256));
  request.BitString(key.Sign(SignatureAlgorithm::kEcdsaSha256, signed_part).value());
  request.Raw(AsBytes(parts.after_signature));
  request.End(outer);
  return request.Take();
}

// An [0] attributes with one extensionRequest holding these extensions, `repeat` times.
std::string ExtensionRequest(std::string_view extensions, int repeat = 1) {
  DerWriter writer;
  const auto attributes = writer.Begin(DerContextConstructed(0));
  for (int i = 0; i < repeat; ++i) {
    const auto attribute = writer.Begin(kDerSequence);
    writer.Element(kDerOid, "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e");
    const auto set = writer.Begin(kDerSet);
    writer.Element(kDerSequence, extensions);
    writer.End(set);
    writer.End(attribute);
  }
  writer.End(attributes);
  return ToString(writer.Take());
}

// A subjectAltName extension whose OCTET STRING holds `value`.
std::string SubjectAltName(std::string_view value) {
  DerWriter writer;
  const auto extension = writer.Begin(kDerSequence);
  writer.Element(kDerOid, "\x55\x1d\x11");
  writer.Element(kDerOctetString, value);
  writer.End(extension);
  return ToString(writer.Take());
}

std::string GeneralNames(std::uint8_t tag, std::string_view name, int repeat = 1) {
  DerWriter writer;
  const auto sequence = writer.Begin(kDerSequence);
  for (int i = 0; i < repeat; ++i) writer.Element(tag, name);
  writer.End(sequence);
  return ToString(writer.Take());
}

Parts WithAttributes(std::string attributes) {
  Parts parts;
  parts.attributes = std::move(attributes);
  return parts;
}

bool IsMalformed(const Parts& parts) {
  const auto request = ParseRequest(Craft(parts));
  return !request && request.error().reason == kRequestMalformed;
}

}  // namespace

TEST_CASE("requests made by OpenSSL with each key type are read") {
  for (const std::string_view text : {kOpenSslP384, kOpenSslRsa2048, kOpenSslEd25519}) {
    const auto request = ParseRequest(Decode(text));
    REQUIRE(request);
    CHECK(request->uri_sans == std::vector<std::string>{"spiffe://example.org/w"});
    CHECK(request->dns_sans.empty());
    CHECK(EncodeHex(request->subject) == "3000");
  }
  CHECK(ParseRequest(Decode(kOpenSslP384))->public_key.HasType(KeyType::kEcP384));
  CHECK(ParseRequest(Decode(kOpenSslRsa2048))->public_key.HasType(KeyType::kRsa2048));
  const auto pss = ParseRequest(Decode(kOpenSslRsaPss));
  REQUIRE(pss);
  CHECK(pss->uri_sans.empty());
}

TEST_CASE("a request's subject and every kind of name are kept apart") {
  const auto request = ParseRequest(Decode(kOpenSslP256));
  REQUIRE(request);
  CHECK(request->public_key.HasType(KeyType::kEcP256));
  CHECK(EncodeHex(request->subject) ==
        "3039310b3009060355040613024445310d300b060355040a0c0441636d65310c300a060355040b0c0344657631"
        "0d300b06035504030c"
        "04626f7373");
  CHECK(request->uri_sans == std::vector<std::string>{"spiffe://example.org/w"});
  CHECK(request->dns_sans == std::vector<std::string>{"a.example", "*.b.example"});
  CHECK(request->other_san_count == 2);
}

TEST_CASE("a request we make is one OpenSSL reads and verifies, and so do we") {
  for (const KeyType type : {KeyType::kEcP256, KeyType::kEcP384, KeyType::kRsa2048}) {
    const auto key = PrivateKey::Generate(type).value();
    const std::vector<std::string> dns = {"a.example", "b.example"};
    const auto der = MakeRequest(key, "spiffe://example.org/w", dns);
    REQUIRE(der);
    const std::uint8_t* cursor = der->data();
    X509_REQ* theirs = d2i_X509_REQ(nullptr, &cursor, static_cast<long>(der->size()));
    REQUIRE(theirs != nullptr);
    CHECK(cursor == der->data() + der->size());
    CHECK(X509_REQ_verify(theirs, key.handle()) == 1);
    std::uint8_t* again = nullptr;
    const int size = i2d_X509_REQ(theirs, &again);
    CHECK(Equal({again, static_cast<std::size_t>(size)}, *der));
    OPENSSL_free(again);
    X509_REQ_free(theirs);
    const auto ours = ParseRequest(*der);
    REQUIRE(ours);
    CHECK(ours->public_key == key.public_key());
    CHECK(ours->uri_sans == std::vector<std::string>{"spiffe://example.org/w"});
    CHECK(ours->dns_sans == dns);
  }
  const PrivateKey key = NewKey();
  const auto bare = ParseRequest(MakeRequest(key).value());
  REQUIRE(bare);
  CHECK(bare->uri_sans.empty());
  CHECK(bare->other_san_count == 0);
}

TEST_CASE("a request is not made with a name that could not be read back") {
  const PrivateKey key = NewKey();
  CHECK(MakeRequest(key, "spiffe://example.org/\n").error().reason == kRequestMalformed);
  const std::vector<std::string> empty = {""};
  CHECK(MakeRequest(key, {}, empty).error().reason == kRequestMalformed);
  const std::vector<std::string> many(20, std::string(1000, 'a'));
  CHECK(MakeRequest(key, {}, many).error().reason == kRequestMalformed);
}

TEST_CASE("a request whose signature is not by its own key is refused") {
  Bytes der = Decode(kOpenSslP256);
  der.back() ^= 1;
  CHECK(ParseRequest(der).error().reason == kSignatureInvalid);
  // The same names, another letter in them: what was signed is no longer what is read.
  Bytes renamed = Decode(kOpenSslP256);
  const std::string_view text = AsText(renamed);
  renamed[text.find("example.org/w") + 12] = 'x';
  CHECK(ParseRequest(renamed).error().reason == kSignatureInvalid);
}

TEST_CASE("every cut of a request is refused, and so are bytes after it") {
  const Bytes der = Decode(kOpenSslP256);
  for (std::size_t size = 0; size < der.size(); ++size)
    CHECK_FALSE(ParseRequest(ByteView(der).first(size)));
  Bytes longer = der;
  longer.push_back(0);
  CHECK(ParseRequest(longer).error().reason == kRequestMalformed);
  CHECK(ParseRequest(Bytes(kMaxRequestBytes + 1, 0x30)).error().reason == kRequestMalformed);
}

TEST_CASE("no single changed byte of a signed request goes unnoticed") {
  const Bytes der = Decode(kOpenSslP256);
  for (std::size_t i = 0; i < der.size(); ++i) {
    Bytes changed = der;
    changed[i] ^= 0x01;
    CHECK_FALSE(ParseRequest(changed));
  }
}

TEST_CASE("requests with well-formed oddities are read") {
  CHECK(ParseRequest(Craft(Parts())));
  // An unknown attribute (challengePassword) beside nothing else.
  Parts parts;
  parts.attributes =
      std::string("\xa0\x16\x30\x14\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x07\x31\x07\x0c\x05",
                  19) +
      "abcde";
  CHECK(ParseRequest(Craft(parts)));
  const auto request = ParseRequest(
      Craft(WithAttributes(ExtensionRequest(SubjectAltName(GeneralNames(0x82, "a b"))))));
  REQUIRE(request);
  CHECK(request->dns_sans == std::vector<std::string>{"a b"});
}

TEST_CASE("a properly signed request that breaks a rule of PKCS#10 is refused") {
  Parts version;
  version.version = std::string("\x02\x01\x01", 3);
  CHECK(IsMalformed(version));
  Parts long_version;
  long_version.version = std::string("\x02\x02\x00\x00", 4);
  CHECK(IsMalformed(long_version));
  Parts no_attributes;
  no_attributes.attributes.clear();
  CHECK(IsMalformed(no_attributes));
  Parts trailing;
  trailing.after_attributes = std::string("\x05\x00", 2);
  CHECK(IsMalformed(trailing));
  Parts after;
  after.after_signature = std::string("\x05\x00", 2);
  CHECK(IsMalformed(after));
  Parts empty_rdn;
  empty_rdn.subject = std::string("\x30\x02\x31\x00", 4);
  CHECK(IsMalformed(empty_rdn));
  Parts no_value;
  no_value.subject = std::string("\x30\x09\x31\x07\x30\x05\x06\x03\x55\x04\x03", 11);
  CHECK(IsMalformed(no_value));
  Parts indefinite;
  indefinite.subject = std::string("\x30\x80\x00\x00", 4);
  CHECK(IsMalformed(indefinite));
}

TEST_CASE("a properly signed request with bad extensions or names is refused") {
  const std::string san = SubjectAltName(GeneralNames(0x86, "spiffe://example.org/w"));
  REQUIRE(ParseRequest(Craft(WithAttributes(ExtensionRequest(san)))));
  CHECK(IsMalformed(WithAttributes(ExtensionRequest(san, 2))));
  CHECK(IsMalformed(WithAttributes(ExtensionRequest(san + san))));
  CHECK(IsMalformed(WithAttributes(ExtensionRequest(SubjectAltName("")))));
  CHECK(IsMalformed(WithAttributes(ExtensionRequest(SubjectAltName(std::string("\x30\x00", 2))))));
  CHECK(IsMalformed(WithAttributes(
      ExtensionRequest(SubjectAltName(GeneralNames(0x86, "spiffe://td/\xc3\xa4"))))));
  CHECK(IsMalformed(WithAttributes(
      ExtensionRequest(SubjectAltName(GeneralNames(0x86, std::string_view("a\0b", 3)))))));
  CHECK(IsMalformed(WithAttributes(ExtensionRequest(SubjectAltName(GeneralNames(0x86, ""))))));
  CHECK(IsMalformed(WithAttributes(ExtensionRequest(SubjectAltName(GeneralNames(0x89, "x"))))));
  CHECK(IsMalformed(WithAttributes(ExtensionRequest(SubjectAltName(GeneralNames(0x16, "x"))))));
  CHECK(
      IsMalformed(WithAttributes(ExtensionRequest(SubjectAltName(GeneralNames(0x82, "x", 257))))));
  CHECK(
      IsMalformed(WithAttributes(ExtensionRequest(SubjectAltName(GeneralNames(0x82, "x") + "y")))));
  // critical FALSE written out is not DER.
  std::string with_false = san;
  with_false.insert(7, std::string("\x01\x01\x00", 3));
  with_false[1] = static_cast<char>(with_false[1] + 3);
  CHECK(IsMalformed(WithAttributes(ExtensionRequest(with_false))));
  CHECK(IsMalformed(WithAttributes(std::string("\xa0\x02\x05\x00", 4))));
  std::string many = "\xa0\x81\x99";
  for (int i = 0; i < 17; ++i) many += std::string("\x30\x07\x06\x01\x2a\x31\x02\x05\x00", 9);
  CHECK(IsMalformed(WithAttributes(many)));
}

TEST_CASE("a request with an algorithm we do not know is refused before any cryptography") {
  Bytes der = Decode(kOpenSslP256);
  const std::string_view text = AsText(der);
  const auto at = text.rfind("\x2a\x86\x48\xce\x3d\x04\x03\x02");
  REQUIRE(at != std::string_view::npos);
  der[at + 7] = 0x01;  // ecdsa-with-SHA224
  CHECK(ParseRequest(der).error().reason == kRequestMalformed);
}

}  // namespace signet::ca
