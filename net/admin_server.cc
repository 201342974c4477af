#include "net/admin_server.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/epoll.h>

#include <array>
#include <cerrno>
#include <thread>
#include <unordered_map>

#include "net/event_loop.h"
#include "net/http_request.h"

namespace signet::net {
namespace {

constexpr std::size_t kMaxConnections = 64;
constexpr Duration kConnectionTime = std::chrono::seconds(5);
constexpr Duration kResourcePause = std::chrono::milliseconds(100);
constexpr std::size_t kMaxDiscarded = 64 * 1024;

struct Response {
  int status = 200;
  std::string type = "application/json";
  std::string body;
};

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

std::string HealthBody(bool ok, const std::vector<std::string>& problems) {
  std::string body = fmt::format("{{\"ok\":{},\"problems\":[", ok);
  for (std::size_t i = 0; i < problems.size(); ++i)
    body += (i == 0 ? "" : ",") + JsonString(problems[i]);
  return body + "]}\n";
}

Response Refusal(int status, std::string_view problem) {
  return {status, "application/json", HealthBody(false, {std::string(problem)})};
}

std::string Serialize(const Response& response, bool with_body) {
  return fmt::format(
      "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{}Cache-Control: no-store\r\n"
      "X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n{}",
      response.status, Phrase(response.status), response.type, response.body.size(),
      response.status == 405 ? "Allow: GET, HEAD\r\n" : "", with_body ? response.body : "");
}

bool IsAnyAddress(const SocketAddress& local) {
  if (local.family() == AF_INET)
    return reinterpret_cast<const sockaddr_in&>(local.storage).sin_addr.s_addr == INADDR_ANY;
  return local.family() == AF_INET6 &&
         IN6_IS_ADDR_UNSPECIFIED(&reinterpret_cast<const sockaddr_in6&>(local.storage).sin6_addr);
}

std::uint16_t PortOf(const SocketAddress& local) {
  // The port is at the same place for both families.
  return ntohs(reinterpret_cast<const sockaddr_in&>(local.storage).sin_port);
}

}  // namespace

struct AdminServer::State {
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

  State(std::function<Health()> health_source, const Metrics& metric_source)
      : health(std::move(health_source)), metrics(metric_source) {}

  Status Open(const Address& address, const Clock& clock);
  void OnAcceptable();
  void OnConnection(Connection* connection);
  void Receive(Connection* connection);
  void Send(Connection* connection);
  bool WaitForEnd(Connection* connection);
  void Close(Connection* connection);
  void Listen();
  void StopListening();
  Response Answer(HeadStatus status, const HttpRequest& request) const;

  const std::function<Health()> health;
  const Metrics& metrics;
  SystemClock system_clock;
  UniqueFd listener;
  std::string own_host;
  bool any_address = false;
  std::uint16_t port = 0;
  std::unique_ptr<EventLoop> loop;
  std::thread thread;

