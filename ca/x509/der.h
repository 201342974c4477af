// Reading DER (X.690, 10) strictly: definite lengths in their shortest form, one-byte tags, nothing
// read past the end. Every reader of outside bytes in this library stands on it; the writers
// (der_writer.h) share nothing with it but the tag numbers.
//
// What it answers are views into the bytes it was given.
#pragma once

#include <cstdint>
#include <optional>

#include "base/bytes.h"

namespace signet::ca {

enum DerTag : std::uint8_t {
  kDerBoolean = 0x01,
  kDerInteger = 0x02,
  kDerBitString = 0x03,
  kDerOctetString = 0x04,
  kDerNull = 0x05,
  kDerOid = 0x06,
  kDerUtf8String = 0x0c,
  kDerPrintableString = 0x13,
  kDerIa5String = 0x16,
  kDerUtcTime = 0x17,
  kDerGeneralizedTime = 0x18,
  kDerSequence = 0x30,
  kDerSet = 0x31,
};
constexpr std::uint8_t DerContext(int number) { return static_cast<std::uint8_t>(0x80 | number); }
constexpr std::uint8_t DerContextConstructed(int number) {
  return static_cast<std::uint8_t>(0xa0 | number);
}

struct DerValue {
  std::uint8_t tag = 0;
  ByteView content;
  ByteView whole;  // with tag and length
};

class DerReader {
 public:
  explicit DerReader(ByteView der) : rest_(der) {}

  bool AtEnd() const { return rest_.empty(); }
  bool NextIs(std::uint8_t tag) const { return !rest_.empty() && rest_[0] == tag; }

  // The next element whatever its tag. Absent at the end or where the bytes are not DER; the reader
  // then stays where it was.
  std::optional<DerValue> Next() {
    if (rest_.size() < 2 || (rest_[0] & 0x1f) == 0x1f) return std::nullopt;
    std::size_t header = 2;
    std::size_t length = rest_[1];
    if (length >= 0x80) {
      const std::size_t count = length & 0x7f;
      if (count == 0 || count > 3 || rest_.size() < 2 + count || rest_[2] == 0) return std::nullopt;
      length = 0;
      for (std::size_t i = 0; i < count; ++i) length = length << 8 | rest_[2 + i];
      if (length < 0x80) return std::nullopt;
      header += count;
    }
    if (rest_.size() - header < length) return std::nullopt;
    const DerValue element{rest_[0], rest_.subspan(header, length), rest_.first(header + length)};
    rest_ = rest_.subspan(header + length);
    return element;
  }

  // The next element if it has this tag.
  std::optional<DerValue> Read(std::uint8_t tag) { return NextIs(tag) ? Next() : std::nullopt; }

  // A reader over the content of the next element if it has this tag.
  std::optional<DerReader> Enter(std::uint8_t tag) {
    const auto element = Read(tag);
    if (!element) return std::nullopt;
    return DerReader(element->content);
  }

  // The whole octets of a BIT STRING without unused bits.
  std::optional<ByteView> ReadOctetsOfBitString() {
    const auto element = Read(kDerBitString);
    if (!element || element->content.empty() || element->content[0] != 0) return std::nullopt;
    return element->content.subspan(1);
  }

 private:
  ByteView rest_;
};

// One element with this tag and nothing after it.
inline std::optional<DerValue> ReadSoleDer(ByteView der, std::uint8_t tag) {
  DerReader reader(der);
  auto element = reader.Read(tag);
  if (!reader.AtEnd()) return std::nullopt;
  return element;
}

// X.690, 8.3.2: no superfluous leading octet.
inline bool IsMinimalDerInteger(ByteView content) {
  if (content.empty()) return false;
  if (content.size() == 1) return true;
  return !(content[0] == 0x00 && content[1] < 0x80) && !(content[0] == 0xff && content[1] >= 0x80);
}

// X.690, 8.19: whole subidentifiers in their shortest form.
inline bool IsDerOid(ByteView content) {
  bool at_start = true;
  for (const std::uint8_t byte : content) {
    if (at_start && byte == 0x80) return false;
    at_start = byte < 0x80;
  }
  return !content.empty() && at_start;
}

}  // namespace signet::ca
