#include "ca/x509/tbs_writer.h"

#include <fmt/format.h>

#include <chrono>

#include "ca/x509/algorithm.h"
#include "ca/x509/der.h"
#include "ca/x509/der_writer.h"

namespace signet::ca {
namespace {

using namespace std::string_view_literals;

// Whole Extension elements that never differ.
constexpr std::string_view kKeyUsageSignature =  // critical, digitalSignature
    "\x30\x0e\x06\x03\x55\x1d\x0f\x01\x01\xff\x04\x04\x03\x02\x07\x80"sv;
constexpr std::string_view kKeyUsageRsa =  // critical, digitalSignature and keyEncipherment
    "\x30\x0e\x06\x03\x55\x1d\x0f\x01\x01\xff\x04\x04\x03\x02\x05\xa0"sv;
constexpr std::string_view kKeyUsageAuthority =  // critical, keyCertSign and cRLSign
    "\x30\x0e\x06\x03\x55\x1d\x0f\x01\x01\xff\x04\x04\x03\x02\x01\x06"sv;
constexpr std::string_view kBothPurposes =  // extendedKeyUsage: serverAuth, clientAuth
    "\x30\x1d\x06\x03\x55\x1d\x25\x04\x16\x30\x14"
    "\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x02"sv;
constexpr std::string_view kNotAuthority =  // critical basicConstraints, cA by default FALSE
    "\x30\x0c\x06\x03\x55\x1d\x13\x01\x01\xff\x04\x02\x30\x00"sv;
constexpr std::string_view kIsAuthority =  // critical basicConstraints, cA TRUE, no pathLen
    "\x30\x0f\x06\x03\x55\x1d\x13\x01\x01\xff\x04\x05\x30\x03\x01\x01\xff"sv;

constexpr std::string_view kBasicConstraintsOid = "\x55\x1d\x13"sv;
constexpr std::string_view kNameConstraintsOid = "\x55\x1d\x1e"sv;
constexpr std::string_view kSubjectKeyIdOid = "\x55\x1d\x0e"sv;
constexpr std::string_view kAuthorityKeyIdOid = "\x55\x1d\x23"sv;
constexpr std::string_view kSubjectAltNameOid = "\x55\x1d\x11"sv;
constexpr std::string_view kCriticalTrue = "\x01\x01\xff"sv;
constexpr std::string_view kVersion3 = "\xa0\x03\x02\x01\x02"sv;
constexpr std::string_view kEmptyName = "\x30\x00"sv;

// RFC 5280, 4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050.
void WriteTime(WallTime time, DerWriter& writer) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  const auto day = std::chrono::floor<std::chrono::days>(seconds);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(seconds - day);
  const int year = static_cast<int>(date.year());
  const bool utc = year >= 1950 && year < 2050;
  char text[32];
  const auto end =
      fmt::format_to(text, "{:0{}}{:02}{:02}{:02}{:02}{:02}Z", utc ? year % 100 : year, utc ? 2 : 4,
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     clock.hours().count(), clock.minutes().count(), clock.seconds().count());
  writer.Element(utc ? kDerUtcTime : kDerGeneralizedTime,
                 std::string_view(text, static_cast<std::size_t>(end - text)));
}

void WriteKeyIds(const TbsFields& fields, DerWriter& writer) {
  const std::size_t subject = writer.Begin(kDerSequence);
  writer.Element(kDerOid, kSubjectKeyIdOid);
  const std::size_t subject_value = writer.Begin(kDerOctetString);
  writer.Element(kDerOctetString, fields.subject_key.SubjectKeyId());
  writer.End(subject_value);
  writer.End(subject);
  if (fields.authority_key_id.empty()) return;
  const std::size_t authority = writer.Begin(kDerSequence);
  writer.Element(kDerOid, kAuthorityKeyIdOid);
  const std::size_t authority_value = writer.Begin(kDerOctetString);
  const std::size_t identifier = writer.Begin(kDerSequence);
  writer.Element(DerContext(0), fields.authority_key_id);
  for (const std::size_t element : {identifier, authority_value, authority}) writer.End(element);
}

void WriteSubjectAltName(const TbsFields& fields, DerWriter& writer) {
  const std::size_t extension = writer.Begin(kDerSequence);
  writer.Element(kDerOid, kSubjectAltNameOid);
  if (AsText(fields.subject) == kEmptyName) writer.Raw(AsBytes(kCriticalTrue));
  const std::size_t value = writer.Begin(kDerOctetString);
  const std::size_t names = writer.Begin(kDerSequence);
  writer.Element(DerContext(6), fields.uri_san);
  for (const std::string& name : fields.dns_sans)
    writer.Element(DerContext(2), std::string_view(name));
  for (const std::size_t element : {names, value, extension}) writer.End(element);
}

// critical basicConstraints, cA TRUE and pathLenConstraint (0 to 127).
Bytes BasicConstraintsOf(int path_length) {
  DerWriter writer(32);
  const std::size_t extension = writer.Begin(kDerSequence);
  writer.Element(kDerOid, kBasicConstraintsOid);
  writer.Raw(AsBytes(kCriticalTrue));
  const std::size_t value = writer.Begin(kDerOctetString);
  const std::size_t constraints = writer.Begin(kDerSequence);
  writer.Raw(AsBytes(kCriticalTrue));  // cA TRUE is the same BOOLEAN
  const auto length = static_cast<std::uint8_t>(path_length);
  writer.UnsignedInteger(ByteView(&length, 1));
  for (const std::size_t element : {constraints, value, extension}) writer.End(element);
  return writer.Take();
}

// critical nameConstraints with permitted subtrees only; nothing when nothing is limited.
Bytes NameConstraintsOf(const DownstreamLimits& limits) {
  if (limits.permitted_uri_hosts.empty() && limits.permitted_dns_names.empty()) return {};
  DerWriter writer(128);
  const std::size_t extension = writer.Begin(kDerSequence);
  writer.Element(kDerOid, kNameConstraintsOid);
  writer.Raw(AsBytes(kCriticalTrue));
  const std::size_t value = writer.Begin(kDerOctetString);
  const std::size_t constraints = writer.Begin(kDerSequence);
  const std::size_t permitted = writer.Begin(DerContextConstructed(0));
  const auto write = [&](const std::vector<std::string>& names, int kind) {
    for (const std::string& name : names) {
      const std::size_t subtree = writer.Begin(kDerSequence);
      writer.Element(DerContext(kind), std::string_view(name));
      writer.End(subtree);
    }
  };
  write(limits.permitted_uri_hosts, 6);
  write(limits.permitted_dns_names, 2);
  for (const std::size_t element : {permitted, constraints, value, extension}) writer.End(element);
  return writer.Take();
}

Bytes WriteTbs(const TbsFields& fields, std::initializer_list<std::string_view> fixed_extensions,
               ByteView last_extension = {}) {
  DerWriter writer(640 + fields.subject_key.spki().size());
  const std::size_t tbs = writer.Begin(kDerSequence);
  writer.Raw(AsBytes(kVersion3));
  writer.UnsignedInteger(fields.serial);
  writer.Raw(AlgorithmIdentifier(fields.algorithm));
  writer.Raw(fields.issuer);
  const std::size_t validity = writer.Begin(kDerSequence);
  WriteTime(fields.not_before, writer);
  WriteTime(fields.not_after, writer);
  writer.End(validity);
  writer.Raw(fields.subject);
  writer.Raw(fields.subject_key.spki());
  const std::size_t tagged = writer.Begin(DerContextConstructed(3));
  const std::size_t extensions = writer.Begin(kDerSequence);
  for (const std::string_view fixed : fixed_extensions) {
    writer.Raw(AsBytes(fixed));
  }
  WriteKeyIds(fields, writer);
  WriteSubjectAltName(fields, writer);
  writer.Raw(last_extension);
  for (const std::size_t element : {extensions, tagged, tbs}) writer.End(element);
  return writer.Take();
}

}  // namespace

