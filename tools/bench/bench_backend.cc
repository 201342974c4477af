// bench_backend: a plain HTTP/1.1 responder for load tests. GET / answers 1 KB, GET /bytes/N
// answers N bytes; requests without a body, keep-alive always.

#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <cstdio>
#include <memory>
#include <string>

#include "net/address.h"
#include "net/event_loop.h"

namespace {

using signet::net::EventHandler;
using signet::net::EventLoop;

constexpr std::uint32_t kEvents = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
constexpr std::size_t kSmall = 1024;
constexpr std::size_t kChunk = 256 * 1024;
constexpr std::size_t kMaxRequest = 16 * 1024;

const std::string& Filler() {
  static const std::string filler(kChunk, 'x');
  return filler;
}

class Session final : public EventHandler {
 public:
  Session(EventLoop& loop, signet::UniqueFd socket) : loop_(loop), socket_(std::move(socket)) {}

  bool Watch() { return loop_.Add(socket_.get(), kEvents, this).has_value(); }

  void OnEvents(std::uint32_t) override {
    if (Serve()) return;
    loop_.Remove(socket_.get(), this);
    delete this;  // owned by the loop from Watch() on
  }

 private:
  // False at the end.
  bool Serve() {
    for (;;) {
      if (!Flush()) return false;
      if (!head_.empty() || body_left_ > 0) return true;  // the peer takes nothing now
      if (Answer()) continue;
      char buffer[8192];
      const ssize_t got = ::recv(socket_.get(), buffer, sizeof buffer, 0);
      if (got < 0) return errno == EAGAIN;
      if (got == 0) return false;
      request_.append(buffer, static_cast<std::size_t>(got));
      if (request_.size() > kMaxRequest) return false;
    }
  }

  // Takes one whole request off the input; false when there is none.
  bool Answer() {
    const auto end = request_.find("\r\n\r\n");
    if (end == std::string::npos) return false;
    std::size_t bytes = kSmall;
    constexpr std::string_view kSized = "GET /bytes/";
    if (request_.starts_with(kSized))
      std::from_chars(request_.data() + kSized.size(), request_.data() + end, bytes);
    request_.erase(0, end + 4);
    head_ = fmt::format("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
                        bytes);
    body_left_ = bytes;
    if (body_left_ <= kChunk) {
      head_.append(Filler(), 0, body_left_);
      body_left_ = 0;
    }
    return true;
  }

  // False when the peer is gone; what it does not take now stays.
  bool Flush() {
    while (!head_.empty() || body_left_ > 0) {
      const bool head = !head_.empty();
      const ssize_t put = ::send(socket_.get(), head ? head_.data() : Filler().data(),
                                 head ? head_.size() : std::min(body_left_, kChunk), MSG_NOSIGNAL);
      if (put < 0) return errno == EAGAIN;
      if (head)
        head_.erase(0, static_cast<std::size_t>(put));
      else
        body_left_ -= static_cast<std::size_t>(put);
    }
    return true;
  }

  EventLoop& loop_;
  const signet::UniqueFd socket_;
  std::string request_;
  std::string head_;
  std::size_t body_left_ = 0;
};

class Listener final : public EventHandler {
 public:
  Listener(EventLoop& loop, int socket) : loop_(loop), socket_(socket) {}

  void OnEvents(std::uint32_t) override {
    for (;;) {
      signet::UniqueFd accepted(::accept4(socket_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!accepted.valid()) return;
      auto session = std::make_unique<Session>(loop_, std::move(accepted));
      if (session->Watch()) (void)session.release();
    }
  }

 private:
  EventLoop& loop_;
  const int socket_;
};

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("a plain HTTP/1.1 responder for load tests", "bench_backend");
  std::string listen = "127.0.0.1:0";
  app.add_option("--listen", listen, "where to listen; the address taken is printed");
  CLI11_PARSE(app, argc, argv);

  const signet::SystemClock clock;
  const auto address = signet::net::Address::Parse(listen);
  auto socket = address ? signet::net::ListenTcp(*address)
                        : signet::Result<signet::UniqueFd>(tl::unexpected(address.error()));
  auto loop = signet::net::EventLoop::Create(clock);
  if (!socket || !loop) {
    std::fprintf(stderr, "bench_backend: cannot listen on %s\n", listen.c_str());
    return 1;
  }
  Listener listener(**loop, socket->get());
  const auto bound = signet::net::LocalAddress(socket->get());
  if (!bound || !(*loop)->Add(socket->get(), EPOLLIN, &listener)) return 1;
  std::printf("%s\n", bound->ToString().c_str());
  std::fflush(stdout);
  (*loop)->Run();
  return 0;
}
