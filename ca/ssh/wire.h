// SSH's data representation (RFC 4251, 5): reading it within bounds, and writing it. What the
// reader answers are views into the bytes it was given.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/bytes.h"

namespace signet::ca {

class SshReader {
 public:
  explicit SshReader(ByteView bytes) : rest_(bytes) {}

  bool AtEnd() const { return rest_.empty(); }
  ByteView rest() const { return rest_; }

  std::optional<std::uint32_t> Uint32() {
    const auto value = Unsigned(4);
    if (!value) return std::nullopt;
    return static_cast<std::uint32_t>(*value);
  }
  std::optional<std::uint64_t> Uint64() { return Unsigned(8); }
  std::optional<ByteView> String() {
    SshReader ahead = *this;
    const auto size = ahead.Uint32();
    if (!size || ahead.rest_.size() < *size) return std::nullopt;
    const ByteView content = ahead.rest_.first(*size);
    rest_ = ahead.rest_.subspan(*size);
    return content;
  }
  // The magnitude, big-endian, of an mpint that is positive and in its shortest form.
  std::optional<ByteView> Positive() {
    SshReader ahead = *this;
    const auto content = ahead.String();
    if (!content || content->empty() || (*content)[0] >= 0x80) return std::nullopt;
    const bool padded = (*content)[0] == 0;
    if (padded && (content->size() == 1 || (*content)[1] < 0x80)) return std::nullopt;
    *this = ahead;
    return padded ? content->subspan(1) : *content;
  }

 private:
  std::optional<std::uint64_t> Unsigned(std::size_t size) {
    if (rest_.size() < size) return std::nullopt;
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < size; ++i) value = value << 8 | rest_[i];
    rest_ = rest_.subspan(size);
    return value;
  }

  ByteView rest_;
};

inline void AppendSshString(ByteView content, Bytes* out) {
  for (int shift = 24; shift >= 0; shift -= 8)
    out->push_back(static_cast<std::uint8_t>(content.size() >> shift));
  out->insert(out->end(), content.begin(), content.end());
}
// Of a magnitude without leading zeros.
inline void AppendSshPositive(ByteView magnitude, Bytes* out) {
  Bytes padded;
  if (magnitude.empty() || magnitude[0] >= 0x80) padded.push_back(0);
  padded.insert(padded.end(), magnitude.begin(), magnitude.end());
  AppendSshString(padded, out);
}

}  // namespace signet::ca
