// Bytes, text codecs of bytes, and secrets.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace signet {

using Bytes = std::vector<std::uint8_t>;
using ByteView = std::span<const std::uint8_t>;

inline ByteView AsBytes(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
inline std::string_view AsText(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
inline Bytes ToBytes(ByteView bytes) { return {bytes.begin(), bytes.end()}; }
inline std::string ToString(ByteView bytes) { return std::string(AsText(bytes)); }

bool Equal(ByteView a, ByteView b);
// In time that depends on the lengths alone.
bool EqualConstantTime(ByteView a, ByteView b);

// Lower case, two letters a byte.
std::string EncodeHex(ByteView bytes);
std::optional<Bytes> DecodeHex(std::string_view text);
// RFC 4648, 4: standard alphabet with padding. Decoding is strict: no white space, canonical
// padding.
std::string EncodeBase64(ByteView bytes);
std::optional<Bytes> DecodeBase64(std::string_view text);
// RFC 4648, 5 without padding, as JOSE uses it. Decoding refuses padding and stray bits.
std::string EncodeBase64Url(ByteView bytes);
std::optional<Bytes> DecodeBase64Url(std::string_view text);

// Bytes that wipe themselves, do not print, move but do not copy by accident.
class SecretBytes {
 public:
  SecretBytes() = default;
  explicit SecretBytes(ByteView bytes) : bytes_(bytes.begin(), bytes.end()) {}
  explicit SecretBytes(std::size_t size) : bytes_(size) {}
  SecretBytes(SecretBytes&& other) noexcept : bytes_(std::move(other.bytes_)) { other.Wipe(); }
  SecretBytes& operator=(SecretBytes&& other) noexcept;
  SecretBytes(const SecretBytes&) = delete;
  SecretBytes& operator=(const SecretBytes&) = delete;
  ~SecretBytes() { Wipe(); }

  SecretBytes Clone() const { return SecretBytes(view()); }
  ByteView view() const { return bytes_; }
  std::span<std::uint8_t> mutable_view() { return bytes_; }
  std::size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }

 private:
  void Wipe();
  Bytes bytes_;
};

// Overwrites in a way the compiler may not remove.
void WipeBytes(std::span<std::uint8_t> bytes);

}  // namespace signet
