#include "net/grpc/rpc_wire.h"

#include <algorithm>
#include <charconv>

#include "base/bytes.h"
#include "base/check.h"

namespace signet::net {
namespace {

constexpr std::size_t kTimeoutDigits = 8;
constexpr std::chrono::hours kLongest(24 * 365);

}  // namespace

std::string EncodeRpcMessage(std::string_view message, std::size_t most) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  out.reserve(std::min(message.size(), most));
  for (const char c : message) {
    if (out.size() + 3 > most) break;
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte <= 0x7e && c != '%') {
      out.push_back(c);
    } else {
      out.push_back('%');
      out.push_back(kHex[byte >> 4]);
      out.push_back(kHex[byte & 15]);
    }
  }
  return out;
}

std::optional<Duration> ParseRpcTimeout(std::string_view text) {
  if (text.size() < 2 || text.size() > kTimeoutDigits + 1) return std::nullopt;
  std::int64_t count = 0;
  const char* end = text.data() + text.size() - 1;
  const auto [at, error] = std::from_chars(text.data(), end, count);
  if (error != std::errc() || at != end || count < 0) return std::nullopt;
  switch (text.back()) {
    case 'H':
      return std::min(std::chrono::hours(count), kLongest);
    case 'M':
      return std::min<std::chrono::minutes>(std::chrono::minutes(count), kLongest);
    case 'S':
      return std::min<std::chrono::seconds>(std::chrono::seconds(count), kLongest);
    case 'm':
      return std::chrono::milliseconds(count);
    case 'u':
      return std::chrono::microseconds(count);
    case 'n':
      return std::chrono::nanoseconds(count);
    default:
      return std::nullopt;
  }
}

void AppendRpcPrefix(std::uint32_t size, std::string* out) {
  out->push_back('\0');
  for (int shift = 24; shift >= 0; shift -= 8) out->push_back(static_cast<char>(size >> shift));
}

void WipeText(std::string* text) {
  WipeBytes({reinterpret_cast<std::uint8_t*>(text->data()), text->size()});
  std::string().swap(*text);
}

RpcPrefix ReadRpcPrefix(std::string_view bytes) {
  CHECK_TRUE(bytes.size() >= kRpcPrefixBytes);
  RpcPrefix prefix;
  prefix.flag = static_cast<std::uint8_t>(bytes[0]);
  for (std::size_t i = 1; i < kRpcPrefixBytes; ++i)
    prefix.size = prefix.size << 8 | static_cast<std::uint8_t>(bytes[i]);
  return prefix;
}

}  // namespace signet::net
