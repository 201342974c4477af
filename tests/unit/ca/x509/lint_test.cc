#include <catch2/catch.hpp>
#include <functional>

#include "ca/x509/algorithm.h"
#include "ca/x509/der.h"
#include "ca/x509/der_writer.h"
#include "ca/x509/profile.h"

namespace signet::ca {
namespace {

using namespace std::string_literals;
using namespace std::string_view_literals;

constexpr std::string_view kUri = "spiffe://example.org/w";
const WallTime kEnd = FromUnixSeconds(1'800'000'000);
const std::string kIssuer("\x30\x0d\x31\x0b\x30\x09\x06\x03\x55\x04\x06\x13\x02US", 15);
const Bytes kAuthorityKeyId(20, 0xab);

const PrivateKey& EcKey() {
  static const PrivateKey key = PrivateKey::Generate(KeyType::kEcP256).value();
  return key;
}
const PrivateKey& RsaKey() {
  static const PrivateKey key = PrivateKey::Generate(KeyType::kRsa2048).value();
  return key;
}

std::string Text(DerWriter writer) { return ToString(writer.Take()); }

std::string Element(std::uint8_t tag, std::string_view content) {
  DerWriter writer;
  writer.Element(tag, content);
  return Text(std::move(writer));
}

// An Extension; `oid` is the last octet below id-ce (2.5.29).
std::string Extension(std::uint8_t oid, bool critical, std::string_view value) {
  const std::string id = Element(kDerOid, "\x55\x1d"s + static_cast<char>(oid));
  return Element(kDerSequence,
                 id + (critical ? "\x01\x01\xff" : "") + Element(kDerOctetString, value));
}

std::string Uri(std::string_view uri) { return Element(DerContext(6), uri); }
std::string San(std::string_view names, bool critical = false) {
  return Extension(17, critical, Element(kDerSequence, names));
}

// The parts of a leaf's (or root's) TBSCertificate as they should be; each test spoils one.
struct Parts {
  std::string version = std::string("\xa0\x03\x02\x01\x02", 5);
  std::string serial = Element(kDerInteger, "\x01\x02");
  std::string algorithm = ToString(AlgorithmIdentifier(SignatureAlgorithm::kEcdsaSha256));
  std::string issuer = kIssuer;
  std::string not_before = Element(kDerUtcTime, "260101000000Z");
  std::string not_after = Element(kDerUtcTime, "261231235959Z");
  std::string subject = kIssuer;
  std::string spki = ToString(EcKey().public_key().spki());
  std::string after_spki;
  std::string key_usage = Extension(15, true, "\x03\x02\x07\x80"sv);
  std::string extended_key_usage =
      Extension(37, false,
                Element(kDerSequence, Element(kDerOid, "\x2b\x06\x01\x05\x05\x07\x03\x01") +
                                          Element(kDerOid, "\x2b\x06\x01\x05\x05\x07\x03\x02")));
  std::string basic_constraints = Extension(19, true, "\x30\x00"sv);
  std::string subject_key_id =
      Extension(14, false, Element(kDerOctetString, AsText(EcKey().public_key().SubjectKeyId())));
  std::string authority_key_id =
      Extension(35, false, Element(kDerSequence, Element(DerContext(0), AsText(kAuthorityKeyId))));
  std::string subject_alt_name = San(Uri(kUri));
  std::string more_extensions;
  std::string after_extensions;
};

Parts Root() {
  Parts parts;
  parts.key_usage = Extension(15, true, "\x03\x02\x01\x06"sv);
  parts.extended_key_usage.clear();
  parts.basic_constraints = Extension(19, true, "\x30\x03\x01\x01\xff"sv);
  parts.authority_key_id.clear();
  parts.subject_alt_name = San(Uri("spiffe://example.org"));
  return parts;
}

const std::string kOtherName("\x30\x0d\x31\x0b\x30\x09\x06\x03\x55\x04\x06\x13\x02SE", 15);

DownstreamProfile Limited() {
  return {.uri_san = "spiffe://example.org",
          .limits = {.path_length = 1,
                     .permitted_uri_hosts = {"example.org"},
                     .permitted_dns_names = {"a.example", ".b.example"}},
          .not_before = {},
          .not_after = {}};
}

std::string Subtree(int kind, std::string_view name) {
  return Element(kDerSequence, Element(DerContext(kind), name));
}
std::string NameConstraints(const std::string& permitted, bool critical = true) {
  return Extension(30, critical,
                   Element(kDerSequence, Element(DerContextConstructed(0), permitted)));
}
const std::string kPermitted =
    Subtree(6, "example.org") + Subtree(2, "a.example") + Subtree(2, ".b.example");

Parts Downstream() {
  Parts parts = Root();
  parts.subject = kOtherName;
  parts.authority_key_id = Parts().authority_key_id;
  parts.basic_constraints = Extension(19, true, "\x30\x06\x01\x01\xff\x02\x01\x01"sv);
  parts.more_extensions = NameConstraints(kPermitted);
  return parts;
}

Bytes Write(const Parts& p) {
  const std::string extensions = p.key_usage + p.extended_key_usage + p.basic_constraints +
                                 p.subject_key_id + p.authority_key_id + p.subject_alt_name +
                                 p.more_extensions;
  const std::string text =
      p.version + p.serial + p.algorithm + p.issuer +
      Element(kDerSequence, p.not_before + p.not_after) + p.subject + p.spki + p.after_spki +
      Element(DerContextConstructed(3), Element(kDerSequence, extensions)) + p.after_extensions;
  return ToBytes(AsBytes(Element(kDerSequence, text)));
}

Findings LintLeaf(const Parts& parts) {
  return LintTbs(Write(parts), Purpose::kWorkload, kUri, AsBytes(kIssuer), kAuthorityKeyId, kEnd);
}
Findings LintRoot(const Parts& parts) {
  return LintTbs(Write(parts), Purpose::kRoot, "spiffe://example.org", AsBytes(kIssuer), {}, kEnd);
}

Findings LintDownstream(const Parts& parts) {
  return LintDownstreamTbs(Write(parts), Limited(), {AsBytes(kIssuer), kAuthorityKeyId, kEnd});
}
Findings LintUnlimited(const Parts& parts) {
  DownstreamProfile profile = Limited();
  profile.limits = {};
  return LintDownstreamTbs(Write(parts), profile, {AsBytes(kIssuer), kAuthorityKeyId, kEnd});
}

struct Case {
  std::string rule;
  std::string what;
  std::function<void(Parts&)> spoil;
};

void CheckEach(const std::vector<Case>& cases, Findings (*lint)(const Parts&), const Parts& good) {
  for (const Case& row : cases) {
    INFO(row.rule << ": " << row.what);
    Parts parts = good;
    row.spoil(parts);
    const Findings findings = lint(parts);
    REQUIRE_FALSE(findings.empty());
    CHECK(findings.front().rule == row.rule);
  }
}

}  // namespace

TEST_CASE("a leaf and a root as the profile wants them have no findings") {
  CHECK(LintLeaf(Parts()).empty());
  CHECK(LintRoot(Root()).empty());
  Parts empty_subject;
  empty_subject.subject = std::string("\x30\x00", 2);
  empty_subject.subject_alt_name = San(Uri(kUri) + Element(DerContext(2), "a.example"), true);
  CHECK(LintLeaf(empty_subject).empty());
  Parts late;
  late.not_after = Element(kDerGeneralizedTime, "20500101000000Z");
  CHECK(LintTbs(Write(late), Purpose::kAgent, kUri, AsBytes(kIssuer), kAuthorityKeyId,
                FromUnixSeconds(2'600'000'000))
            .empty());
  Parts rsa;
  rsa.spki = ToString(RsaKey().public_key().spki());
  rsa.subject_key_id =
      Extension(14, false, Element(kDerOctetString, AsText(RsaKey().public_key().SubjectKeyId())));
  rsa.key_usage = Extension(15, true, "\x03\x02\x05\xa0"sv);
  CHECK(LintLeaf(rsa).empty());
}

TEST_CASE("each rule of the frame of a leaf has a finding") {
  CheckEach(
      {
          {"R-11", "version 1", [](Parts& p) { p.version.clear(); }},
          {"R-11", "version 2", [](Parts& p) { p.version[4] = 1; }},
          {"R-11", "issuerUniqueID",
           [](Parts& p) { p.after_spki = Element(DerContext(1), "\0x"sv); }},
          {"R-11", "bytes after the extensions",
           [](Parts& p) { p.after_extensions = Element(kDerNull, ""); }},
          {"R-11", "critical FALSE written out",
           [](Parts& p) {
             p.subject_key_id = Element(
                 kDerSequence, "\x06\x03\x55\x1d\x0e\x01\x01\x00"s + Element(kDerOctetString, "x"));
           }},
          {"R-01", "serial zero", [](Parts& p) { p.serial = Element(kDerInteger, "\0"sv); }},
          {"R-01", "serial negative", [](Parts& p) { p.serial = Element(kDerInteger, "\x80"); }},
          {"R-01", "serial padded", [](Parts& p) { p.serial = Element(kDerInteger, "\0\x01"sv); }},
          {"R-01", "serial of 21 octets",
           [](Parts& p) { p.serial = Element(kDerInteger, std::string(21, '\x01')); }},
          {"R-12", "ecdsa-with-SHA1",
           [](Parts& p) {
             p.algorithm = std::string("\x30\x09\x06\x07\x2a\x86\x48\xce\x3d\x04\x01", 11);
           }},
          {"R-02", "another issuer", [](Parts& p) { p.issuer.back() = 'T'; }},
          {"R-02", "empty issuer", [](Parts& p) { p.issuer = std::string("\x30\x00", 2); }},
          {"R-02", "malformed subject",
           [](Parts& p) { p.subject = Element(kDerSequence, Element(kDerSet, "")); }},
          {"R-02", "a subject in BMPString",
           [](Parts& p) {
             p.subject =
                 Element(kDerSequence,
                         Element(kDerSet, Element(kDerSequence, Element(kDerOid, "\x55\x04\x03") +
                                                                    Element(0x1e, "\0a"sv))));
           }},
          {"R-02", "a subject that is not UTF-8",
           [](Parts& p) {
             p.subject = Element(
                 kDerSequence,
                 Element(kDerSet, Element(kDerSequence, Element(kDerOid, "\x55\x04\x03") +
                                                            Element(kDerUtf8String, "\xc3"))));
           }},
          {"R-03", "no seconds",
           [](Parts& p) { p.not_before = Element(kDerUtcTime, "2601010000Z"); }},
          {"R-03", "offset",
           [](Parts& p) { p.not_before = Element(kDerUtcTime, "260101000000+0000"); }},
          {"R-03", "31 February",
           [](Parts& p) { p.not_before = Element(kDerUtcTime, "260231000000Z"); }},
          {"R-03", "24 o'clock",
           [](Parts& p) { p.not_before = Element(kDerUtcTime, "260201240000Z"); }},
          {"R-03", "GeneralizedTime too early",
           [](Parts& p) { p.not_after = Element(kDerGeneralizedTime, "20261231235959Z"); }},
          {"R-03", "ends before it begins",
           [](Parts& p) { p.not_after = Element(kDerUtcTime, "251231235959Z"); }},
          {"R-03", "ends when it begins", [](Parts& p) { p.not_after = p.not_before; }},
          {"R-04", "outlives the authority",
           [](Parts& p) { p.not_after = Element(kDerUtcTime, "300101000000Z"); }},
      },
      LintLeaf, Parts());
}

TEST_CASE("each rule of the extensions of a leaf has a finding") {
  const auto usage = [](std::string_view bits) {
    return [bits](Parts& p) { p.key_usage = Extension(15, true, bits); };
  };
  CheckEach(
      {
          {"R-11", "unknown extension",
           [](Parts& p) { p.more_extensions = Extension(32, false, "x"); }},
          {"R-11", "name constraints",
           [](Parts& p) { p.more_extensions = Extension(30, true, "\x30\x00"sv); }},
          {"R-11", "an extension twice", [](Parts& p) { p.more_extensions = p.subject_alt_name; }},
          {"X-12", "no keyUsage", [](Parts& p) { p.key_usage.clear(); }},
          {"X-13", "keyUsage not critical",
           [](Parts& p) { p.key_usage = Extension(15, false, "\x03\x02\x07\x80"sv); }},
          {"R-07", "keyUsage padded", usage("\x03\x02\x00\x80"sv)},
          {"R-07", "keyUsage without bits", usage("\x03\x01\x00"sv)},
          {"X-15", "no digitalSignature", usage("\x03\x02\x06\x40"sv)},
          {"X-16", "keyCertSign", usage("\x03\x02\x02\x84"sv)},
          {"X-16", "cRLSign", usage("\x03\x02\x01\x82"sv)},
          {"R-08", "keyEncipherment on an EC key", usage("\x03\x02\x05\xa0"sv)},
          {"X-12", "keyAgreement", usage("\x03\x02\x03\x88"sv)},
          {"X-17", "no extendedKeyUsage", [](Parts& p) { p.extended_key_usage.clear(); }},
          {"X-18", "serverAuth alone",
           [](Parts& p) {
             p.extended_key_usage = Extension(
                 37, false,
                 Element(kDerSequence, Element(kDerOid, "\x2b\x06\x01\x05\x05\x07\x03\x01")));
           }},
          {"X-18", "anyExtendedKeyUsage beside both",
           [](Parts& p) {
             p.extended_key_usage = Extension(
                 37, false,
                 Element(kDerSequence, Element(kDerOid, "\x2b\x06\x01\x05\x05\x07\x03\x01") +
                                           Element(kDerOid, "\x2b\x06\x01\x05\x05\x07\x03\x02") +
                                           Element(kDerOid, "\x55\x1d\x25\x00"sv)));
           }},
          {"X-10", "no basicConstraints", [](Parts& p) { p.basic_constraints.clear(); }},
          {"R-07", "basicConstraints not critical",
           [](Parts& p) { p.basic_constraints = Extension(19, false, "\x30\x00"sv); }},
          {"X-10", "cA TRUE",
           [](Parts& p) { p.basic_constraints = Extension(19, true, "\x30\x03\x01\x01\xff"sv); }},
          {"R-06", "no subjectKeyIdentifier", [](Parts& p) { p.subject_key_id.clear(); }},
          {"R-06", "another key's identifier",
           [](Parts& p) {
             p.subject_key_id =
                 Extension(14, false, Element(kDerOctetString, std::string(20, 'x')));
           }},
          {"R-05", "no authorityKeyIdentifier", [](Parts& p) { p.authority_key_id.clear(); }},
          {"R-05", "another authority's identifier",
           [](Parts& p) { p.authority_key_id.back() ^= 1; }},
          {"R-05", "an issuer name beside it",
           [](Parts& p) {
             p.authority_key_id =
                 Extension(35, false,
                           Element(kDerSequence, Element(DerContext(0), AsText(kAuthorityKeyId)) +
                                                     Element(DerContext(2), "x")));
           }},
      },
      LintLeaf, Parts());
}

TEST_CASE("each rule of the names and the key of a leaf has a finding") {
  CheckEach(
      {
          {"X-01", "no subjectAltName", [](Parts& p) { p.subject_alt_name.clear(); }},
          {"X-01", "no URI",
           [](Parts& p) { p.subject_alt_name = San(Element(DerContext(2), "a.example")); }},
          {"X-01", "two URIs", [](Parts& p) { p.subject_alt_name = San(Uri(kUri) + Uri(kUri)); }},
          {"X-01", "another URI",
           [](Parts& p) { p.subject_alt_name = San(Uri("spiffe://example.org/x")); }},
          {"X-04", "critical beside a subject",
           [](Parts& p) { p.subject_alt_name = San(Uri(kUri), true); }},
          {"X-04", "not critical without one",
           [](Parts& p) { p.subject = std::string("\x30\x00", 2); }},
          {"R-09", "an e-mail address",
           [](Parts& p) { p.subject_alt_name = San(Uri(kUri) + Element(DerContext(1), "a@b")); }},
          {"R-09", "an empty DNS name",
           [](Parts& p) { p.subject_alt_name = San(Uri(kUri) + Element(DerContext(2), "")); }},
          {"R-09", "a DNS name with NUL",
           [](Parts& p) {
             p.subject_alt_name = San(Uri(kUri) + Element(DerContext(2), "a\0b"sv));
           }},
          {"R-09", "bytes after the names",
           [](Parts& p) { p.subject_alt_name = San(Uri(kUri) + "x"); }},
          {"R-12", "a key on P-521",
           [](Parts& p) {
             p.spki = Element(kDerSequence,
                              Element(kDerSequence,
                                      "\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81"
                                      "\x04\x00\x23"sv) +
                                  Element(kDerBitString, "\0\x04"sv));
           }},
          {"R-12", "no key", [](Parts& p) { p.spki = std::string("\x30\x00", 2); }},
      },
      LintLeaf, Parts());
  const Parts parts;
  const auto lint_with_uri = [&](std::string_view uri) {
    Parts other;
    other.subject_alt_name = San(Uri(uri));
    return LintTbs(Write(other), Purpose::kServer, uri, AsBytes(kIssuer), kAuthorityKeyId, kEnd);
  };
  CHECK(lint_with_uri("spiffe://example.org").at(0).rule == "X-03");
  CHECK(lint_with_uri("spiffe://example.org/").at(0).rule == "X-03");
  CHECK(lint_with_uri("spiffe:///w").at(0).rule == "R-09");
  CHECK(lint_with_uri("example.org/w").at(0).rule == "R-09");
  CHECK(LintTbs(Write(parts), Purpose::kDownstreamCa, kUri, AsBytes(kIssuer), kAuthorityKeyId, kEnd)
            .size() == 1);
}

TEST_CASE("each rule of a root has a finding") {
  const auto usage = [](std::string_view bits) {
    return [bits](Parts& p) { p.key_usage = Extension(15, true, bits); };
  };
  CheckEach(
      {
          {"R-02", "subject is not the issuer", [](Parts& p) { p.subject.back() = 'T'; }},
          {"X-14", "no keyCertSign", usage("\x03\x02\x01\x02"sv)},
          {"X-14", "digitalSignature too", usage("\x03\x02\x01\x86"sv)},
          {"X-09", "no basicConstraints", [](Parts& p) { p.basic_constraints.clear(); }},
          {"X-09", "cA FALSE",
           [](Parts& p) { p.basic_constraints = Extension(19, true, "\x30\x00"sv); }},
          {"X-09", "pathLen",
           [](Parts& p) {
             p.basic_constraints = Extension(19, true, "\x30\x06\x01\x01\xff\x02\x01\x00"sv);
           }},
          {"R-11", "extendedKeyUsage",
           [](Parts& p) { p.extended_key_usage = Parts().extended_key_usage; }},
          {"R-11", "authorityKeyIdentifier",
           [](Parts& p) { p.authority_key_id = Parts().authority_key_id; }},
          {"X-01", "a path in the URI",
           [](Parts& p) { p.subject_alt_name = San(Uri("spiffe://example.org/ca")); }},
          {"R-09", "a DNS name",
           [](Parts& p) {
             p.subject_alt_name = San(Uri("spiffe://example.org") + Element(DerContext(2), "a"));
           }},
      },
      LintRoot, Root());
  Parts with_path = Root();
  with_path.subject_alt_name = San(Uri("spiffe://example.org/ca"));
  const auto findings = LintTbs(Write(with_path), Purpose::kRoot, "spiffe://example.org/ca",
                                AsBytes(kIssuer), {}, kEnd);
  REQUIRE(findings.size() == 1);
  CHECK(findings[0].rule == "X-06");
}

TEST_CASE("a lint answers all findings, not the first") {
  Parts parts;
  parts.serial = Element(kDerInteger, "\0"sv);
  parts.key_usage.clear();
  parts.subject_alt_name = San(Uri(kUri) + Uri(kUri));
  CHECK(LintLeaf(parts).size() == 3);
}

TEST_CASE("every cut of a TBSCertificate has a finding") {
  const Bytes tbs = Write(Parts());
  for (std::size_t size = 0; size < tbs.size(); ++size) {
    CHECK_FALSE(LintTbs(ByteView(tbs).first(size), Purpose::kWorkload, kUri, AsBytes(kIssuer),
                        kAuthorityKeyId, kEnd)
                    .empty());
  }
}

TEST_CASE("an authority below ours with the limits asked for, or none, has no findings") {
  CHECK(LintDownstream(Downstream()).empty());
  Parts unlimited = Downstream();
  unlimited.basic_constraints = Root().basic_constraints;
  unlimited.more_extensions.clear();
  CHECK(LintUnlimited(unlimited).empty());
  CHECK(LintTbs(Write(Downstream()), Purpose::kDownstreamCa, "spiffe://example.org",
                AsBytes(kIssuer), kAuthorityKeyId, kEnd)
            .size() == 1);
}

TEST_CASE("each rule of an authority below ours refuses what breaks it") {
  const auto constraints = [](std::string_view value) { return Extension(19, true, value); };
  CheckEach(
      {{"R-02", "its subject is the authority's above it", [](Parts& p) { p.subject = kIssuer; }},
       {"R-02", "no subject",
        [](Parts& p) {
          p.subject = std::string("\x30\x00", 2);
          p.subject_alt_name = San(Uri("spiffe://example.org"), true);
        }},
       {"R-04", "it outlives the authority above it",
        [](Parts& p) { p.not_after = Element(kDerUtcTime, "300101000000Z"); }},
       {"X-14", "digitalSignature besides",
        [](Parts& p) { p.key_usage = Extension(15, true, "\x03\x02\x01\x86"sv); }},
       {"X-14", "no keyCertSign",
        [](Parts& p) { p.key_usage = Extension(15, true, "\x03\x02\x01\x02"sv); }},
       {"R-11", "extendedKeyUsage",
        [](Parts& p) { p.extended_key_usage = Parts().extended_key_usage; }},
       {"X-09", "no path length",
        [&](Parts& p) { p.basic_constraints = constraints("\x30\x03\x01\x01\xff"sv); }},
       {"X-09", "a longer path length",
        [&](Parts& p) { p.basic_constraints = constraints("\x30\x06\x01\x01\xff\x02\x01\x02"sv); }},
       {"X-09", "cA FALSE",
        [&](Parts& p) { p.basic_constraints = constraints("\x30\x03\x02\x01\x01"sv); }},
       {"X-09", "text behind the path length",
        [&](Parts& p) {
          p.basic_constraints = constraints("\x30\x08\x01\x01\xff\x02\x01\x01\x05\x00"sv);
        }},
       {"R-07", "basicConstraints not critical",
        [](Parts& p) {
          p.basic_constraints = Extension(19, false, "\x30\x06\x01\x01\xff\x02\x01\x01"sv);
        }},
       {"R-10", "no name constraints", [](Parts& p) { p.more_extensions.clear(); }},
       {"R-10", "name constraints not critical",
        [](Parts& p) { p.more_extensions = NameConstraints(kPermitted, false); }},
       {"R-10", "a name more",
        [](Parts& p) {
          p.more_extensions = NameConstraints(kPermitted + Subtree(2, "c.example"));
        }},
       {"R-10", "a name with its scheme",
        [](Parts& p) { p.more_extensions = NameConstraints(Subtree(6, "spiffe://example.org")); }},
       {"R-10", "a name of another kind",
        [](Parts& p) { p.more_extensions = NameConstraints(Subtree(1, "a@example.org")); }},
       {"R-10", "a minimum beside the name",
        [](Parts& p) {
          p.more_extensions =
              NameConstraints(Element(kDerSequence, Element(DerContext(6), "example.org") +
                                                        Element(DerContext(0), "\x01")));
        }},
       {"R-10", "excluded subtrees only",
        [](Parts& p) {
          p.more_extensions = Extension(
              30, true, Element(kDerSequence, Element(DerContextConstructed(1), kPermitted)));
        }},
       {"R-05", "no authorityKeyIdentifier", [](Parts& p) { p.authority_key_id.clear(); }},
       {"X-01", "another URI than asked for",
        [](Parts& p) { p.subject_alt_name = San(Uri("spiffe://example.org/w")); }},
       {"R-09", "a DNS name",
        [](Parts& p) {
          p.subject_alt_name =
              San(Uri("spiffe://example.org") + Element(DerContext(2), "a.example"));
        }}},
      LintDownstream, Downstream());
  Parts with_path = Downstream();
  with_path.subject_alt_name = San(Uri(kUri));
  DownstreamProfile profile = Limited();
  profile.uri_san = kUri;
  const auto findings =
      LintDownstreamTbs(Write(with_path), profile, {AsBytes(kIssuer), kAuthorityKeyId, kEnd});
  REQUIRE(findings.size() == 1);
  CHECK(findings.front().rule == "X-06");
  Parts unlimited = Downstream();
  unlimited.basic_constraints = Root().basic_constraints;
  CheckEach({{"R-11", "name constraints that nobody asked for", [](Parts&) {}}}, LintUnlimited,
            unlimited);
  unlimited.more_extensions.clear();
  CheckEach({{"X-09", "a path length that nobody asked for",
              [](Parts& p) { p.basic_constraints = Downstream().basic_constraints; }}},
            LintUnlimited, unlimited);
}

}  // namespace signet::ca
