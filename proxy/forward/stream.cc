#include "proxy/forward/stream.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace signet::proxy {
namespace {

using net::IoResult;
using net::IoStatus;

constexpr std::uint32_t kReadEvents = EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR;
constexpr std::uint32_t kWriteEvents = EPOLLOUT | EPOLLHUP | EPOLLERR;
constexpr std::uint32_t kEndEvents = EPOLLRDHUP | EPOLLHUP | EPOLLERR;

bool WouldBlock(int error) { return error == EAGAIN || error == EWOULDBLOCK; }

}  // namespace

void PlainStream::OnReady(std::uint32_t events) {
  if (events & kReadEvents) readable_ = true;
  if (events & kWriteEvents) writable_ = true;
  if (events & kEndEvents) hang_up_ = true;
}

IoResult PlainStream::Read(std::span<std::uint8_t> out) {
  if (!readable_) return {IoStatus::kWantRead};
  for (;;) {
    const ssize_t got = ::recv(socket_.get(), out.data(), out.size(), 0);
    if (got > 0) {
      // Fewer bytes than asked for: the socket is empty, and the next arrival is a new edge. Not so
      // once the end was announced, because its edge is spent.
      const auto bytes = static_cast<std::size_t>(got);
      if (bytes < out.size() && !hang_up_) readable_ = false;
      return {IoStatus::kOk, bytes};
    }
    if (got == 0) return {IoStatus::kEof};
    if (errno == EINTR) continue;
    if (WouldBlock(errno)) {
      readable_ = false;
      return {IoStatus::kWantRead};
    }
    last_errno_ = errno;
    return {IoStatus::kError};
  }
}

IoResult PlainStream::Write(ByteView bytes) {
  if (!writable_) return {IoStatus::kWantWrite};
  for (;;) {
    const ssize_t put = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (put >= 0) {
      const auto bytes_put = static_cast<std::size_t>(put);
      if (bytes_put < bytes.size()) writable_ = false;  // full: there will be an edge
      return {IoStatus::kOk, bytes_put};
    }
    if (errno == EINTR) continue;
    if (WouldBlock(errno)) {
      writable_ = false;
      return {IoStatus::kWantWrite};
    }
    last_errno_ = errno;
    return {IoStatus::kError};
  }
}

IoStatus PlainStream::CloseWrite() {
  if (::shutdown(socket_.get(), SHUT_WR) == 0) return IoStatus::kOk;
  last_errno_ = errno;
  return IoStatus::kError;
}

void TlsByteStream::OnReady(std::uint32_t events) {
  if (events & kReadEvents) readable_ = true;
  if (events & kWriteEvents) writable_ = true;
  if (events & kEndEvents) stream_->TakeShortReadForEmpty(false);
}

IoResult TlsByteStream::Read(std::span<std::uint8_t> out) {
  if (!readable_ && stream_->Pending() == 0) return {IoStatus::kWantRead};
  const IoResult result = stream_->Read(out);
  if (result.status == IoStatus::kWantRead || result.would_block) readable_ = false;
  // Reading may have to write first (a key update): then any event is worth another try.
  if (result.status == IoStatus::kWantWrite) return {IoStatus::kWantRead};
  return result;
}

IoResult TlsByteStream::Write(ByteView bytes) {
  if (!writable_) return {IoStatus::kWantWrite};
  const IoResult result = stream_->Write(bytes);
  if (result.status == IoStatus::kWantWrite || result.would_block) writable_ = false;
  return result;
}

IoStatus TlsByteStream::CloseWrite() { return stream_->CloseWrite(); }

IoStatus HeldStream::Look(std::size_t limit) {
  if (end_ != IoStatus::kOk || held_.size() >= limit) return end_;
  std::array<std::uint8_t, 4096> bytes;
  const IoResult got =
      inner_.Read(std::span(bytes).first(std::min(bytes.size(), limit - held_.size())));
  if (got.status == IoStatus::kOk)
    held_.insert(held_.end(), bytes.begin(),
                 bytes.begin() + static_cast<std::ptrdiff_t>(got.bytes));
  if (got.status == IoStatus::kEof || got.status == IoStatus::kError) end_ = got.status;
  return got.status;
}

IoResult HeldStream::Read(std::span<std::uint8_t> out) {
  if (!held_.empty()) {
    const std::size_t count = std::min(out.size(), held_.size());
    std::copy_n(held_.begin(), count, out.begin());
    held_.erase(held_.begin(), held_.begin() + static_cast<std::ptrdiff_t>(count));
    if (held_.empty()) Bytes().swap(held_);
    return {IoStatus::kOk, count};
  }
  return end_ == IoStatus::kOk ? inner_.Read(out) : IoResult{end_};
}

void ResetOnClose(int fd) {
  const linger abort_now{1, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort_now, sizeof abort_now);
}

}  // namespace signet::proxy
