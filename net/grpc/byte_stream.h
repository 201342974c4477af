// What carries a connection's bytes: TLS, or a local socket as it is.
//
// Threads: one at a time.
#pragma once

#include <memory>
#include <span>

#include "base/file.h"
#include "net/tls.h"

namespace signet::net {

// Non-blocking, for edge-triggered polling; results as TlsStream's.
class ByteStream {
 public:
  virtual ~ByteStream() = default;
  virtual IoResult Read(std::span<std::uint8_t> out) = 0;
  virtual IoResult Write(ByteView bytes) = 0;
  // This end writes no more. Tried once: who does not take it is cut soon anyway.
  virtual void CloseWrite() = 0;
  // An end or error was reported: no further edge tells of it.
  virtual void OnHangUp() = 0;
  virtual int fd() const = 0;
};

std::unique_ptr<ByteStream> OverTls(std::unique_ptr<TlsStream> stream,
                                    std::shared_ptr<TlsScratch> scratch);
std::unique_ptr<ByteStream> OverSocket(UniqueFd socket);

}  // namespace signet::net