Bytes WriteLeafTbs(const TbsFields& fields) {
  const bool rsa = fields.subject_key.HasType(KeyType::kRsa2048) ||
                   fields.subject_key.HasType(KeyType::kRsa4096);
  return WriteTbs(fields, {rsa ? kKeyUsageRsa : kKeyUsageSignature, kBothPurposes, kNotAuthority});
}

Bytes WriteRootTbs(const TbsFields& fields) {
  return WriteTbs(fields, {kKeyUsageAuthority, kIsAuthority});
}

Bytes WriteDownstreamTbs(const TbsFields& fields, const DownstreamLimits& limits) {
  const Bytes names = NameConstraintsOf(limits);
  if (!limits.path_length) return WriteTbs(fields, {kKeyUsageAuthority, kIsAuthority}, names);
  const Bytes constraints = BasicConstraintsOf(*limits.path_length);
  return WriteTbs(fields, {kKeyUsageAuthority, AsText(constraints)}, names);
}

Bytes WriteCertificate(ByteView tbs, SignatureAlgorithm algorithm, ByteView signature) {
  DerWriter writer(tbs.size() + signature.size() + 32);
  const std::size_t certificate = writer.Begin(kDerSequence);
  writer.Raw(tbs);
  writer.Raw(AlgorithmIdentifier(algorithm));
  writer.BitString(signature);
  writer.End(certificate);
  return writer.Take();
}

}  // namespace signet::ca
