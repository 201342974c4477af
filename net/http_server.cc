#include "net/http_server.h"

#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <thread>
#include <unordered_map>

#include "net/event_loop.h"

namespace signet::net {
namespace {

constexpr std::size_t kMaxConnections = 64;
constexpr Duration kConnectionTime = std::chrono::seconds(5);
constexpr Duration kResourcePause = std::chrono::milliseconds(100);
constexpr std::size_t kMaxDiscarded = 64 * 1024;

const char* Phrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 421:
      return "Misdirected Request";
    case 431:
      return "Request Header Fields Too Large";
    default:
      return "Service Unavailable";
  }
}

std::string Serialize(const HttpResponse& response, bool with_body) {
  return fmt::format(
      "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{}Cache-Control: no-store\r\n"
      "X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n{}",
      response.status, Phrase(response.status), response.type, response.body.size(),
      response.status == 405 ? "Allow: GET, HEAD\r\n" : "", with_body ? response.body : "");
}

}  // namespace

struct HttpServer::State {
  struct Connection final : EventHandler {
    Connection(State* owner, UniqueFd fd) : server(owner), socket(std::move(fd)) {}
    void OnEvents(std::uint32_t) override { server->OnConnection(this); }
    State* server;
    UniqueFd socket;
    std::string in, out;
    std::size_t sent = 0;
    std::size_t discarded = 0;
    EventLoop::TimerId deadline = 0;
    bool answered = false;
  };
  struct Listener final : EventHandler {
    explicit Listener(State* owner) : server(owner) {}
    void OnEvents(std::uint32_t) override { server->OnAcceptable(); }
    State* server;
  };

  State(UniqueFd listening_socket, HttpAnswer what, HttpAdmission whom)
      : answer(std::move(what)), admits(std::move(whom)), listener(std::move(listening_socket)) {}

  Status Open(const Clock& clock);
  void OnAcceptable();
  void OnConnection(Connection* connection);
  void Receive(Connection* connection);
  void Send(Connection* connection);
  bool WaitForEnd(Connection* connection);
  void Close(Connection* connection);
  void Listen();
  void StopListening();

  const HttpAnswer answer;
  const HttpAdmission admits;
  const UniqueFd listener;
  std::unique_ptr<EventLoop> loop;
  std::thread thread;

  // The loop's thread only.
  Listener listener_handler{this};
  bool listening = false;
  EventLoop::TimerId resume = 0;
  std::unordered_map<Connection*, std::unique_ptr<Connection>> connections;
};

void HttpServer::State::OnAcceptable() {
  if (connections.size() >= kMaxConnections) return StopListening();  // until one closes
  UniqueFd socket(accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!socket.valid()) {
    if (errno == EAGAIN || errno == ECONNABORTED || errno == EINTR) return;
    StopListening();  // no descriptors: later, without spinning
    resume = loop->RunAfter(kResourcePause, [this] {
      resume = 0;
      Listen();
    });
    return;
  }
  if (!admits(socket.get())) return;
  auto owner = std::make_unique<Connection>(this, std::move(socket));
  Connection* connection = owner.get();
  if (!loop->Add(connection->socket.get(), EPOLLIN, connection)) return;
  connections.emplace(connection, std::move(owner));
  connection->deadline = loop->RunAfter(kConnectionTime, [this, connection] { Close(connection); });
}

void HttpServer::State::OnConnection(Connection* connection) {
  if (!connection->answered) return Receive(connection);
  if (connection->sent < connection->out.size()) return Send(connection);
  if (!WaitForEnd(connection)) Close(connection);
}

void HttpServer::State::Receive(Connection* connection) {
  std::array<char, 4096> buffer;
  const ssize_t got = recv(connection->socket.get(), buffer.data(), buffer.size(), 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) return Close(connection);
  connection->in.append(buffer.data(), static_cast<std::size_t>(got));
  HttpRequest request;
  const HeadStatus status = ParseRequestHead(connection->in, &request);
  if (status == HeadStatus::kIncomplete) return;
  connection->answered = true;
  connection->out = Serialize(answer(status, request), request.method != "HEAD");
  Send(connection);
}

void HttpServer::State::Send(Connection* connection) {
  while (connection->sent < connection->out.size()) {
    const ssize_t put = send(connection->socket.get(), connection->out.data() + connection->sent,
                             connection->out.size() - connection->sent, MSG_NOSIGNAL);
    if (put > 0) {
      connection->sent += static_cast<std::size_t>(put);
    } else if (errno == EAGAIN) {
      if (!loop->Modify(connection->socket.get(), EPOLLOUT, connection)) Close(connection);
      return;
    } else if (errno != EINTR) {
      return Close(connection);
    }
  }
  shutdown(connection->socket.get(), SHUT_WR);
  if (!loop->Modify(connection->socket.get(), EPOLLIN, connection)) Close(connection);
}

// Closing with bytes unread would destroy the answer on its way.
bool HttpServer::State::WaitForEnd(Connection* connection) {
  std::array<char, 4096> discard;
  const ssize_t got = recv(connection->socket.get(), discard.data(), discard.size(), 0);
  if (got > 0) connection->discarded += static_cast<std::size_t>(got);
  return (got > 0 && connection->discarded <= kMaxDiscarded) || (got < 0 && errno == EAGAIN);
}

void HttpServer::State::Close(Connection* connection) {
  loop->Remove(connection->socket.get(), connection);
  loop->Cancel(connection->deadline);
  connections.erase(connection);
  if (resume == 0) Listen();
}

void HttpServer::State::Listen() {
  if (!listening) listening = loop->Add(listener.get(), EPOLLIN, &listener_handler).has_value();
}

void HttpServer::State::StopListening() {
  if (listening) loop->Remove(listener.get(), &listener_handler);
  listening = false;
}

Status HttpServer::State::Open(const Clock& clock) {
  SIGNET_TRY(loop, EventLoop::Create(clock));
  SIGNET_RETURN_IF_ERROR(loop->Add(listener.get(), EPOLLIN, &listener_handler));
  listening = true;
  thread = std::thread([this] { loop->Run(); });
  return {};
}

HttpServer::HttpServer(std::unique_ptr<State> state) : state_(std::move(state)) {}

Result<std::unique_ptr<HttpServer>> HttpServer::Start(UniqueFd listener, HttpAnswer answer,
                                                      const Clock& clock) {
  return Start(std::move(listener), std::move(answer), [](int) { return true; }, clock);
}

Result<std::unique_ptr<HttpServer>> HttpServer::Start(UniqueFd listener, HttpAnswer answer,
                                                      HttpAdmission admits, const Clock& clock) {
  auto state = std::make_unique<State>(std::move(listener), std::move(answer), std::move(admits));
  SIGNET_RETURN_IF_ERROR(state->Open(clock));
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(state)));
}

HttpServer::~HttpServer() {
  state_->loop->Stop();
  state_->thread.join();
}

}  // namespace signet::net
