#include "tests/support/stream_client.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/check.h"

namespace signet::test {
namespace {

using net::IoResult;
using net::IoStatus;

class TrustingVerifier final : public net::PeerVerifier {
 public:
  Result<std::shared_ptr<const net::PeerIdentity>> Verify(
      std::span<const ca::Certificate> presented) const override {
    const ca::Certificate& leaf = presented.front();
    return std::make_shared<const net::PeerIdentity>(
        net::PeerIdentity{leaf.uri_sans().empty() ? "" : leaf.uri_sans().front(),
                          ca::Chain(presented.begin(), presented.end()), leaf.not_after()});
  }
};

UniqueFd NewSocket(const net::SocketAddress& address) {
  UniqueFd socket(::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  CHECK_TRUE(socket.valid());
  return socket;
}

}  // namespace

std::shared_ptr<const net::TlsContext> TrustingContext(const std::optional<CertifiedKey>& identity,
                                                       net::TlsRole role) {
  net::TlsOptions options;
  options.role = role;
  std::optional<net::TlsIdentity> shown;
  if (identity) shown = net::TlsIdentity{identity->chain, identity->key};
  auto context = net::TlsContext::Create(options, shown, std::make_shared<TrustingVerifier>());
  CHECK_TRUE(context.has_value());
  return *context;
}

StreamClient::StreamClient(UniqueFd socket) : socket_(std::move(socket)) {}

StreamClient::StreamClient(UniqueFd socket, std::shared_ptr<const net::TlsContext> context)
    : tls_(std::make_unique<net::TlsStream>(std::move(context), std::move(socket))) {
  for (;;) {
    const IoStatus status = tls_->Handshake();
    if (status == IoStatus::kOk) return;
    if ((status == IoStatus::kWantRead || status == IoStatus::kWantWrite) && Wait(status)) continue;
    error_ = tls_->error().Message();
    if (end_ == StreamEnd::kOpen) end_ = StreamEnd::kBroken;
    return;
  }
}

StreamClient StreamClient::Connect(const net::SocketAddress& address,
                                   std::shared_ptr<const net::TlsContext> context) {
  UniqueFd socket = NewSocket(address);
  const int done =
      ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address.storage), address.length);
  CHECK_TRUE(done == 0 || errno == EINPROGRESS);
  if (context) return StreamClient(std::move(socket), std::move(context));
  return StreamClient(std::move(socket));
}

bool StreamClient::Wait(IoStatus want) {
  pollfd poll{fd(), static_cast<short>(want == IoStatus::kWantRead ? POLLIN : POLLOUT), 0};
  const auto patience = std::chrono::duration_cast<std::chrono::milliseconds>(kPatience);
  if (::poll(&poll, 1, static_cast<int>(patience.count())) == 1) return true;
  end_ = StreamEnd::kTimedOut;
  return false;
}

IoResult StreamClient::Read(std::span<std::uint8_t> out) {
  if (tls_) return tls_->Read(out);
  const ssize_t got = ::recv(socket_.get(), out.data(), out.size(), 0);
  if (got > 0) return {IoStatus::kOk, static_cast<std::size_t>(got)};
  if (got == 0) return {IoStatus::kEof};
  return {errno == EAGAIN ? IoStatus::kWantRead : IoStatus::kError};
}

IoResult StreamClient::Write(ByteView bytes) {
  if (tls_) return tls_->Write(bytes);
  const ssize_t put = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  if (put >= 0) return {IoStatus::kOk, static_cast<std::size_t>(put)};
  return {errno == EAGAIN ? IoStatus::kWantWrite : IoStatus::kError};
}

bool StreamClient::Send(std::string_view bytes) {
  while (!bytes.empty()) {
    if (end_ == StreamEnd::kBroken) return false;
    const IoResult put = Write(AsBytes(bytes));
    if (put.status == IoStatus::kOk) {
      bytes.remove_prefix(put.bytes);
    } else if (put.status == IoStatus::kError || !Wait(put.status)) {
      return false;
    }
  }
  return true;
}

