#include "net/tls_front.h"

#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <thread>

#include "ca/crypto/digest.h"
#include "tests/support/bridging_service.h"
#include "tests/support/eventually.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/net/tls_peers.h"

namespace signet::net {
namespace {

constexpr std::chrono::seconds kPatience(20);  // how long a test waits for what must happen

Bytes Pattern(std::size_t size, std::uint32_t seed) {
  Bytes bytes(size);
  for (std::uint8_t& byte : bytes) {
    seed = seed * 1664525 + 1013904223;
    byte = static_cast<std::uint8_t>(seed >> 24);
  }
  return bytes;
}

bool WaitReadable(int fd) {
  pollfd polled{fd, POLLIN, 0};
  return poll(&polled, 1, static_cast<int>(std::chrono::milliseconds(kPatience).count())) == 1;
}

// Blocking reads and writes on a non-blocking socket, with patience.
std::string ReadOnce(int fd) {
  REQUIRE(WaitReadable(fd));
  char buffer[1000];
  const ssize_t got = recv(fd, buffer, sizeof buffer, 0);
  if (got == 0) return "<eof>";
  return got < 0 ? "<error>" : std::string(buffer, static_cast<std::size_t>(got));
}

void WriteAll(int fd, ByteView bytes) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t put = send(fd, bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
    if (put > 0) {
      done += static_cast<std::size_t>(put);
      continue;
    }
    pollfd polled{fd, POLLOUT, 0};
    if (errno != EAGAIN || poll(&polled, 1, 20000) != 1) return;
  }
}

Bytes ReadToEnd(int fd) {
  Bytes all;
  Bytes buffer(100'000);
  while (WaitReadable(fd)) {
    const ssize_t got = recv(fd, buffer.data(), buffer.size(), 0);
    if (got < 0 && errno == EAGAIN) continue;
    if (got <= 0) break;
    all.insert(all.end(), buffer.begin(), buffer.begin() + got);
  }
  return all;
}

using test::BridgingService;
using test::Eventually;
using test::PlainConnection;

// A front on loopback with a dialer beside it; the connections it accepts wait in a queue.
struct FrontWorld {
  explicit FrontWorld(const TlsFrontLimits& limits = {}, const Clock* front_clock = nullptr) {
    Result<UniqueFd> listener = ListenTcp({"127.0.0.1", 0, false});
    REQUIRE(listener);
    address = *Address::Parse(LocalAddress(listener->get())->ToString());
    SetContext(peers.Server());
    auto started = TlsFront::Start(
        std::move(*listener),
        [this] {
          const std::lock_guard lock(mutex);
          return context;
        },
        service, limits, front_clock == nullptr ? system_clock : *front_clock, log, metrics);
    REQUIRE(started);
    front = std::move(*started);
    dialer = *TlsDialer::Start(peers.clock);
  }
  ~FrontWorld() { front.reset(); }

  void SetContext(std::shared_ptr<const TlsContext> next) {
    const std::lock_guard lock(mutex);
    context = std::move(next);
  }
  Result<TlsDialer::Dialed> Dial(std::shared_ptr<const TlsContext> client) {
    return dialer->Dial(address, std::move(client), kPatience);
  }
  PlainConnection Next() {
    std::unique_lock lock(mutex);
    REQUIRE(arrived.wait_for(lock, kPatience, [this] { return !accepted.empty(); }));
    PlainConnection connection = std::move(accepted.front());
    accepted.pop_front();
    return connection;
  }
  bool Counted(const std::string& line) {
    return Eventually([&] { return metrics.Text().find(line) != std::string::npos; });
  }
  bool HandshakesCounted(const std::string& reason, const std::string& result, int count) {
    return Counted("signet_tls_handshakes_total{reason=\"" + reason + "\",result=\"" + result +
                   "\"} " + std::to_string(count));
  }
  UniqueFd ConnectRaw() {
    Result<UniqueFd> fd = Connect(address, kPatience);
    REQUIRE(fd);
    return std::move(*fd);
  }

  TlsPeers peers;
  SystemClock system_clock;
  Logger log = Logger::Null();
  Metrics metrics;
  std::mutex mutex;
  std::condition_variable arrived;
  std::shared_ptr<const TlsContext> context;
  std::deque<PlainConnection> accepted;
  BridgingService service{[this](PlainConnection connection) {
    const std::lock_guard lock(mutex);
    accepted.push_back(std::move(connection));
    arrived.notify_all();
  }};
  Address address;
  std::unique_ptr<TlsDialer> dialer;
  std::unique_ptr<TlsFront> front;
};

}  // namespace

TEST_CASE("a dialed connection arrives at the sink with its peer, and carries bytes both ways") {
  FrontWorld world;
  const auto dialed = world.Dial(world.peers.Client());
  REQUIRE(dialed);
  CHECK(dialed->peer->name == TlsPeers::kServerId);
  const PlainConnection connection = world.Next();
  CHECK(connection.peer->name == TlsPeers::kClientId);
  CHECK(connection.id != 0);
  CHECK(connection.remote.ToString().starts_with("127.0.0.1:"));
  CHECK(world.front->connections() == 1);
  WriteAll(dialed->plain.get(), AsBytes("ping"));
  CHECK(ReadOnce(connection.plain.get()) == "ping");
  WriteAll(connection.plain.get(), AsBytes("pong"));
  CHECK(ReadOnce(dialed->plain.get()) == "pong");
  CHECK(world.HandshakesCounted("none", "ok", 1));
}

TEST_CASE("ten megabytes pass each way at once, and each end is passed on by itself") {
  FrontWorld world;
  const auto dialed = world.Dial(world.peers.Client());
  REQUIRE(dialed);
  const PlainConnection connection = world.Next();
  const Bytes up = Pattern(10'000'000, 1), down = Pattern(10'000'000, 2);
  const auto send_all = [](int fd, const Bytes& bytes) {
    WriteAll(fd, bytes);
    shutdown(fd, SHUT_WR);
  };
  Bytes got_up, got_down;
  {
    const std::jthread a([&] { send_all(dialed->plain.get(), up); });
    const std::jthread b([&] { send_all(connection.plain.get(), down); });
    const std::jthread c([&] { got_up = ReadToEnd(connection.plain.get()); });
    got_down = ReadToEnd(dialed->plain.get());
  }
  CHECK(ca::Sha256(got_up) == ca::Sha256(up));
  CHECK(ca::Sha256(got_down) == ca::Sha256(down));
  CHECK(Eventually([&] { return world.front->connections() == 0; }));
  CHECK(world.Counted("signet_tls_ends_total{how=\"closed\"} 1"));
}

TEST_CASE("one direction ends and the other goes on, either way round") {
  FrontWorld world;
  const auto dialed = world.Dial(world.peers.Client());
  REQUIRE(dialed);
  const PlainConnection connection = world.Next();
  const bool client_first = GENERATE(true, false);
  const int first = client_first ? dialed->plain.get() : connection.plain.get();
  const int second = client_first ? connection.plain.get() : dialed->plain.get();
  WriteAll(first, AsBytes("last words"));
  shutdown(first, SHUT_WR);
  CHECK(ReadOnce(second) == "last words");
  CHECK(ReadOnce(second) == "<eof>");
  const Bytes answer = Pattern(1'000'000, 3);
  const std::jthread writer([&] {
    WriteAll(second, answer);
    shutdown(second, SHUT_WR);
  });
  CHECK(ca::Sha256(ReadToEnd(first)) == ca::Sha256(answer));
}

TEST_CASE("a reader that does not read stops the sender at the socket buffers' size") {
  FrontWorld world;
  const auto dialed = world.Dial(world.peers.Client());
  REQUIRE(dialed);
  const PlainConnection connection = world.Next();
  const Bytes block = Pattern(64 * 1024, 4);
  std::size_t sent = 0;
  pollfd writable{dialed->plain.get(), POLLOUT, 0};
  while (poll(&writable, 1, 300) == 1) {
    const ssize_t put = send(dialed->plain.get(), block.data() + sent % block.size(),
                             block.size() - sent % block.size(), MSG_NOSIGNAL);
    if (put > 0) sent += static_cast<std::size_t>(put);
    REQUIRE(sent < 64'000'000);  // TCP buffers grow to some megabytes; ours do not grow
  }
  shutdown(dialed->plain.get(), SHUT_WR);
  const Bytes got = ReadToEnd(connection.plain.get());
  REQUIRE(got.size() == sent);
  bool same = true;
  for (std::size_t i = 0; i < got.size(); ++i) same &= got[i] == block[i % block.size()];
  CHECK(same);
}

TEST_CASE("closing the plain end ends the connection, on both sides") {
  FrontWorld world;
  auto dialed = world.Dial(world.peers.Client());
  REQUIRE(dialed);
  PlainConnection connection = world.Next();
  const bool client_first = GENERATE(true, false);
  UniqueFd& first = client_first ? dialed->plain : connection.plain;
  UniqueFd& second = client_first ? connection.plain : dialed->plain;
  WriteAll(first.get(), AsBytes("bye"));
  first.Reset();
  CHECK(ReadOnce(second.get()) == "bye");
  CHECK(ReadOnce(second.get()) == "<eof>");
  second.Reset();
  CHECK(Eventually([&] { return world.front->connections() == 0; }));
}

TEST_CASE("a sink that lets go of the plain end refuses the connection") {
  FrontWorld world;
  const auto dialed = world.Dial(world.peers.Client());
  REQUIRE(dialed);
  world.Next();
  CHECK(ReadOnce(dialed->plain.get()) == "<eof>");
}

TEST_CASE("refused clients are counted by reason, and never reach the sink") {
  FrontWorld world;
  const auto anonymous = world.Dial(world.peers.AnonymousClient());
  REQUIRE(anonymous);  // TLS 1.3: the client learns of it after its handshake
  CHECK(ReadOnce(anonymous->plain.get()) == "<eof>");
  CHECK(world.HandshakesCounted("no_certificate", "refused", 1));
  const auto foreign = world.Dial(world.peers.Client(world.peers.stranger.Issue("spiffe://a/b")));
  REQUIRE(foreign);
  CHECK(ReadOnce(foreign->plain.get()) == "<eof>");
  CHECK(world.HandshakesCounted("peer_refused", "refused", 1));
  CHECK(world.accepted.empty());
  CHECK(world.front->connections() == 0);
}

TEST_CASE("the alert of a refusal reaches a client that sent more at once") {
  FrontWorld world;
  TlsStream client(world.peers.Client(world.peers.stranger.Issue("spiffe://a/b")),
                   world.ConnectRaw());
  IoStatus status = client.Handshake();
  while (status == IoStatus::kWantRead) {
    REQUIRE(WaitReadable(client.fd()));
    status = client.Handshake();
  }
  REQUIRE(status == IoStatus::kOk);
  client.Write(Pattern(60'000, 5));
  Bytes buffer(100);
  IoResult result{IoStatus::kWantRead};
  while (result.status == IoStatus::kWantRead) {
    REQUIRE(WaitReadable(client.fd()));
    result = client.Read(buffer);
  }
  CHECK(result.status == IoStatus::kError);
  CHECK(client.error().detail.find("bad certificate") != std::string::npos);
}

TEST_CASE("the dialer refuses a foreign server") {
  FrontWorld world;
  world.SetContext(world.peers.Server(world.peers.stranger.Issue("spiffe://a/b")));
  const auto dialed = world.Dial(world.peers.Client());
  REQUIRE(!dialed);
  CHECK(dialed.error().reason == kTlsPeerRefused);
  CHECK(dialed.error().detail.find(kTestForeign.text) != std::string::npos);
  CHECK(world.HandshakesCounted("protocol", "failed", 1));  // the client's alert
}

TEST_CASE("garbage, and silence that hangs up, are counted as what they are") {
  FrontWorld world;
  UniqueFd garbage = world.ConnectRaw();
  WriteAll(garbage.get(), Pattern(5000, 6));
  CHECK(world.HandshakesCounted("protocol", "failed", 1));
  Bytes rest = ReadToEnd(garbage.get());  // an alert, and the end
  garbage.Reset();
  world.ConnectRaw().Reset();
  CHECK(world.HandshakesCounted("peer_left", "failed", 1));
}

TEST_CASE("a handshake that does not end in time is closed") {
  TlsFrontLimits limits;
  limits.handshake_deadline = std::chrono::milliseconds(20);
  FrontWorld world(limits);
  const UniqueFd silent = world.ConnectRaw();
  CHECK(ReadOnce(silent.get()) == "<eof>");
  CHECK(world.HandshakesCounted("deadline", "failed", 1));
}

TEST_CASE("the dialer gives up on a server that says nothing") {
  FrontWorld world;
  const Result<UniqueFd> mute = ListenTcp({"127.0.0.1", 0, false});
  const auto dialed = world.dialer->Dial(*Address::Parse(LocalAddress(mute->get())->ToString()),
                                         world.peers.Client(), std::chrono::milliseconds(20));
  REQUIRE(!dialed);
  CHECK(dialed.error().reason == kTlsHandshakeFailed);
  CHECK(dialed.error().code == Code::kDeadlineExceeded);
}

TEST_CASE("connections over the limits are dropped and counted") {
  TlsFrontLimits limits;
  limits.max_connections = 1;
  FrontWorld by_count(limits);
  const auto first = by_count.Dial(by_count.peers.Client());
  REQUIRE(first);
  CHECK(!by_count.Dial(by_count.peers.Client()));
  CHECK(by_count.HandshakesCounted("connection_limit", "dropped", 1));

  limits.max_connections = 10;
  limits.max_per_address = 1;
  FrontWorld by_address(limits);
  auto held = by_address.Dial(by_address.peers.Client());
  REQUIRE(held);
  CHECK(!by_address.Dial(by_address.peers.Client()));
  CHECK(by_address.HandshakesCounted("address_limit", "dropped", 1));
  by_address.Next();  // lets go; the address is free again
  CHECK(ReadOnce(held->plain.get()) == "<eof>");
  held->plain.Reset();
  REQUIRE(Eventually([&] { return by_address.front->connections() == 0; }));
  CHECK(by_address.Dial(by_address.peers.Client()));
}

TEST_CASE("handshakes over the limit wait in the accept queue and are served later") {
  TlsFrontLimits limits;
  limits.max_handshakes = 1;
  FrontWorld world(limits);
  UniqueFd silent = world.ConnectRaw();
  CHECK(Eventually([&] {
    return world.metrics.Text().find("signet_tls_accept_pauses_total{reason=\"handshakes\"} 1") !=
               std::string::npos ||
           (world.ConnectRaw().Reset(), false);
  }));
  silent.Reset();
  CHECK(world.Dial(world.peers.Client()));
}

TEST_CASE("without a context nothing is served, and the next one counts at once") {
  FrontWorld world;
  world.SetContext(nullptr);
  CHECK(!world.Dial(world.peers.Client()));
  CHECK(world.HandshakesCounted("no_context", "dropped", 1));
  world.SetContext(world.peers.Server());
  const auto before = world.Dial(world.peers.Client());
  REQUIRE(before);
  const PlainConnection old_connection = world.Next();

  const test::TestAuthority next("spiffe://example.org");
  world.peers.verifier = world.peers.VerifierFor(next);
  world.SetContext(world.peers.Server(next.Issue("spiffe://example.org/2")));
  const auto after = world.Dial(world.peers.Client(next.Issue(TlsPeers::kClientId)));
  REQUIRE(after);
  CHECK(after->peer->name == "spiffe://example.org/2");
  WriteAll(before->plain.get(), AsBytes("still here"));
  CHECK(ReadOnce(old_connection.plain.get()) == "still here");
}

TEST_CASE("CutWhere cuts whom it is told to, and answers how many") {
  FrontWorld world;
  world.peers.server_options.client_certificate = ClientCertificate::kOptional;
  world.SetContext(world.peers.Server());
  const auto dial = [&](const std::shared_ptr<const TlsContext>& context) {
    auto dialed = world.Dial(context);
    REQUIRE(dialed);
    return std::pair{std::move(dialed->plain), world.Next()};
  };
  const auto kept = dial(world.peers.Client());
  const auto anonymous = dial(world.peers.AnonymousClient());
  const std::string banned_id = "spiffe://example.org/banned";
  const auto banned = dial(world.peers.Client(world.peers.authority.Issue(banned_id)));
  const auto is_banned = [&](const PeerIdentity& peer) { return peer.name == banned_id; };
  CHECK(world.front->CutWhere(is_banned) == 1);
  CHECK(world.front->CutWhere(is_banned) == 0);
  CHECK(ReadOnce(banned.first.get()) == "<eof>");
  CHECK(ReadOnce(banned.second.plain.get()) == "<eof>");
  for (const auto* alive : {&kept, &anonymous}) {
    WriteAll(alive->first.get(), AsBytes("on"));
    CHECK(ReadOnce(alive->second.plain.get()) == "on");
  }
  CHECK(world.front->connections() == 2);
}

TEST_CASE("who shows no certificate has a share of the places") {
  TlsFrontLimits limits;
  limits.max_anonymous = 1;
  FrontWorld world(limits);
  world.peers.server_options.client_certificate = ClientCertificate::kOptional;
  world.SetContext(world.peers.Server());
  auto anonymous = world.Dial(world.peers.AnonymousClient());
  REQUIRE(anonymous);
  PlainConnection first = world.Next();
  CHECK(first.peer == nullptr);
  const auto one_more = world.Dial(world.peers.AnonymousClient());
  REQUIRE(one_more);  // TLS 1.3: the client learns of it after its handshake
  CHECK_FALSE(ReadOnce(one_more->plain.get()).starts_with("<ok"));
  CHECK(world.HandshakesCounted("anonymous_limit", "dropped", 1));
  const auto proven = world.Dial(world.peers.Client());
  REQUIRE(proven);
  const PlainConnection second = world.Next();
  CHECK(second.peer != nullptr);
  CHECK(world.front->connections() == 2);
  first.plain.Reset();
  anonymous->plain.Reset();
  CHECK(Eventually([&] { return world.front->connections() == 1; }));
  CHECK(world.Dial(world.peers.AnonymousClient()));
  CHECK(world.Next().peer == nullptr);
}

TEST_CASE("a peer that reads nothing does not hold a connection whose plain end is gone") {
  test::FakeClock clock;
  FrontWorld world({}, &clock);
  const auto dialed = world.Dial(world.peers.Client());
  REQUIRE(dialed);
  PlainConnection connection = world.Next();
  const auto turn = [&] { world.front->CutWhere([](const PeerIdentity&) { return false; }); };
  const Bytes block(64 * 1024);
  pollfd writable{connection.plain.get(), POLLOUT, 0};
  while (poll(&writable, 1, 300) == 1)
    REQUIRE((send(writable.fd, block.data(), block.size(), MSG_NOSIGNAL) > 0 || errno == EAGAIN));
  connection.plain.Reset();
  turn();
  turn();
  clock.Advance(std::chrono::seconds(29));
  turn();
  turn();
  CHECK(world.front->connections() == 1);
  clock.Advance(std::chrono::seconds(1));
  turn();
  turn();
  CHECK(world.front->connections() == 0);
}

TEST_CASE("StopAccepting closes the port and keeps connections") {
  FrontWorld world;
  const auto dialed = world.Dial(world.peers.Client());
  REQUIRE(dialed);
  const PlainConnection connection = world.Next();
  world.front->StopAccepting();
  CHECK(Eventually([&] { return !Connect(world.address, kPatience); }));
  WriteAll(connection.plain.get(), AsBytes("on"));
  CHECK(ReadOnce(dialed->plain.get()) == "on");
}

TEST_CASE("the end of front and dialer ends their connections") {
  FrontWorld world;
  const auto a = world.Dial(world.peers.Client());
  const auto b = world.Dial(world.peers.Client());
  REQUIRE(a);
  REQUIRE(b);
  const PlainConnection first = world.Next(), second = world.Next();
  const UniqueFd half_way = world.ConnectRaw();
  if (GENERATE(true, false)) {
    world.front.reset();
    const std::string ended = ReadOnce(half_way.get());
    CHECK((ended == "<eof>" || ended == "<error>"));  // accepted already, or still in the queue
    CHECK(world.Counted("signet_tls_connections 0"));
  } else {
    world.dialer.reset();
  }
  CHECK(ReadOnce(a->plain.get()) == "<eof>");
  CHECK(ReadOnce(second.plain.get()) == "<eof>");
}

TEST_CASE("without descriptors the front waits, does not spin, and recovers") {
  FrontWorld world;
  const auto before = world.Dial(world.peers.Client());
  REQUIRE(before);
  const PlainConnection connection = world.Next();

  const UniqueFd waiting(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const SocketAddress target = world.address.Resolve()->front();
  rlimit old_limit{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &old_limit) == 0);
  rlimit low = old_limit;
  low.rlim_cur = static_cast<rlim_t>(dup(0));  // the lowest free number: nothing above it
  close(static_cast<int>(low.rlim_cur));
  REQUIRE(setrlimit(RLIMIT_NOFILE, &low) == 0);
  const int connected =
      connect(waiting.get(), reinterpret_cast<const sockaddr*>(&target.storage), target.length);
  const bool paused = Eventually([&] {
    const std::string text = world.metrics.Text();
    return text.find("signet_tls_accept_pauses_total{reason=\"resources\"} 3") != text.npos;
  });
  REQUIRE(setrlimit(RLIMIT_NOFILE, &old_limit) == 0);
  CHECK(connected == 0);
  CHECK(paused);
  CHECK(world.Dial(world.peers.Client()));
  WriteAll(before->plain.get(), AsBytes("on"));
  CHECK(ReadOnce(connection.plain.get()) == "on");
}

}  // namespace signet::net
