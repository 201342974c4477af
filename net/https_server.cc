#include "net/https_server.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/epoll.h>

#include <array>
#include <cerrno>
#include <map>
#include <thread>
#include <unordered_map>

#include "net/event_loop.h"
#include "net/http_request.h"

namespace signet::net {
namespace {

constexpr Duration kResourcePause = std::chrono::milliseconds(100);

const char* Phrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    default:
      return "Request Header Fields Too Large";
  }
}

std::string Refusal(int status, std::string_view problem) {
  const std::string body = "{\"error\":" + JsonString(problem) + "}\n";
  return fmt::format(
      "HTTP/1.1 {} {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{}"
      "Cache-Control: no-store\r\nConnection: close\r\n\r\n{}",
      status, Phrase(status), body.size(), status == 405 ? "Allow: GET, HEAD\r\n" : "", body);
}

std::string Answer(const HttpDocument& document, const HttpRequest& request) {
  const bool same = NamesEntityTag(request.if_none_match, document.etag);
  const std::string caching = document.max_age.count() > 0
                                  ? fmt::format("max-age={}", document.max_age.count())
                                  : "no-cache";
  std::string head =
      fmt::format("HTTP/1.1 {} {}\r\nETag: {}\r\nCache-Control: {}\r\n", same ? 304 : 200,
                  Phrase(same ? 304 : 200), document.etag, caching);
  if (!same) {
    head += fmt::format("Content-Type: {}\r\nContent-Length: {}\r\n", document.type,
                        document.body->size());
  }
  head += "X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n";
  return same || request.method == "HEAD" ? head : head + *document.body;
}

// The address without its port, as what is counted by. An IPv6 network of one customer counts as
// one (RFC 6177).
std::string SourceOf(const SocketAddress& remote) {
  constexpr std::size_t kNetworkBytes = 8;
  if (remote.family() == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(remote.storage).sin6_addr;
    const bool mapped = IN6_IS_ADDR_V4MAPPED(&v6);
    return std::string(reinterpret_cast<const char*>(v6.s6_addr), mapped ? 16 : kNetworkBytes);
  }
  const auto& v4 = reinterpret_cast<const sockaddr_in&>(remote.storage).sin_addr;
  return std::string(reinterpret_cast<const char*>(&v4), sizeof v4);
}

}  // namespace

struct HttpsServer::State {
  // Moves one way only.
  enum class Phase { kHandshake, kRequest, kAnswer, kClose };

  struct Connection final : EventHandler {
    Connection(State* owner, std::unique_ptr<TlsStream> tls, std::string from)
        : server(owner), stream(std::move(tls)), source(std::move(from)) {}
    void OnEvents(std::uint32_t) override { server->Drive(this); }
    State* server;
    std::unique_ptr<TlsStream> stream;
    const std::string source;
    Phase phase = Phase::kHandshake;
    std::string in, out;
    std::size_t sent = 0;
    EventLoop::TimerId deadline = 0;
  };
  struct Listener final : EventHandler {
    explicit Listener(State* owner) : server(owner) {}
    void OnEvents(std::uint32_t) override { server->OnAcceptable(); }
    State* server;
  };

  State(Contexts context_source, Documents document_source, const HttpsServerLimits& bounds,
        Metrics& metrics)
      : contexts(std::move(context_source)),
        documents(std::move(document_source)),
        limits(bounds),
        requests(metrics.Counter("signet_server_https_requests_total",
                                 "Requests for published documents that were answered")),
        cut(metrics.Counter("signet_server_https_cut_total",
                            "Connections for published documents cut at a bound: too many, too "
                            "many of one address, or too slow")) {}

  Status Open(const Address& address, const Clock& clock);
  void OnAcceptable();
  void Adopt(UniqueFd socket, const SocketAddress& remote);
  void Drive(Connection* connection);
  // What the stream waits for next; absent: the connection is over.
  std::optional<IoStatus> Step(Connection* connection);
  std::optional<IoStatus> Receive(Connection* connection);
  std::optional<IoStatus> Send(Connection* connection);
  std::string AnswerTo(HeadStatus status, const HttpRequest& request) const;
  void Close(Connection* connection);
  void Listen();
  void StopListening();

  const Contexts contexts;
  const Documents documents;
  const HttpsServerLimits limits;
  Counter& requests;
  Counter& cut;
  UniqueFd listener;
  std::string bound;
  std::unique_ptr<EventLoop> loop;
  std::thread thread;

  // The loop's thread only.
  Listener listener_handler{this};
  bool listening = false;
  std::shared_ptr<TlsScratch> scratch = std::make_shared<TlsScratch>();
  std::unordered_map<Connection*, std::unique_ptr<Connection>> connections;
  std::map<std::string, std::size_t> by_source;
};

std::string HttpsServer::State::AnswerTo(HeadStatus status, const HttpRequest& request) const {
  if (status == HeadStatus::kTooLarge) return Refusal(431, "the request is too large");
  if (status == HeadStatus::kMalformed) return Refusal(400, "no well-formed HTTP/1.1 request");
  const auto document = documents(request.path);
  if (!document) return Refusal(404, "nothing is published here");
  if (request.method != "GET" && request.method != "HEAD")
    return Refusal(405, "only GET and HEAD are answered");
  return Answer(*document, request);
}