std::string StreamClient::ReceiveSome(std::size_t limit) {
  std::array<std::uint8_t, 65536> buffer;
  while (end_ == StreamEnd::kOpen) {
    const IoResult got = Read(std::span(buffer).first(std::min(buffer.size(), limit)));
    if (got.status == IoStatus::kOk) return ToString(ByteView(buffer).first(got.bytes));
    if (got.status == IoStatus::kEof)
      end_ = StreamEnd::kOrderly;
    else if (got.status == IoStatus::kError)
      end_ = StreamEnd::kBroken;
    else
      Wait(got.status);
  }
  return {};
}

std::string StreamClient::Receive(std::size_t count) {
  std::string received;
  while (received.size() < count && end_ == StreamEnd::kOpen)
    received += ReceiveSome(count - received.size());
  return received;
}

std::string StreamClient::ReceiveToEnd() {
  std::string all;
  DiscardToEnd([&](ByteView bytes) { all += AsText(bytes); });
  return all;
}

std::size_t StreamClient::DiscardToEnd(const std::function<void(ByteView)>& sink) {
  std::size_t total = 0;
  while (end_ == StreamEnd::kOpen) {
    const std::string part = ReceiveSome(65536);
    total += part.size();
    sink(AsBytes(part));
  }
  return total;
}

bool StreamClient::CloseWrite() {
  if (!tls_) return ::shutdown(socket_.get(), SHUT_WR) == 0;
  for (;;) {
    const IoStatus status = tls_->CloseWrite();
    if (status == IoStatus::kOk) return true;
    if (status == IoStatus::kError || !Wait(status)) return false;
  }
}

void StreamClient::Drop() {
  if (end_ == StreamEnd::kOpen) end_ = StreamEnd::kBroken;
  tls_.reset();
  socket_.Reset();
}

// ---- backend

TestBackend::TestBackend(Serve serve) : TestBackend(std::move(serve), nullptr) {}

TestBackend::TestBackend(Serve serve, std::shared_ptr<const net::TlsContext> context)
    : serve_(std::move(serve)), context_(std::move(context)) {
  auto listener = net::ListenTcp(*net::Address::Parse("127.0.0.1:0"));
  CHECK_TRUE(listener.has_value());
  listener_ = *std::move(listener);
  address_ = *net::LocalAddress(listener_.get());
  stop_.Reset(::eventfd(0, EFD_CLOEXEC));
  acceptor_ = std::thread([this] { Accept(); });
}

TestBackend::~TestBackend() {
  const std::uint64_t one = 1;
  CHECK_TRUE(::write(stop_.get(), &one, sizeof one) == sizeof one);
  acceptor_.join();
  {
    const std::lock_guard lock(mutex_);
    for (StreamClient& stream : streams_) ::shutdown(stream.fd(), SHUT_RDWR);
  }
  for (std::thread& server : servers_) server.join();
}

void TestBackend::Accept() {
  for (;;) {
    pollfd polls[] = {{listener_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
    ::poll(polls, 2, -1);
    if (polls[1].revents != 0) return;
    UniqueFd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!socket.valid()) continue;
    ++accepted_;
    servers_.emplace_back([this, socket = std::move(socket)]() mutable {
      StreamClient* stream = nullptr;
      StreamClient made =
          context_ ? StreamClient(std::move(socket), context_) : StreamClient(std::move(socket));
      {
        const std::lock_guard lock(mutex_);
        stream = &streams_.emplace_back(std::move(made));
      }
      if (stream->end() == StreamEnd::kOpen) serve_(*stream);
      const std::lock_guard lock(mutex_);
      streams_.remove_if([&](const StreamClient& each) { return &each == stream; });
    });
  }
}

void TestBackend::Echo(StreamClient& stream) {
  for (;;) {
    const std::string some = stream.ReceiveSome(65536);
    if (some.empty()) break;
    if (!stream.Send(some)) return;
  }
  if (stream.end() == StreamEnd::kOrderly) stream.CloseWrite();
}

}  // namespace signet::test
