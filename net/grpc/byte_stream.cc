#include "net/grpc/byte_stream.h"

#include <sys/socket.h>

#include <cerrno>

namespace signet::net {
namespace {

class TlsByteStream final : public ByteStream {
 public:
  TlsByteStream(std::unique_ptr<TlsStream> stream, std::shared_ptr<TlsScratch> scratch)
      : stream_(std::move(stream)) {
    stream_->UseScratch(std::move(scratch));
    stream_->TakeShortReadForEmpty(true);
  }
  IoResult Read(std::span<std::uint8_t> out) override { return stream_->Read(out); }
  IoResult Write(ByteView bytes) override { return stream_->Write(bytes); }
  void CloseWrite() override { stream_->CloseWrite(); }
  void OnHangUp() override { stream_->TakeShortReadForEmpty(false); }
  int fd() const override { return stream_->fd(); }

 private:
  const std::unique_ptr<TlsStream> stream_;
};

class SocketByteStream final : public ByteStream {
 public:
  explicit SocketByteStream(UniqueFd socket) : socket_(std::move(socket)) {}
  IoResult Read(std::span<std::uint8_t> out) override {
    const ssize_t got = recv(socket_.get(), out.data(), out.size(), 0);
    if (got == 0) return {IoStatus::kEof, 0, false};
    if (got > 0) return {IoStatus::kOk, static_cast<std::size_t>(got), false};
    return {Waits() ? IoStatus::kWantRead : IoStatus::kError, 0, false};
  }
  IoResult Write(ByteView bytes) override {
    const ssize_t put = send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (put >= 0) return {IoStatus::kOk, static_cast<std::size_t>(put), false};
    return {Waits() ? IoStatus::kWantWrite : IoStatus::kError, 0, false};
  }
  void CloseWrite() override { shutdown(socket_.get(), SHUT_WR); }
  void OnHangUp() override {}
  int fd() const override { return socket_.get(); }

 private:
  // Non-blocking calls are not interrupted.
  static bool Waits() { return errno == EAGAIN || errno == EWOULDBLOCK; }
  const UniqueFd socket_;
};

}  // namespace

std::unique_ptr<ByteStream> OverTls(std::unique_ptr<TlsStream> stream,
                                    std::shared_ptr<TlsScratch> scratch) {
  return std::make_unique<TlsByteStream>(std::move(stream), std::move(scratch));
}

std::unique_ptr<ByteStream> OverSocket(UniqueFd socket) {
  return std::make_unique<SocketByteStream>(std::move(socket));
}

}  // namespace signet::net
