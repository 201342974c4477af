// The far ends of a proxy in tests: a blocking client, plain or TLS, and a TCP backend that runs a
// function for each connection. All waits end after kPatience.
//
// Threads: a StreamClient belongs to one; a TestBackend runs one a connection.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "net/address.h"
#include "net/tls.h"
#include "tests/support/test_pki.h"

namespace signet::test {

inline constexpr std::chrono::seconds kPatience{20};

enum class StreamEnd {
  kOpen,      // not ended
  kOrderly,   // the peer closed its write half: FIN, and close_notify before it with TLS
  kBroken,    // reset, or cut without close_notify
  kTimedOut,  // kPatience was over
};

// A blocking stream over a non-blocking socket.
class StreamClient {
 public:
  explicit StreamClient(UniqueFd socket);
  // Does the client's handshake at once; end() is kBroken and error() is set when it fails.
  StreamClient(UniqueFd socket, std::shared_ptr<const net::TlsContext> context);
  StreamClient(StreamClient&&) = default;

  static StreamClient Connect(const net::SocketAddress& address,
                              std::shared_ptr<const net::TlsContext> context = nullptr);

  // All of it, or false.
  bool Send(std::string_view bytes);
  // At least a byte and at most `limit`, as soon as there are any; empty at the end.
  std::string ReceiveSome(std::size_t limit);
  // Up to `count` bytes; fewer when the stream ended first.
  std::string Receive(std::size_t count);
  // All there is until the end; answers how many bytes, without keeping them, when `sink` is given.
  std::string ReceiveToEnd();
  std::size_t DiscardToEnd(const std::function<void(ByteView)>& sink);
  bool CloseWrite();
  // Ends at once: TCP is closed, TLS without close_notify.
  void Drop();

  // True when the peer's end arrives in time.
  bool WaitForEnd() {
    ReceiveToEnd();
    return end_ == StreamEnd::kOrderly || end_ == StreamEnd::kBroken;
  }
  StreamEnd end() const { return end_; }
  const std::string& error() const { return error_; }
  const std::shared_ptr<const net::PeerIdentity>& peer() const { return tls_->peer(); }
  int fd() const { return tls_ ? tls_->fd() : socket_.get(); }

 private:
  net::IoResult Read(std::span<std::uint8_t> out);
  net::IoResult Write(ByteView bytes);
  // False when kPatience is over.
  bool Wait(net::IoStatus want);

  UniqueFd socket_;
  std::unique_ptr<net::TlsStream> tls_;
  StreamEnd end_ = StreamEnd::kOpen;
  std::string error_;
};

// A context of a client (or server) that shows `identity`, if any, and takes every peer.
std::shared_ptr<const net::TlsContext> TrustingContext(const std::optional<CertifiedKey>& identity,
                                                       net::TlsRole role = net::TlsRole::kClient);

// Listens on 127.0.0.1 and runs `serve` for each connection, on a thread of its own.
class TestBackend {
 public:
  using Serve = std::function<void(StreamClient&)>;
  explicit TestBackend(Serve serve);
  // The same over TLS.
  TestBackend(Serve serve, std::shared_ptr<const net::TlsContext> context);
  ~TestBackend();

  const net::SocketAddress& address() const { return address_; }
  std::uint64_t accepted() const { return accepted_; }
  // Sends back what comes and closes when the peer does.
  static void Echo(StreamClient& stream);

 private:
  void Accept();

  const Serve serve_;
  const std::shared_ptr<const net::TlsContext> context_;
  UniqueFd listener_;
  UniqueFd stop_;
  net::SocketAddress address_;
  std::atomic<std::uint64_t> accepted_{0};
  std::mutex mutex_;
  std::list<StreamClient> streams_;
  std::list<std::thread> servers_;
  std::thread acceptor_;
};

// Whether an echo at the far end answers.
inline bool Talks(StreamClient& stream) { return stream.Send("x") && stream.Receive(1) == "x"; }

}  // namespace signet::test
