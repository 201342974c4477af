// Whether text is UTF-8.
#pragma once

#include <cstdint>
#include <string_view>

namespace signet::ca {

// RFC 3629: shortest forms, no surrogates, nothing beyond U+10FFFF.
inline bool IsUtf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<std::uint8_t>(text[i]);
    const std::size_t size = lead < 0x80    ? 1
                             : lead >= 0xf0 ? 4
                             : lead >= 0xe0 ? 3
                             : lead >= 0xc2 ? 2
                                            : 0;
    if (size == 0 || lead > 0xf4 || text.size() - i < size) return false;
    std::uint32_t point = size == 1 ? lead : lead & (0x7fU >> size);
    for (std::size_t j = 1; j < size; ++j) {
      const auto byte = static_cast<std::uint8_t>(text[i + j]);
      if ((byte & 0xc0) != 0x80) return false;
      point = point << 6 | (byte & 0x3f);
    }
    if ((size == 3 && point < 0x800) || (size == 4 && (point < 0x10000 || point > 0x10ffff)) ||
        (point >= 0xd800 && point < 0xe000)) {
      return false;
    }
    i += size;
  }
  return true;
}

}  // namespace signet::ca