void HttpsServer::State::OnAcceptable() {
  SocketAddress remote;
  remote.length = sizeof remote.storage;
  UniqueFd socket(accept4(listener.get(), reinterpret_cast<sockaddr*>(&remote.storage),
                          &remote.length, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (socket.valid()) return Adopt(std::move(socket), remote);
  if (errno == EAGAIN || errno == ECONNABORTED || errno == EINTR) return;
  StopListening();  // no descriptors: later, without spinning
  loop->RunAfter(kResourcePause, [this] { Listen(); });
}

void HttpsServer::State::Adopt(UniqueFd socket, const SocketAddress& remote) {
  std::string source = SourceOf(remote);
  const auto held = by_source.find(source);
  const std::size_t of_source = held == by_source.end() ? 0 : held->second;
  if (connections.size() >= limits.connections || of_source >= limits.connections_per_address)
    return cut.Add();
  auto context = contexts();
  if (context == nullptr) return;
  const int fd = socket.get();
  auto owner = std::make_unique<Connection>(
      this, std::make_unique<TlsStream>(std::move(context), std::move(socket), scratch),
      std::move(source));
  Connection* connection = owner.get();
  if (!loop->Add(fd, EPOLLIN, connection)) return;
  ++by_source[connection->source];
  connections.emplace(connection, std::move(owner));
  connection->deadline = loop->RunAfter(limits.connection_time, [this, connection] {
    cut.Add();
    Close(connection);
  });
}

void HttpsServer::State::Drive(Connection* connection) {
  const auto wanted = Step(connection);
  const std::uint32_t events = wanted == IoStatus::kWantWrite ? EPOLLOUT : EPOLLIN;
  if (!wanted || !loop->Modify(connection->stream->fd(), events, connection)) Close(connection);
}

std::optional<IoStatus> HttpsServer::State::Step(Connection* connection) {
  if (connection->phase == Phase::kHandshake) {
    const IoStatus status = connection->stream->Handshake();
    if (status == IoStatus::kError) return std::nullopt;
    if (status != IoStatus::kOk) return status;
    connection->phase = Phase::kRequest;
  }
  if (connection->phase == Phase::kRequest) {
    const auto wanted = Receive(connection);
    if (connection->phase == Phase::kRequest) return wanted;
  }
  if (connection->phase == Phase::kAnswer) {
    const auto wanted = Send(connection);
    if (connection->phase == Phase::kAnswer) return wanted;
  }
  // The answer is on its way; closing with bytes unread would destroy it, so the client closes.
  std::array<std::uint8_t, 4096> discard;
  const IoResult result = connection->stream->Read(discard);
  if (result.status == IoStatus::kOk && result.would_block) return IoStatus::kWantRead;
  if (result.status == IoStatus::kWantRead || result.status == IoStatus::kWantWrite)
    return result.status;
  return std::nullopt;
}

std::optional<IoStatus> HttpsServer::State::Receive(Connection* connection) {
  std::array<std::uint8_t, 4096> buffer;
  while (true) {
    const IoResult result = connection->stream->Read(buffer);
    if (result.status == IoStatus::kWantRead || result.status == IoStatus::kWantWrite)
      return result.status;
    if (result.status != IoStatus::kOk) return std::nullopt;
    connection->in += AsText(ByteView(buffer).first(result.bytes));
    HttpRequest request;
    const HeadStatus status = ParseRequestHead(connection->in, &request);
    if (status == HeadStatus::kIncomplete) continue;
    connection->out = AnswerTo(status, request);
    connection->in.clear();
    connection->phase = Phase::kAnswer;
    requests.Add();
    return IoStatus::kWantWrite;
  }
}

std::optional<IoStatus> HttpsServer::State::Send(Connection* connection) {
  TlsStream& stream = *connection->stream;
  while (connection->sent < connection->out.size()) {
    const IoResult result =
        stream.Write(AsBytes(std::string_view(connection->out).substr(connection->sent)));
    if (result.status == IoStatus::kError) return std::nullopt;
    connection->sent += result.bytes;
    if (result.status != IoStatus::kOk || result.would_block) return IoStatus::kWantWrite;
  }
  const IoStatus closed = stream.CloseWrite();
  if (closed == IoStatus::kError) return std::nullopt;
  if (closed != IoStatus::kOk) return closed;
  connection->phase = Phase::kClose;
  return IoStatus::kWantRead;
}

void HttpsServer::State::Close(Connection* connection) {
  loop->Remove(connection->stream->fd(), connection);
  loop->Cancel(connection->deadline);
  const auto held = by_source.find(connection->source);
  if (--held->second == 0) by_source.erase(held);
  connections.erase(connection);
}

void HttpsServer::State::Listen() {
  if (!listening) listening = loop->Add(listener.get(), EPOLLIN, &listener_handler).has_value();
}

void HttpsServer::State::StopListening() {
  if (listening) loop->Remove(listener.get(), &listener_handler);
  listening = false;
}

Status HttpsServer::State::Open(const Address& address, const Clock& clock) {
  SIGNET_TRY(listener, ListenTcp(address));
  SIGNET_TRY(const SocketAddress local, LocalAddress(listener.get()));
  bound = local.ToString();
  SIGNET_TRY(loop, EventLoop::Create(clock));
  Listen();
  thread = std::thread([this] { loop->Run(); });
  return {};
}

HttpsServer::HttpsServer(std::unique_ptr<State> state) : state_(std::move(state)) {}

Result<std::unique_ptr<HttpsServer>> HttpsServer::Start(const Address& address, Contexts contexts,
                                                        Documents documents,
                                                        const HttpsServerLimits& limits,
                                                        const Clock& clock, Metrics& metrics) {
  auto state = std::make_unique<State>(std::move(contexts), std::move(documents), limits, metrics);
  SIGNET_RETURN_IF_ERROR(state->Open(address, clock));
  return std::unique_ptr<HttpsServer>(new HttpsServer(std::move(state)));
}

HttpsServer::~HttpsServer() {
  state_->loop->Stop();
  state_->thread.join();
}

const std::string& HttpsServer::address() const { return state_->bound; }

}  // namespace signet::net
