// The parts of gRPC's protocol that are text in HTTP/2 fields or a few bytes before a message
// (PROTOCOL-HTTP2.md of gRPC, "Requests" and "Responses").
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace signet::net {

inline constexpr std::size_t kRpcPrefixBytes = 5;  // compressed or not, and the length

// A status message as the grpc-message field carries it: printable ASCII but for '%', all else as
// %XX. Ends after about `most` bytes: clients refuse responses with more than 8 KiB of fields.
std::string EncodeRpcMessage(std::string_view message, std::size_t most = 6000);
// A grpc-timeout: up to eight digits and one of H, M, S, m, u, n; a year at most. Absent when it is
// none.
std::optional<Duration> ParseRpcTimeout(std::string_view text);
// Appends the prefix of a message of `size` bytes, not compressed.
void AppendRpcPrefix(std::uint32_t size, std::string* out);
// Wipes, and gives back what it took: answers hold keys and tokens.
void WipeText(std::string* text);
struct RpcPrefix {
  std::uint8_t flag = 0;
  std::uint32_t size = 0;
};
// Of the first kRpcPrefixBytes of `bytes`.
RpcPrefix ReadRpcPrefix(std::string_view bytes);

}  // namespace signet::net
