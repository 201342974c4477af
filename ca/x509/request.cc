#include "ca/x509/request.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "ca/x509/algorithm.h"
#include "ca/x509/der.h"
#include "ca/x509/der_writer.h"

namespace signet::ca {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view kExtensionRequestOid =
    "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e"sv;  // RFC 2985, 5.4.2
constexpr std::string_view kSubjectAltNameOid = "\x55\x1d\x11"sv;
constexpr std::size_t kMaxAttributes = 16;
constexpr std::size_t kMaxExtensions = 32;
constexpr std::size_t kMaxNames = 256;

tl::unexpected<Error> Malformed(std::string detail) {
  return Fail(Code::kInvalidArgument, kRequestMalformed, std::move(detail));
}

bool IsVisible(ByteView text) {
  return !text.empty() && std::all_of(text.begin(), text.end(),
                                      [](std::uint8_t c) { return c >= 0x20 && c < 0x7f; });
}

// Name (RFC 5280, 4.1.2.4): SEQUENCE OF SET SIZE (1..) OF SEQUENCE {type OID, value}.
Status CheckName(ByteView name) {
  const auto sequence = ReadSoleDer(name, kDerSequence);
  if (!sequence) return Malformed("subject is not a Name");
  DerReader names(sequence->content);
  while (!names.AtEnd()) {
    auto set = names.Enter(kDerSet);
    if (!set || set->AtEnd()) return Malformed("subject has a malformed RelativeDistinguishedName");
    while (!set->AtEnd()) {
      auto attribute = set->Enter(kDerSequence);
      const auto type = attribute ? attribute->Read(kDerOid) : std::nullopt;
      if (!type || !IsDerOid(type->content) || !attribute->Next() || !attribute->AtEnd()) {
        return Malformed("subject has a malformed attribute");
      }
    }
  }
  return {};
}

// GeneralNames (RFC 5280, 4.2.1.6).
Status ReadSubjectAltName(ByteView value, CertificateRequest& request) {
  const auto sequence = ReadSoleDer(value, kDerSequence);
  if (!sequence || sequence->content.empty())
    return Malformed("subjectAltName is not a GeneralNames");
  DerReader names(sequence->content);
  for (std::size_t count = 0; !names.AtEnd(); ++count) {
    const auto name = names.Next();
    if (!name || (name->tag & 0xc0) != 0x80 || (name->tag & 0x1f) > 8) {
      return Malformed("subjectAltName has a malformed name");
    }
    if (count >= kMaxNames) return Malformed("subjectAltName has too many names");
    if (name->tag != DerContext(6) && name->tag != DerContext(2)) {
      ++request.other_san_count;
      continue;
    }
    if (!IsVisible(name->content)) {
      return Malformed("a URI or DNS name in subjectAltName is empty or not printable ASCII");
    }
    (name->tag == DerContext(6) ? request.uri_sans : request.dns_sans)
        .push_back(ToString(name->content));
  }
  return {};
}

// Extensions (RFC 5280, 4.1): only subjectAltName is of interest, all must be well-formed and stand
// once.
Status ReadExtensions(ByteView value, CertificateRequest& request) {
  const auto sequence = ReadSoleDer(value, kDerSequence);
  if (!sequence) return Malformed("extensionRequest is not an Extensions");
  DerReader extensions(sequence->content);
  std::vector<ByteView> seen;
  while (!extensions.AtEnd()) {
    auto extension = extensions.Enter(kDerSequence);
    const auto id = extension ? extension->Read(kDerOid) : std::nullopt;
    if (!id || !IsDerOid(id->content)) return Malformed("an extension has no identifier");
    if (const auto critical = extension->Read(kDerBoolean);
        critical && !(critical->content.size() == 1 && critical->content[0] == 0xff)) {
      return Malformed("an extension has a malformed critical flag");
    }
    const auto content = extension->Read(kDerOctetString);
    if (!content || !extension->AtEnd())
      return Malformed("an extension has no value, or bytes follow it");
    if (std::any_of(seen.begin(), seen.end(),
                    [&](ByteView other) { return Equal(other, id->content); })) {
      return Malformed("an extension stands twice");
    }
    seen.push_back(id->content);
    if (seen.size() > kMaxExtensions) return Malformed("too many extensions");
    if (AsText(id->content) == kSubjectAltNameOid) {
      SIGNET_RETURN_IF_ERROR(ReadSubjectAltName(content->content, request));
    }
  }
  return {};
}

// Attributes (RFC 2986, 4.1): others than extensionRequest are well-formed and ignored.
Status ReadAttributes(DerReader attributes, CertificateRequest& request) {
  bool extensions_seen = false;
  for (std::size_t count = 0; !attributes.AtEnd(); ++count) {
    if (count >= kMaxAttributes) return Malformed("too many attributes");
    auto attribute = attributes.Enter(kDerSequence);
    const auto type = attribute ? attribute->Read(kDerOid) : std::nullopt;
    auto values = type ? attribute->Enter(kDerSet) : std::nullopt;
    if (!values || !IsDerOid(type->content) || !attribute->AtEnd())
      return Malformed("an attribute is malformed");
    const auto value = values->Next();
    if (!value) return Malformed("an attribute has no value");
    if (AsText(type->content) != kExtensionRequestOid) continue;
    if (std::exchange(extensions_seen, true) || !values->AtEnd())
      return Malformed("extensionRequest stands twice");
    SIGNET_RETURN_IF_ERROR(ReadExtensions(value->whole, request));
  }
  return {};
}

Result<CertificateRequest> ReadInfo(DerReader info) {
  const auto version = info.Read(kDerInteger);
  if (!version || !Equal(version->content, AsBytes("\0"sv))) return Malformed("version is not 0");
  const auto subject = info.Read(kDerSequence);
  if (!subject) return Malformed("no subject");
  SIGNET_RETURN_IF_ERROR(CheckName(subject->whole));
  const auto spki = info.Read(kDerSequence);
  if (!spki) return Malformed("no public key");
  auto attributes = info.Enter(DerContextConstructed(0));
  if (!attributes || !info.AtEnd()) return Malformed("no attributes, or bytes follow them");
  CertificateRequest request;
  request.subject = ToBytes(subject->whole);
  SIGNET_RETURN_IF_ERROR(ReadAttributes(*attributes, request));
  SIGNET_TRY(request.public_key, PublicKey::FromSpki(spki->whole));
  return request;
}

void WriteExtensionRequest(DerWriter& writer, std::string_view uri_san,
                           std::span<const std::string> dns_sans) {
  const std::size_t attribute = writer.Begin(kDerSequence);
  writer.Element(kDerOid, kExtensionRequestOid);
  const std::size_t values = writer.Begin(kDerSet);
  const std::size_t extensions = writer.Begin(kDerSequence);
  const std::size_t extension = writer.Begin(kDerSequence);
  writer.Element(kDerOid, kSubjectAltNameOid);
  const std::size_t value = writer.Begin(kDerOctetString);
  const std::size_t names = writer.Begin(kDerSequence);
  if (!uri_san.empty()) writer.Element(DerContext(6), uri_san);
  for (const std::string& name : dns_sans) writer.Element(DerContext(2), std::string_view(name));
  for (const std::size_t element : {names, value, extension, extensions, values, attribute})
    writer.End(element);
}

}  // namespace

