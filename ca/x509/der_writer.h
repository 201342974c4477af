// Writing DER (X.690, 10) from the outside in: Begin() an element, write its content, End() it; the
// length is put in when it is known. The caller orders the elements; nothing is sorted.
#pragma once

#include <string_view>

#include "base/bytes.h"
#include "base/check.h"

namespace signet::ca {

class DerWriter {
 public:
  explicit DerWriter(std::size_t expected_size = 256) { bytes_.reserve(expected_size); }

  // Answers what End() wants. Elements close in the reverse order of their opening.
  std::size_t Begin(std::uint8_t tag) {
    bytes_.push_back(tag);
    bytes_.push_back(0);
    return bytes_.size();
  }
  void End(std::size_t begin) {
    const std::size_t length = bytes_.size() - begin;
    CHECK_TRUE(begin >= 2 && begin <= bytes_.size() && length <= 0xffffff);
    if (length < 0x80) {
      bytes_[begin - 1] = static_cast<std::uint8_t>(length);
      return;
    }
    const std::size_t count = length <= 0xff ? 1 : length <= 0xffff ? 2 : 3;
    std::uint8_t octets[3];
    for (std::size_t i = 0; i < count; ++i)
      octets[i] = static_cast<std::uint8_t>(length >> (8 * (count - 1 - i)));
    bytes_[begin - 1] = static_cast<std::uint8_t>(0x80 | count);
    bytes_.insert(bytes_.begin() + static_cast<std::ptrdiff_t>(begin), octets, octets + count);
  }

  void Element(std::uint8_t tag, ByteView content) {
    const std::size_t element = Begin(tag);
    Raw(content);
    End(element);
  }
  void Element(std::uint8_t tag, std::string_view content) { Element(tag, AsBytes(content)); }
  // Bytes that are DER already.
  void Raw(ByteView der) { bytes_.insert(bytes_.end(), der.begin(), der.end()); }
  void Byte(std::uint8_t byte) { bytes_.push_back(byte); }

  // An INTEGER from its magnitude, big-endian.
  void UnsignedInteger(ByteView magnitude) {
    while (magnitude.size() > 1 && magnitude[0] == 0) magnitude = magnitude.subspan(1);
    const std::size_t element = Begin(0x02);
    if (magnitude.empty() || magnitude[0] >= 0x80) Byte(0);
    Raw(magnitude);
    End(element);
  }
  // A BIT STRING without unused bits.
  void BitString(ByteView octets) {
    const std::size_t element = Begin(0x03);
    Byte(0);
    Raw(octets);
    End(element);
  }

  Bytes Take() { return std::move(bytes_); }

 private:
  Bytes bytes_;
};

}  // namespace signet::ca
