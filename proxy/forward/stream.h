// A non-blocking stream of bytes with a write half that closes by itself, and its two kinds: a
// plain socket and a TLS stream. Both remember readiness between edge-triggered events, so that a
// side known to be empty or full costs no system call.
//
// Threads: one worker's.
#pragma once

#include <memory>
#include <span>

#include "base/bytes.h"
#include "base/file.h"
#include "net/tls.h"

namespace signet::proxy {

class ByteStream {
 public:
  virtual ~ByteStream() = default;
  // kOk with at least a byte, kWantRead, kEof after an orderly end, kError.
  virtual net::IoResult Read(std::span<std::uint8_t> out) = 0;
  // kOk with at least a byte, kWantWrite, kError. After kWantWrite, offer the same bytes again.
  virtual net::IoResult Write(ByteView bytes) = 0;
  // No more writing; the other direction stays open. kOk, kWantWrite or kError.
  virtual net::IoStatus CloseWrite() = 0;
  // Takes epoll's bits, before anything else is called for an event.
  virtual void OnReady(std::uint32_t events) = 0;
};

class PlainStream final : public ByteStream {
 public:
  // Owns a non-blocking socket, which may still be connecting.
  explicit PlainStream(UniqueFd socket) : socket_(std::move(socket)) {}

  net::IoResult Read(std::span<std::uint8_t> out) override;
  net::IoResult Write(ByteView bytes) override;
  net::IoStatus CloseWrite() override;
  void OnReady(std::uint32_t events) override;

  int fd() const { return socket_.get(); }
  UniqueFd Release() { return std::move(socket_); }
  // What the last kError was (errno).
  int last_errno() const { return last_errno_; }

 private:
  UniqueFd socket_;
  int last_errno_ = 0;
  bool readable_ = true;  // until read() says otherwise
  bool writable_ = true;
  bool hang_up_ = false;  // the peer's end was announced: read until it is reached
};

class TlsByteStream final : public ByteStream {
 public:
  explicit TlsByteStream(std::unique_ptr<net::TlsStream> stream) : stream_(std::move(stream)) {
    stream_->TakeShortReadForEmpty(true);
  }

  net::IoResult Read(std::span<std::uint8_t> out) override;
  net::IoResult Write(ByteView bytes) override;
  net::IoStatus CloseWrite() override;
  void OnReady(std::uint32_t events) override;

  net::TlsStream& tls() { return *stream_; }
  const net::TlsStream& tls() const { return *stream_; }
  int fd() const { return stream_->fd(); }

 private:
  std::unique_ptr<net::TlsStream> stream_;
  bool readable_ = true;
  bool writable_ = true;
};

// A stream whose first bytes were looked at: they are read first.
class HeldStream final : public ByteStream {
 public:
  // `inner` outlives this.
  explicit HeldStream(ByteStream& inner) : inner_(inner) {}

  // Reads on, up to `limit` bytes in all. kOk: there are more than before; else as Read().
  net::IoStatus Look(std::size_t limit);
  // Everything that was looked at and not read yet.
  ByteView seen() const { return held_; }

  net::IoResult Read(std::span<std::uint8_t> out) override;
  net::IoResult Write(ByteView bytes) override { return inner_.Write(bytes); }
  net::IoStatus CloseWrite() override { return inner_.CloseWrite(); }
  void OnReady(std::uint32_t events) override { inner_.OnReady(events); }

 private:
  ByteStream& inner_;
  Bytes held_;
  net::IoStatus end_ = net::IoStatus::kOk;  // kEof or kError, once it was met
};

// Makes the coming close() of `fd` a reset: the peer must not take a broken stream for a whole one.
void ResetOnClose(int fd);

}  // namespace signet::proxy
