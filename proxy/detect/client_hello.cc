#include "proxy/detect/client_hello.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace signet::proxy {
namespace {

constexpr std::size_t kRecordHeader = 5;
constexpr std::size_t kMaxRecord = 16 * 1024;
constexpr std::uint8_t kHandshakeRecord = 22;
constexpr std::uint8_t kClientHello = 1;
constexpr std::uint16_t kServerName = 0;
constexpr std::uint8_t kHostName = 0;

// Takes length-prefixed things off the front; false when they are not there.
class Taker {
 public:
  explicit Taker(ByteView bytes) : left_(bytes) {}
  bool empty() const { return left_.empty(); }
  std::optional<ByteView> Take(std::size_t count) {
    if (left_.size() < count) return std::nullopt;
    const ByteView taken = left_.first(count);
    left_ = left_.subspan(count);
    return taken;
  }
  std::optional<std::size_t> Number(std::size_t bytes) {
    const auto taken = Take(bytes);
    if (!taken) return std::nullopt;
    std::size_t value = 0;
    for (const std::uint8_t byte : *taken) value = value << 8U | byte;
    return value;
  }
  // A vector with a length of so many bytes before it.
  std::optional<ByteView> Vector(std::size_t length_bytes) {
    const auto size = Number(length_bytes);
    return size ? Take(*size) : std::nullopt;
  }

 private:
  ByteView left_;
};

// The handshake message, put together from its records.
HelloStatus Gather(ByteView bytes, Bytes* message) {
  std::size_t wanted = 4;
  Taker records(bytes);
  while (message->size() < wanted) {
    const auto header = records.Take(kRecordHeader);
    if (!header) break;
    const std::size_t size = static_cast<std::size_t>((*header)[3]) << 8U | (*header)[4];
    // RFC 8446, 5.1: no empty handshake records; the version says nothing but its first byte.
    if ((*header)[0] != kHandshakeRecord || (*header)[1] != 3 || size == 0 || size > kMaxRecord)
      return HelloStatus::kMalformed;
    const auto body = records.Take(size);
    if (!body) break;
    message->insert(message->end(), body->begin(), body->end());
    if (message->front() != kClientHello) return HelloStatus::kMalformed;
    if (message->size() >= 4)
      wanted = 4 + (static_cast<std::size_t>((*message)[1]) << 16U |
                    static_cast<std::size_t>((*message)[2]) << 8U | (*message)[3]);
    if (wanted > kMaxClientHello) return HelloStatus::kMalformed;
  }
  if (message->size() >= wanted) {
    message->resize(wanted);
    return HelloStatus::kNoName;
  }
  // What is no TLS is told by its first byte.
  if (!bytes.empty() && bytes[0] != kHandshakeRecord) return HelloStatus::kMalformed;
  return bytes.size() >= kMaxClientHello ? HelloStatus::kMalformed : HelloStatus::kMore;
}

// RFC 6066, 3: one host_name.
HelloStatus ReadServerName(ByteView extension, std::string* name) {
  Taker outer(extension);
  const auto list = outer.Vector(2);
  if (!list || !outer.empty()) return HelloStatus::kMalformed;
  Taker names(*list);
  const auto type = names.Number(1);
  const auto text = names.Vector(2);
  if (!type || !text || !names.empty() || *type != kHostName) return HelloStatus::kMalformed;
  std::string host = ToString(*text);
  if (host.ends_with('.')) host.pop_back();
  if (host.empty() || host.size() > 255) return HelloStatus::kMalformed;
  for (char& c : host) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
    const bool good =
        (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
    if (!good) return HelloStatus::kMalformed;
  }
  *name = std::move(host);
  return HelloStatus::kName;
}

HelloStatus ReadMessage(ByteView message, std::string* name) {
  Taker hello(message.subspan(4));
  constexpr std::size_t kVersionAndRandom = 2 + 32;
  if (!hello.Take(kVersionAndRandom)) return HelloStatus::kMalformed;
  const auto session = hello.Vector(1);
  const auto suites = hello.Vector(2);
  const auto compression = hello.Vector(1);
  if (!session || session->size() > 32 || !suites || suites->size() < 2 || !compression)
    return HelloStatus::kMalformed;
  if (hello.empty()) return HelloStatus::kNoName;  // no extensions
  const auto block = hello.Vector(2);
  if (!block || !hello.empty()) return HelloStatus::kMalformed;
  Taker extensions(*block);
  HelloStatus found = HelloStatus::kNoName;
  while (!extensions.empty()) {
    const auto type = extensions.Number(2);
    const auto body = extensions.Vector(2);
    if (!type || !body) return HelloStatus::kMalformed;
    if (*type != kServerName) continue;
    // RFC 8446, 4.2: no extension twice.
    if (found != HelloStatus::kNoName) return HelloStatus::kMalformed;
    found = ReadServerName(*body, name);
    if (found == HelloStatus::kMalformed) return found;
  }
  return found;
}

}  // namespace

HelloStatus ReadClientHello(ByteView bytes, std::string* name) {
  Bytes message;
  const HelloStatus gathered = Gather(bytes, &message);
  if (gathered != HelloStatus::kNoName) return gathered;
  std::string found;
  const HelloStatus status = ReadMessage(message, &found);
  if (status == HelloStatus::kName) *name = std::move(found);  // of a hello that is whole and good
  return status;
}

}  // namespace signet::proxy
