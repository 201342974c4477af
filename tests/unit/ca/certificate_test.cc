#include "ca/x509/certificate.h"

#include <catch2/catch.hpp>

#include "ca/x509/der_strict.h"
#include "tests/support/test_certificates.h"

namespace signet::ca {
namespace {

using test::CaSpec;
using test::CertificateSpec;
using test::LeafSpec;
using test::MakeCertificate;

Bytes Hex(std::string_view text) { return DecodeHex(text).value(); }

void CheckRefused(const Result<Certificate>& result, const std::string& because) {
  REQUIRE_FALSE(result);
  CHECK(result.error().reason == kCertificateMalformed);
  CHECK_THAT(result.error().detail, Catch::Contains(because));
}

TEST_CASE("a certificate's fields are read as they were written") {
  CertificateSpec spec = LeafSpec("spiffe://example.org/workload");
  spec.dns_sans = {"a.example.org", "b.example.org"};
  spec.serial_hex = "80FF";
  const auto root = MakeCertificate(CaSpec("root"));
  const auto made = MakeCertificate(spec, &root);
  const Certificate leaf = made.Parsed();
  CHECK(Equal(leaf.der(), made.der));
  CHECK(leaf.SerialHex() == "80ff");
  CHECK(leaf.SerialDecimal() == "33023");
  CHECK(leaf.SubjectText() == "CN=workload");
  CHECK_FALSE(leaf.HasEmptySubject());
  CHECK(UnixSeconds(leaf.not_before()) == spec.not_before);
  CHECK(UnixSeconds(leaf.not_after()) == spec.not_after);
  CHECK(leaf.uri_sans() == std::vector<std::string>{"spiffe://example.org/workload"});
  CHECK(leaf.dns_sans() == spec.dns_sans);
  CHECK(leaf.other_san_count() == 0);
  CHECK_FALSE(leaf.subject_alt_name_critical());
  CHECK_FALSE(leaf.is_ca());
  REQUIRE(leaf.key_usage());
  CHECK(leaf.key_usage()->digital_signature);
  CHECK(leaf.key_usage()->critical);
  CHECK(leaf.key_usage()->bits == 1);
  CHECK(leaf.extended_key_usages() ==
        std::vector<std::string>{"1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"});
  CHECK(leaf.public_key().HasType(KeyType::kEcP256));
  CHECK(leaf.authority_key_id() == root.Parsed().subject_key_id());
  CHECK(leaf.subject_key_id() == leaf.public_key().SubjectKeyId());
  CHECK(leaf.fingerprint() == Sha256(made.der));
  CHECK(Equal(leaf.issuer(), root.Parsed().subject()));
  CHECK_FALSE(leaf.self_issued());
}

TEST_CASE("an authority's certificate tells its constraints and that it signed itself") {
  CertificateSpec spec = CaSpec("root");
  spec.path_length = 3;
  const Certificate root = MakeCertificate(spec).Parsed();
  CHECK(root.is_ca());
  CHECK(root.path_length() == 3);
  CHECK(root.key_usage()->key_cert_sign);
  CHECK(root.key_usage()->crl_sign);
  CHECK_FALSE(root.key_usage()->digital_signature);
  CHECK(root.extended_key_usages().empty());
  CHECK(root.self_issued());
  CHECK(root.IsSelfSigned());
}

TEST_CASE("equal subject and issuer do not make a certificate self-signed") {
  const auto first = MakeCertificate(CaSpec("same"));
  const Certificate second = MakeCertificate(CaSpec("same"), &first).Parsed();
  CHECK(second.self_issued());
  CHECK_FALSE(second.IsSelfSigned());
}

TEST_CASE("absent extensions read as absent") {
  CertificateSpec spec;
  spec.common_name.clear();
  spec.ca.reset();
  spec.key_usage.clear();
  spec.extended_key_usage.clear();
  spec.subject_key_id = false;
  const Certificate bare = MakeCertificate(spec).Parsed();
  CHECK(bare.HasEmptySubject());
  CHECK_FALSE(bare.is_ca());
  CHECK_FALSE(bare.path_length());
  CHECK_FALSE(bare.key_usage());
  CHECK(bare.extended_key_usages().empty());
  CHECK(bare.uri_sans().empty());
  CHECK(bare.subject_key_id().empty());
  CHECK(bare.authority_key_id().empty());
}

TEST_CASE("the bytes of a URI are kept whole, NUL and all") {
  const std::string uri("spiffe://example.org/w\0x", 24);
  CHECK(MakeCertificate(LeafSpec(uri)).Parsed().uri_sans() == std::vector<std::string>{uri});
}

TEST_CASE("bytes that are not exactly one certificate are refused") {
  const Bytes good = MakeCertificate(CaSpec("root")).der;
  REQUIRE(Certificate::Parse(good));
  Bytes longer = good;
  longer.push_back(0);
  CheckRefused(Certificate::Parse(longer), "DER");
  CheckRefused(Certificate::Parse(ByteView(good).first(good.size() - 1)), "DER");
  CheckRefused(Certificate::Parse({}), "DER");
  CheckRefused(Certificate::Parse(Hex("3000")), "not an X.509 certificate");
  CheckRefused(Certificate::Parse(AsBytes("-----BEGIN CERTIFICATE-----")), "DER");
}

TEST_CASE("an oversized certificate is refused before it is read") {
  CheckRefused(Certificate::Parse(Bytes(kMaxCertificateBytes + 1)), "64 KiB");
}

TEST_CASE("no single-byte change of a certificate crashes the reader or keeps its signature") {
  const auto made = MakeCertificate(CaSpec("root"));
  for (std::size_t i = 0; i < made.der.size(); ++i) {
    Bytes changed = made.der;
    changed[i] ^= 0x01;
    const auto parsed = Certificate::Parse(changed);
    if (parsed) CHECK_FALSE(parsed->IsSelfSigned());
  }
}

TEST_CASE("an extension that is there twice is refused") {
  CertificateSpec spec = LeafSpec("spiffe://example.org/a");
  spec.more_extensions = {{"1.2.3.4.5", "DER:0500"}, {"1.2.3.4.5", "DER:0500"}};
  CheckRefused(Certificate::Parse(MakeCertificate(spec).der), "twice");
}

TEST_CASE("malformed contents of known extensions are refused") {
  const auto [extension, value] = GENERATE(table<std::string, std::string>({
      {"2.5.29.17", "DER:3000"},      // no names
      {"2.5.29.17", "DER:0500"},      // not a sequence
      {"2.5.29.30", "DER:0101ff"},    // nameConstraints of a wrong type
      {"2.5.29.32", "DER:30800000"},  // indefinite length
  }));
  CertificateSpec spec;
  spec.more_extensions = {{extension, value}};
  INFO(extension << " " << value);
  const auto parsed = Certificate::Parse(MakeCertificate(spec).der);
  REQUIRE_FALSE(parsed);
  CHECK(parsed.error().reason == kCertificateMalformed);
}

TEST_CASE("an empty extended key usage is refused") {
  CertificateSpec spec;
  spec.extended_key_usage.clear();
  spec.more_extensions = {{"2.5.29.37", "DER:3000"}};
  CheckRefused(Certificate::Parse(MakeCertificate(spec).der), "extKeyUsage");
}

TEST_CASE("serial numbers have at most 20 octets and are not negative") {
  CertificateSpec spec;
  spec.serial_hex = "7F" + std::string(38, 'A');
  CHECK(MakeCertificate(spec).Parsed().serial().size() == 20);
  spec.serial_hex = "80" + std::string(38, 'A');  // its DER form has a zero octet in front
  CheckRefused(Certificate::Parse(MakeCertificate(spec).der), "serial");
  spec.serial_hex = "-1";
  CheckRefused(Certificate::Parse(MakeCertificate(spec).der), "negative");
  spec.serial_hex = "0";
  const Certificate zero = MakeCertificate(spec).Parsed();
  CHECK(zero.serial().empty());
  CHECK(zero.SerialDecimal() == "0");
}

TEST_CASE("more names than the bound are refused") {
  CertificateSpec spec = LeafSpec("spiffe://example.org/a");
  spec.dns_sans.assign(256, "a");
  CheckRefused(Certificate::Parse(MakeCertificate(spec).der), "too many");
}

TEST_CASE("times past 2049 are read and those past the clock's range are cut to it") {
  CertificateSpec spec = CaSpec("root");
  spec.not_after = 4102444800;  // 2100-01-01
  CHECK(UnixSeconds(MakeCertificate(spec).Parsed().not_after()) == 4102444800);
  spec.not_after = 253402300799;  // 9999-12-31T23:59:59Z, "no well-defined end" (RFC 5280, 4.1.2.5)
  CHECK(UnixSeconds(MakeCertificate(spec).Parsed().not_after()) == UnixSeconds(WallTime::max()));
}

TEST_CASE("certificates compare by their bytes") {
  const auto made = MakeCertificate(CaSpec("root"));
  CHECK(made.Parsed() == made.Parsed());
  CHECK_FALSE(made.Parsed() == MakeCertificate(CaSpec("root")).Parsed());
}

TEST_CASE("concatenated DER reads back what it holds") {
  const std::vector<Certificate> two{MakeCertificate(CaSpec("a")).Parsed(),
                                     MakeCertificate(CaSpec("b")).Parsed()};
  const Bytes der = ConcatenateDer(two);
  CHECK(ParseConcatenatedDer(der, 2).value() == two);
  CHECK(ParseConcatenatedDer({}, 2).value().empty());
  const auto over = ParseConcatenatedDer(der, 1);
  REQUIRE_FALSE(over);
  CHECK(over.error().reason == kCertificateMalformed);
  CHECK_FALSE(ParseConcatenatedDer(ByteView(der).first(der.size() - 1), 2));
  Bytes trailing = der;
  trailing.push_back('\n');
  CHECK_FALSE(ParseConcatenatedDer(trailing, 3));
}

TEST_CASE("PEM reads back what it holds, with text around the blocks and either line end") {
  const std::vector<Certificate> two{MakeCertificate(CaSpec("a")).Parsed(),
                                     MakeCertificate(CaSpec("b")).Parsed()};
  const std::string pem = ToPem(two);
  CHECK(ParsePem(pem, 2).value() == two);
  CHECK(ParsePem("# ours\n" + ToPem(two[0]) + "\nand theirs:\n" + ToPem(two[1]), 2).value() == two);
  std::string windows;
  for (const char c : pem) windows += c == '\n' ? std::string("\r\n") : std::string(1, c);
  CHECK(ParsePem(windows, 2).value() == two);
  CHECK(ParsePem("", 2).value().empty());
}

TEST_CASE("PEM that holds anything but whole certificates is refused") {
  const std::string pem = ToPem(MakeCertificate(CaSpec("a")).Parsed());
  const std::string body = pem.substr(28, 64);
  CHECK_FALSE(ParsePem(pem + pem, 1));
  CHECK_FALSE(ParsePem(pem.substr(0, pem.size() - 10), 2));
  CHECK_FALSE(ParsePem("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", 2));
  CHECK_FALSE(ParsePem("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", 2));
  CHECK_FALSE(
      ParsePem("-----BEGIN CERTIFICATE-----\n" + body + "\n-----END CERTIFICATE-----\n", 2));
  CHECK_FALSE(
      ParsePem("-----BEGIN CERTIFICATE-----\nProc-Type: 4\n-----END CERTIFICATE-----\n", 2));
}

TEST_CASE("strict DER takes the shortest definite forms only") {
  const auto [hex, strict] = GENERATE(table<std::string, bool>({
      {"3000", true},        {"3003020101", true},
      {"0500", true},        {"0101ff", true},
      {"010101", false},    // BOOLEAN true is FF
      {"02020001", false},  // padded INTEGER
      {"0200", false},      // empty INTEGER
      {"30800000", false},  // indefinite length
      {"308100", false},    // length not in the shortest form
      {"3082000102", false}, {"30840000000101", false},
      {"1000", false},        // SEQUENCE that is not constructed
      {"2403040101", false},  // constructed OCTET STRING
      {"03020781", false},    // unused bits set
      {"030107", false},      // unused bits of nothing
      {"06028001", false},    // padded sub-identifier
      {"060181", false},      // sub-identifier without end
      {"1f0100", false},      // multi-octet tag
      {"300500", false},      // runs past the end
      {"050000", false},      // something after it
      {"30", false},         {"", false},
  }));
  INFO(hex);
  CHECK(IsStrictDer(Hex(hex)) == strict);
}

TEST_CASE("strict DER stops at a bound of nesting") {
  Bytes nested = Hex("0500");
  for (int i = 0; i < kMaxDerDepth + 1; ++i) {
    nested.insert(nested.begin(), {0x30, static_cast<std::uint8_t>(nested.size())});
  }
  CHECK_FALSE(IsStrictDer(nested));
  CHECK(IsStrictDer(ByteView(nested).subspan(4)));
}

}  // namespace
}  // namespace signet::ca