  // The loop's thread only.
  Listener listener_handler{this};
  bool listening = false;
  EventLoop::TimerId resume = 0;
  std::unordered_map<Connection*, std::unique_ptr<Connection>> connections;
};

Response AdminServer::State::Answer(HeadStatus status, const HttpRequest& request) const {
  if (status == HeadStatus::kTooLarge) return Refusal(431, "the request is too large");
  if (status == HeadStatus::kMalformed || request.host.empty())
    return Refusal(400, "no well-formed HTTP/1.1 request with a Host");
  if (!IsOwnHost(request.host, own_host, any_address))
    return Refusal(421, "the Host header names another machine; use localhost or the address");
  if (request.path != "/live" && request.path != "/ready" && request.path != "/metrics")
    return Refusal(404, "there are /live, /ready and /metrics");
  if (request.method != "GET" && request.method != "HEAD")
    return Refusal(405, "only GET and HEAD are answered");
  if (request.path == "/metrics")
    return {200, "text/plain; version=0.0.4; charset=utf-8", metrics.Text()};
  const Health now = health();
  const bool ok = request.path == "/live" ? now.live : now.live && now.ready;
  return {ok ? 200 : 503, "application/json", HealthBody(ok, now.problems)};
}

void AdminServer::State::OnAcceptable() {
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
  auto owner = std::make_unique<Connection>(this, std::move(socket));
  Connection* connection = owner.get();
  if (!loop->Add(connection->socket.get(), EPOLLIN, connection)) return;
  connections.emplace(connection, std::move(owner));
  connection->deadline = loop->RunAfter(kConnectionTime, [this, connection] { Close(connection); });
}

void AdminServer::State::OnConnection(Connection* connection) {
  if (!connection->answered) return Receive(connection);
  if (connection->sent < connection->out.size()) return Send(connection);
  if (!WaitForEnd(connection)) Close(connection);
}

void AdminServer::State::Receive(Connection* connection) {
  std::array<char, 4096> buffer;
  const ssize_t got = recv(connection->socket.get(), buffer.data(), buffer.size(), 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) return Close(connection);
  connection->in.append(buffer.data(), static_cast<std::size_t>(got));
  HttpRequest request;
  const HeadStatus status = ParseRequestHead(connection->in, &request);
  if (status == HeadStatus::kIncomplete) return;
  connection->answered = true;
  connection->out = Serialize(Answer(status, request), request.method != "HEAD");
  Send(connection);
}

void AdminServer::State::Send(Connection* connection) {
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
bool AdminServer::State::WaitForEnd(Connection* connection) {
  std::array<char, 4096> discard;
  const ssize_t got = recv(connection->socket.get(), discard.data(), discard.size(), 0);
  if (got > 0) connection->discarded += static_cast<std::size_t>(got);
  return (got > 0 && connection->discarded <= kMaxDiscarded) || (got < 0 && errno == EAGAIN);
}

void AdminServer::State::Close(Connection* connection) {
  loop->Remove(connection->socket.get(), connection);
  loop->Cancel(connection->deadline);
  connections.erase(connection);
  if (resume == 0) Listen();
}

void AdminServer::State::Listen() {
  if (!listening) listening = loop->Add(listener.get(), EPOLLIN, &listener_handler).has_value();
}

void AdminServer::State::StopListening() {
  if (listening) loop->Remove(listener.get(), &listener_handler);
  listening = false;
}

AdminServer::AdminServer(std::unique_ptr<State> state) : state_(std::move(state)) {}

Status AdminServer::State::Open(const Address& address, const Clock& clock) {
  SIGNET_TRY(listener, ListenTcp(address));
  SIGNET_TRY(const SocketAddress local, LocalAddress(listener.get()));
  own_host = address.host;
  any_address = IsAnyAddress(local);
  port = PortOf(local);
  SIGNET_TRY(loop, EventLoop::Create(clock));
  SIGNET_RETURN_IF_ERROR(loop->Add(listener.get(), EPOLLIN, &listener_handler));
  listening = true;
  thread = std::thread([this] { loop->Run(); });
  return {};
}

Result<std::unique_ptr<AdminServer>> AdminServer::Start(const Address& address,
                                                        std::function<Health()> health,
                                                        const Metrics& metrics,
                                                        const Clock& clock) {
  auto state = std::make_unique<State>(std::move(health), metrics);
  SIGNET_RETURN_IF_ERROR(state->Open(address, clock));
  return std::unique_ptr<AdminServer>(new AdminServer(std::move(state)));
}

Result<std::unique_ptr<AdminServer>> AdminServer::Start(const Address& address,
                                                        std::function<Health()> health,
                                                        const Metrics& metrics) {
  auto state = std::make_unique<State>(std::move(health), metrics);
  SIGNET_RETURN_IF_ERROR(state->Open(address, state->system_clock));
  return std::unique_ptr<AdminServer>(new AdminServer(std::move(state)));
}

AdminServer::~AdminServer() {
  state_->loop->Stop();
  state_->thread.join();
}

std::uint16_t AdminServer::port() const { return state_->port; }

}  // namespace signet::net
