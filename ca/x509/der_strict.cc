#include "ca/x509/der_strict.h"

#include "ca/x509/der.h"

namespace signet::ca {
namespace {

constexpr std::uint8_t kConstructed = 0x20;
constexpr std::uint8_t kClassMask = 0xC0;
constexpr std::uint8_t kEnumerated = 0x0A;

// X.690, 11.2: unused bits are zero.
bool IsCanonicalBitString(ByteView content) {
  if (content.empty() || content[0] > 7) return false;
  if (content.size() == 1) return content[0] == 0;
  return (content.back() & ((1U << content[0]) - 1)) == 0;
}

bool IsCanonicalPrimitive(std::uint8_t tag, ByteView content) {
  switch (tag) {
    case kDerBoolean:
      return content.size() == 1 && (content[0] == 0x00 || content[0] == 0xFF);
    case kDerInteger:
    case kEnumerated:
      return IsMinimalDerInteger(content);
    case kDerBitString:
      return IsCanonicalBitString(content);
    case kDerNull:
      return content.empty();
    case kDerOid:
      return IsDerOid(content);
    case kDerSequence & ~kConstructed:
    case kDerSet & ~kConstructed:
      return false;  // these are constructed
    default:
      return true;
  }
}

bool AreStrictElements(ByteView bytes, int depth_left);

bool IsStrictElement(const DerValue& element, int depth_left) {
  const bool universal = (element.tag & kClassMask) == 0;
  if ((element.tag & kConstructed) == 0)
    return !universal || IsCanonicalPrimitive(element.tag, element.content);
  if (universal && element.tag != kDerSequence && element.tag != kDerSet) return false;
  return AreStrictElements(element.content, depth_left);
}

bool AreStrictElements(ByteView bytes, int depth_left) {
  if (depth_left == 0) return false;
  DerReader reader(bytes);
  while (!reader.AtEnd()) {
    const auto element = reader.Next();
    if (!element || !IsStrictElement(*element, depth_left - 1)) return false;
  }
  return true;
}

}  // namespace

bool IsStrictDer(ByteView bytes) {
  DerReader reader(bytes);
  const auto element = reader.Next();
  return element && reader.AtEnd() && IsStrictElement(*element, kMaxDerDepth);
}

}  // namespace signet::ca
