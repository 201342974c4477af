#include "ca/x509/der_strict.h"

namespace signet::ca {
namespace {

constexpr std::uint8_t kConstructed = 0x20;
constexpr std::uint8_t kClassMask = 0xC0;
constexpr std::uint8_t kNumberMask = 0x1F;
constexpr std::uint8_t kBoolean = 1;
constexpr std::uint8_t kInteger = 2;
constexpr std::uint8_t kBitString = 3;
constexpr std::uint8_t kNull = 5;
constexpr std::uint8_t kObjectIdentifier = 6;
constexpr std::uint8_t kEnumerated = 10;
constexpr std::uint8_t kSequence = 16;
constexpr std::uint8_t kSet = 17;

// X.690, 8.3.2: the first nine bits of an INTEGER are neither all zero nor all one.
bool IsShortestInteger(ByteView content) {
  if (content.empty()) return false;
  if (content.size() == 1) return true;
  return !(content[0] == 0x00 && (content[1] & 0x80) == 0) &&
         !(content[0] == 0xFF && (content[1] & 0x80) != 0);
}

// X.690, 11.2: unused bits are zero.
bool IsCanonicalBitString(ByteView content) {
  if (content.empty() || content[0] > 7) return false;
  if (content.size() == 1) return content[0] == 0;
  return (content.back() & ((1U << content[0]) - 1)) == 0;
}

// X.690, 8.19.2: no sub-identifier starts with 0x80, and the last one ends.
bool IsObjectIdentifier(ByteView content) {
  if (content.empty() || (content.back() & 0x80) != 0) return false;
  bool starts = true;
  for (const std::uint8_t byte : content) {
    if (starts && byte == 0x80) return false;
    starts = (byte & 0x80) == 0;
  }
  return true;
}

bool IsCanonicalPrimitive(std::uint8_t number, ByteView content) {
  switch (number) {
    case kBoolean:
      return content.size() == 1 && (content[0] == 0x00 || content[0] == 0xFF);
    case kInteger:
    case kEnumerated:
      return IsShortestInteger(content);
    case kBitString:
      return IsCanonicalBitString(content);
    case kNull:
      return content.empty();
    case kObjectIdentifier:
      return IsObjectIdentifier(content);
    case kSequence:
    case kSet:
      return false;  // these are constructed
    default:
      return true;
  }
}

bool AreStrictElements(ByteView bytes, int depth_left);

bool IsStrictElement(const DerElement& element, int depth_left) {
  const bool universal = (element.tag & kClassMask) == 0;
  const std::uint8_t number = element.tag & kNumberMask;
  if ((element.tag & kConstructed) == 0)
    return !universal || IsCanonicalPrimitive(number, element.content);
  if (universal && number != kSequence && number != kSet) return false;
  return AreStrictElements(element.content, depth_left);
}

bool AreStrictElements(ByteView bytes, int depth_left) {
  if (depth_left == 0) return false;
  while (!bytes.empty()) {
    const auto element = ReadDerElement(bytes);
    if (!element || !IsStrictElement(*element, depth_left - 1)) return false;
    bytes = bytes.subspan(element->size);
  }
  return true;
}

}  // namespace

std::optional<DerElement> ReadDerElement(ByteView bytes) {
  if (bytes.size() < 2 || (bytes[0] & kNumberMask) == kNumberMask) return std::nullopt;
  std::size_t header = 2;
  std::size_t length = bytes[1];
  if (length >= 0x80) {
    const std::size_t octets = length & 0x7F;
    if (octets == 0 || octets > 4 || bytes.size() < 2 + octets) return std::nullopt;
    length = 0;
    for (std::size_t i = 0; i < octets; ++i) length = (length << 8) | bytes[2 + i];
    const bool shortest = bytes[2] != 0 && length >= 0x80;
    if (!shortest) return std::nullopt;
    header += octets;
  }
  if (length > bytes.size() - header) return std::nullopt;
  return DerElement{bytes[0], bytes.subspan(header, length), header + length};
}

bool IsStrictDer(ByteView bytes) {
  const auto element = ReadDerElement(bytes);
  return element && element->size == bytes.size() && IsStrictElement(*element, kMaxDerDepth);
}

}  // namespace signet::ca
