#include "ca/x509/name.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>

#include "ca/x509/der.h"
#include "ca/x509/der_writer.h"
#include "ca/x509/utf8.h"

namespace signet::ca {
namespace {

constexpr std::string_view kCountry = "2.5.4.6";
constexpr std::string_view kOrganization = "2.5.4.10";
constexpr std::string_view kCommonName = "2.5.4.3";
constexpr std::string_view kSerialNumber = "2.5.4.5";
constexpr std::string_view kOrganizationalUnit = "2.5.4.11";
constexpr std::string_view kCommonNameOidDer = "\x55\x04\x03";
constexpr std::string_view kSerialNumberOidDer = "\x55\x04\x05";
constexpr std::string_view kCountryOidDer = "\x55\x04\x06";
constexpr std::string_view kOrganizationOidDer = "\x55\x04\x0a";
constexpr std::string_view kOrganizationalUnitOidDer = "\x55\x04\x0b";

tl::unexpected<Error> Refused(std::string detail) {
  return Fail(Code::kInvalidArgument, kProfileRefused, std::move(detail));
}

// X.680, 41.4. The asterisk of a wildcard is not among them.
bool IsPrintableString(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           std::string_view(" '()+,-./:=?").find(c) != std::string_view::npos;
  });
}

void AppendBase128(std::uint32_t value, Bytes& out) {
  for (int shift = 28; shift > 0; shift -= 7) {
    if (value >> shift != 0)
      out.push_back(static_cast<std::uint8_t>(0x80 | ((value >> shift) & 0x7f)));
  }
  out.push_back(static_cast<std::uint8_t>(value & 0x7f));
}

std::optional<Bytes> EncodeOid(std::string_view dotted) {
  std::vector<std::uint32_t> arcs;
  const char* cursor = dotted.data();
  const char* const end = cursor + dotted.size();
  while (true) {
    std::uint32_t arc = 0;
    const auto [next, error] = std::from_chars(cursor, end, arc);
    if (error != std::errc() || (*cursor == '0' && next - cursor > 1)) return std::nullopt;
    arcs.push_back(arc);
    if (next == end) break;
    if (*next != '.') return std::nullopt;
    cursor = next + 1;
  }
  if (arcs.size() < 2 || arcs[0] > 2 || arcs[1] > 39) return std::nullopt;
  Bytes oid;
  AppendBase128(arcs[0] * 40 + arcs[1], oid);
  for (std::size_t i = 2; i < arcs.size(); ++i) AppendBase128(arcs[i], oid);
  return oid;
}

Status WriteAttribute(const NameAttribute& attribute, DerWriter& writer) {
  const auto oid = EncodeOid(attribute.oid);
  if (!oid) return Refused("'" + attribute.oid + "' is no object identifier");
  if (attribute.value.empty() || !IsUtf8(attribute.value)) {
    return Refused("the value of " + attribute.oid + " is empty or not UTF-8");
  }
  const std::size_t set = writer.Begin(kDerSet);
  const std::size_t sequence = writer.Begin(kDerSequence);
  writer.Element(kDerOid, *oid);
  writer.Element(IsPrintableString(attribute.value) ? kDerPrintableString : kDerUtf8String,
                 std::string_view(attribute.value));
  writer.End(sequence);
  writer.End(set);
  return {};
}

// The type of the first attribute of a RelativeDistinguishedName; empty when there is none.
std::string_view FirstType(DerReader set) {
  auto attribute = set.Enter(kDerSequence);
  const auto type = attribute ? attribute->Read(kDerOid) : std::nullopt;
  return type ? AsText(type->content) : std::string_view();
}

// The RelativeDistinguishedNames of `name` but for those that begin with a CN.
Result<Bytes> WithoutCommonName(ByteView name) {
  const auto sequence = ReadSoleDer(name, kDerSequence);
  if (!sequence) return Refused("the subject is no Name");
  DerReader sets(sequence->content);
  Bytes kept;
  while (!sets.AtEnd()) {
    const auto set = sets.Read(kDerSet);
    if (!set) return Refused("the subject is no Name");
    if (FirstType(DerReader(set->content)) != kCommonNameOidDer)
      kept.insert(kept.end(), set->whole.begin(), set->whole.end());
  }
  return kept;
}