Result<CertificateRequest> ParseRequest(ByteView der) {
  if (der.size() > kMaxRequestBytes) return Malformed("larger than 16 KiB");
  const auto outer = ReadSoleDer(der, kDerSequence);
  if (!outer) return Malformed("not one SEQUENCE in DER");
  DerReader parts(outer->content);
  const auto info = parts.Read(kDerSequence);
  const auto identifier = parts.Read(kDerSequence);
  const auto signature = parts.ReadOctetsOfBitString();
  if (!info || !identifier || !signature || !parts.AtEnd()) {
    return Malformed("not a CertificationRequest of information, algorithm and signature");
  }
  const auto algorithm = FindAlgorithm(identifier->whole);
  if (!algorithm) return Malformed("unknown signature algorithm");
  SIGNET_TRY(CertificateRequest request, ReadInfo(DerReader(info->content)));
  SIGNET_RETURN_IF_ERROR(request.public_key.Verify(*algorithm, info->whole, *signature));
  return request;
}

Result<Bytes> MakeRequest(const Signer& key, std::string_view uri_san,
                          std::span<const std::string> dns_sans) {
  const auto printable = [](std::string_view name) { return IsVisible(AsBytes(name)); };
  if ((!uri_san.empty() && !printable(uri_san)) ||
      !std::all_of(dns_sans.begin(), dns_sans.end(), printable)) {
    return Malformed("a name to ask for is empty or not printable ASCII");
  }
  SIGNET_TRY(const KeyType type, key.public_key().Type());
  const SignatureAlgorithm algorithm = CertificateAlgorithm(type);
  DerWriter info;
  const std::size_t sequence = info.Begin(kDerSequence);
  info.UnsignedInteger(AsBytes("\0"sv));
  info.Element(kDerSequence, ByteView());
  info.Raw(key.public_key().spki());
  const std::size_t attributes = info.Begin(DerContextConstructed(0));
  if (!uri_san.empty() || !dns_sans.empty()) WriteExtensionRequest(info, uri_san, dns_sans);
  info.End(attributes);
  info.End(sequence);
  const Bytes to_sign = info.Take();
  SIGNET_TRY(const Bytes signature, key.Sign(algorithm, to_sign));
  DerWriter request(to_sign.size() + signature.size() + 32);
  const std::size_t outer = request.Begin(kDerSequence);
  request.Raw(to_sign);
  request.Raw(AlgorithmIdentifier(algorithm));
  request.BitString(signature);
  request.End(outer);
  Bytes der = request.Take();
  if (der.size() > kMaxRequestBytes) return Malformed("larger than 16 KiB: too many names");
  return der;
}

}  // namespace signet::ca