std::string Decimal(ByteView magnitude) {
  Bytes rest = ToBytes(magnitude);
  std::string digits;
  while (std::any_of(rest.begin(), rest.end(), [](std::uint8_t byte) { return byte != 0; })) {
    unsigned remainder = 0;
    for (std::uint8_t& byte : rest) {
      const unsigned part = remainder << 8 | byte;
      byte = static_cast<std::uint8_t>(part / 10);
      remainder = part % 10;
    }
    digits.push_back(static_cast<char>('0' + remainder));
  }
  std::reverse(digits.begin(), digits.end());
  return digits.empty() ? "0" : digits;
}

}  // namespace

Result<Bytes> MakeName(std::span<const NameAttribute> attributes) {
  DerWriter writer(128);
  const std::size_t name = writer.Begin(kDerSequence);
  for (const NameAttribute& attribute : attributes)
    SIGNET_RETURN_IF_ERROR(WriteAttribute(attribute, writer));
  writer.End(name);
  return writer.Take();
}

Result<Bytes> LeafSubject(const LeafProfile& profile) {
  if (!profile.subject.empty() && profile.dns_sans.empty()) return profile.subject;
  DerWriter writer(128);
  const std::size_t name = writer.Begin(kDerSequence);
  if (profile.subject.empty()) {
    SIGNET_RETURN_IF_ERROR(WriteAttribute({std::string(kCountry), "US"}, writer));
    SIGNET_RETURN_IF_ERROR(WriteAttribute({std::string(kOrganization), "SPIRE"}, writer));
  } else {
    SIGNET_TRY(const Bytes kept, WithoutCommonName(profile.subject));
    writer.Raw(kept);
  }
  if (!profile.dns_sans.empty()) {
    SIGNET_RETURN_IF_ERROR(
        WriteAttribute({std::string(kCommonName), profile.dns_sans.front()}, writer));
  }
  writer.End(name);
  return writer.Take();
}

Result<Bytes> RootSubject(const RootProfile& profile, ByteView serial) {
  std::vector<NameAttribute> attributes = profile.subject;
  if (attributes.empty()) {
    attributes = {{std::string(kCountry), "US"}, {std::string(kOrganization), "SPIFFE"}};
  }
  attributes.push_back({std::string(kSerialNumber), Decimal(serial)});
  return MakeName(attributes);
}

std::optional<std::string> FindCommonName(ByteView name) {
  const auto sequence = ReadSoleDer(name, kDerSequence);
  if (!sequence) return std::nullopt;
  std::optional<std::string> found;
  for (DerReader sets(sequence->content); auto set = sets.Enter(kDerSet);) {
    while (auto attribute = set->Enter(kDerSequence)) {
      const auto type = attribute->Read(kDerOid);
      const auto value = attribute->Next();
      if (!type || !value || AsText(type->content) != kCommonNameOidDer) continue;
      const bool readable = value->tag == kDerUtf8String || value->tag == kDerPrintableString ||
                            value->tag == kDerIa5String;
      if (readable && IsUtf8(AsText(value->content))) found = ToString(value->content);
    }
  }
  return found;
}

Result<Bytes> DownstreamSubject(ByteView parent, std::size_t depth, ByteView serial) {
  const auto sequence = ReadSoleDer(parent, kDerSequence);
  if (!sequence) return Refused("the authority's subject is no Name");
  Bytes organization, rest;
  DerReader sets(sequence->content);
  while (!sets.AtEnd()) {
    const auto set = sets.Read(kDerSet);
    if (!set) return Refused("the authority's subject is no Name");
    const std::string_view type = FirstType(DerReader(set->content));
    if (type == kOrganizationalUnitOidDer || type == kSerialNumberOidDer) continue;
    const bool before = type == kCountryOidDer || type == kOrganizationOidDer;
    Bytes& part = before ? organization : rest;
    part.insert(part.end(), set->whole.begin(), set->whole.end());
  }
  DerWriter writer(128);
  const std::size_t name = writer.Begin(kDerSequence);
  writer.Raw(organization);
  SIGNET_RETURN_IF_ERROR(WriteAttribute(
      {std::string(kOrganizationalUnit), "DOWNSTREAM-" + std::to_string(depth)}, writer));
  writer.Raw(rest);
  SIGNET_RETURN_IF_ERROR(WriteAttribute({std::string(kSerialNumber), Decimal(serial)}, writer));
  writer.End(name);
  return writer.Take();
}

}  // namespace signet::ca
