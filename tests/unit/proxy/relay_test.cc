// What happens to bytes between two ends: half-closes, order, back-pressure, breaks.

#include "ca/crypto/digest.h"
#include "tests/unit/proxy/proxy_world.h"

namespace signet::proxy {
namespace {

using namespace std::chrono_literals;

constexpr const char* kShop = "spiffe://example.org/shop";
constexpr const char* kWeb = "spiffe://example.org/web";
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr std::size_t kBulk = 20U << 20;
constexpr std::size_t kGigabyte = kBulk;
#else
constexpr std::size_t kBulk = 100U << 20;
constexpr std::size_t kGigabyte = 1U << 30;
#endif

// Bytes that differ everywhere, made without keeping them.
class Stream {
 public:
  explicit Stream(std::uint64_t seed) : state_(seed) {}
  std::string Next(std::size_t count) {
    std::string bytes(count, '\0');
    for (std::size_t i = 0; i + 8 <= count; i += 8) {
      state_ = state_ * 6364136223846793005U + 1442695040888963407U;
      std::memcpy(bytes.data() + i, &state_, 8);
    }
    return bytes;
  }

 private:
  std::uint64_t state_;
};

ca::Sha256Digest SendBulk(StreamClient& stream, std::uint64_t seed, std::size_t size = kBulk) {
  Stream bytes(seed);
  ca::Sha256Hasher hasher;
  for (std::size_t sent = 0; sent < size; sent += 1U << 20) {
    const std::string part = bytes.Next(1U << 20);
    hasher.Update(AsBytes(part));
    if (!stream.Send(part)) break;
  }
  return hasher.Finish();
}

ca::Sha256Digest ReceiveBulk(StreamClient& stream, std::size_t* total) {
  ca::Sha256Hasher hasher;
  *total = stream.DiscardToEnd([&](ByteView bytes) { hasher.Update(bytes); });
  return hasher.Finish();
}

// Two proxies in a row: plain client -> outbound -> mutual TLS -> inbound -> plain backend.
struct Pair {
  explicit Pair(const net::SocketAddress& backend, const std::string& expect = kWeb)
      : inbound(InboundYaml(backend, fmt::format("{{id: '{}'}}", kShop))),
        outbound(OutboundYaml(*inbound.proxy->ListenAddress(Direction::kInbound, "web"),
                              fmt::format("{{id: '{}'}}", expect))) {
    inbound.Become(kWeb);
    outbound.proxy->OnIdentity(
        MakeIdentity(1, kShop, inbound.root.Issue(kShop), {inbound.root.certificate()}));
  }
  StreamClient Call() { return outbound.Call("out", nullptr, Direction::kOutbound); }

  World inbound;
  World outbound;
};

TEST_CASE("a plain client reaches a plain backend through two proxies") {
  TestBackend backend(TestBackend::Echo);
  Pair pair(backend.address());
  StreamClient client = pair.Call();
  REQUIRE(client.Send("hello"));
  CHECK(client.Receive(5) == "hello");
  client.CloseWrite();
  CHECK(client.WaitForEnd());
  CHECK(client.end() == StreamEnd::kOrderly);
  CHECK(World::Eventually([&] {
    return pair.inbound.Closed("finished") == 1 &&
           pair.outbound.Closed("finished", "out", "outbound") == 1;
  }));
}

TEST_CASE("after the client's half-close the whole answer still comes, byte for byte") {
  std::promise<std::pair<ca::Sha256Digest, std::size_t>> received;
  std::promise<ca::Sha256Digest> answered;
  TestBackend backend([&](StreamClient& stream) {
    std::size_t total = 0;
    const ca::Sha256Digest digest = ReceiveBulk(stream, &total);
    received.set_value({digest, total});
    answered.set_value(SendBulk(stream, 2));
    stream.CloseWrite();
  });
  Pair pair(backend.address());
  StreamClient client = pair.Call();
  const ca::Sha256Digest sent = SendBulk(client, 1);
  REQUIRE(client.CloseWrite());
  CHECK(received.get_future().get() == std::make_pair(sent, kBulk));
  std::size_t total = 0;
  const ca::Sha256Digest answer = ReceiveBulk(client, &total);
  CHECK(total == kBulk);
  CHECK(answer == answered.get_future().get());
  CHECK(client.end() == StreamEnd::kOrderly);
}

TEST_CASE("attack 39: after the backend's half-close the client may go on sending, byte for byte") {
  std::promise<std::pair<ca::Sha256Digest, std::size_t>> received;
  TestBackend backend([&](StreamClient& stream) {
    stream.Send("over");
    stream.CloseWrite();
    std::size_t total = 0;
    const ca::Sha256Digest digest = ReceiveBulk(stream, &total);
    received.set_value({digest, total});
  });
  Pair pair(backend.address());
  StreamClient client = pair.Call();
  CHECK(client.ReceiveToEnd() == "over");
  CHECK(client.end() == StreamEnd::kOrderly);
  const ca::Sha256Digest sent = SendBulk(client, 3);
  REQUIRE(client.CloseWrite());
  CHECK(received.get_future().get() == std::make_pair(sent, kBulk));
  CHECK(World::Eventually([&] { return pair.inbound.Active() == 0; }));
}

TEST_CASE("attack 39: a gigabyte comes back after the half-close, and nothing is left of it") {
  std::promise<ca::Sha256Digest> answered;
  std::promise<std::string> question;
  TestBackend backend([&](StreamClient& stream) {
    question.set_value(stream.ReceiveToEnd());
    answered.set_value(SendBulk(stream, 7, kGigabyte));
    stream.CloseWrite();
  });
  Pair pair(backend.address());
  StreamClient client = pair.Call();
  REQUIRE(client.Send("all of it"));
  REQUIRE(client.CloseWrite());
  std::size_t total = 0;
  const ca::Sha256Digest answer = ReceiveBulk(client, &total);
  CHECK(total == kGigabyte);
  CHECK(question.get_future().get() == "all of it");
  CHECK(answer == answered.get_future().get());
  CHECK(client.end() == StreamEnd::kOrderly);
  CHECK(World::Eventually([&] {
    return pair.inbound.proxy->connections() == 0 && pair.outbound.proxy->connections() == 0;
  }));
}

TEST_CASE("both directions carry bulk at once") {
  std::promise<ca::Sha256Digest> down, up;
  TestBackend backend([&](StreamClient& stream) {
    std::size_t total = 0;
    std::thread sender;  // TlsStream is not involved here: a plain socket takes both at once
    down.set_value(SendBulk(stream, 4));
    stream.CloseWrite();
    up.set_value(ReceiveBulk(stream, &total));
  });
  Pair pair(backend.address());
  StreamClient client = pair.Call();
  StreamClient reader(UniqueFd(::dup(client.fd())));
  std::size_t total = 0;
  auto received = std::async(std::launch::async, [&] { return ReceiveBulk(reader, &total); });
  const ca::Sha256Digest sent = SendBulk(client, 5);
  client.CloseWrite();
  CHECK(received.get() == down.get_future().get());
  CHECK(total == kBulk);
  CHECK(up.get_future().get() == sent);
}

TEST_CASE("a backend that speaks first is heard before the client says a word") {
  TestBackend backend([](StreamClient& stream) {
    stream.Send("220 ready\r\n");
    TestBackend::Echo(stream);
  });
  Pair pair(backend.address());
  StreamClient client = pair.Call();
  CHECK(client.Receive(11) == "220 ready\r\n");
  REQUIRE(client.Send("x"));
  CHECK(client.Receive(1) == "x");
}

TEST_CASE("a caller that breaks off without close_notify looks broken to the backend, not ended") {
  std::promise<StreamEnd> end;
  TestBackend backend([&](StreamClient& stream) {
    stream.ReceiveToEnd();
    end.set_value(stream.end());
  });
  World world(InboundYaml(backend.address()));
  world.Become(kWeb);
  StreamClient caller = world.CallAs(kShop);
  REQUIRE(caller.Send("half a mess"));
  REQUIRE(World::Eventually([&] { return backend.accepted() == 1; }));
  caller.Drop();
  CHECK(end.get_future().get() == StreamEnd::kBroken);
  CHECK(World::Eventually([&] { return world.Closed("reset") == 1; }));
}

TEST_CASE("attack 39: a backend that resets looks broken to the caller, not ended") {
  TestBackend backend([](StreamClient& stream) {
    stream.Receive(1);
    ResetOnClose(stream.fd());
    stream.Drop();
  });
  Pair pair(backend.address());
  StreamClient client = pair.Call();
  REQUIRE(client.Send("x"));
  CHECK(client.WaitForEnd());
  CHECK(client.end() == StreamEnd::kBroken);
  CHECK(World::Eventually([&] { return pair.inbound.Closed("reset") == 1; }));
}

TEST_CASE("an answer that comes before the request was read whole is delivered") {
  TestBackend backend([](StreamClient& stream) {
    stream.Receive(1);
    stream.Send("413 too much\r\n");
    stream.CloseWrite();
    // Leaves with unread bytes: the kernel resets the connection.
  });
  Pair pair(backend.address());
  StreamClient client = pair.Call();
  std::thread sender([&] {
    StreamClient writer(UniqueFd(::dup(client.fd())));
    const std::string part(1U << 20, 'x');
    for (int i = 0; i < 64 && writer.Send(part); ++i) {
    }
  });
  CHECK(client.Receive(14) == "413 too much\r\n");
  sender.join();
}

TEST_CASE("a reader that stops reading stops the sender at a bounded number of bytes") {
  std::atomic<std::size_t> sent{0};
  TestBackend backend([&](StreamClient& stream) {
    const std::string part(64 * 1024, 'x');
    for (;;) {
      const ssize_t put = ::send(stream.fd(), part.data(), part.size(), MSG_NOSIGNAL);
      if (put > 0)
        sent += static_cast<std::size_t>(put);
      else if (errno == EAGAIN)
        std::this_thread::sleep_for(1ms);
      else
        return;
    }
  });
  Pair pair(backend.address());
  StreamClient client = pair.Call();
  CHECK(client.Receive(1) == "x");
  std::size_t last = 0;
  REQUIRE(World::Eventually([&] {  // until it stands still
    const std::size_t before = std::exchange(last, sent.load());
    std::this_thread::sleep_for(50ms);
    return before == last;
  }));
  CHECK(last < (32U << 20));  // socket buffers of six sockets, and two of ours
  client.Drop();
  CHECK(World::Eventually([&] { return pair.inbound.Active() == 0; }));
}

TEST_CASE("one that moves bulk does not starve another on the same worker") {
  TestBackend backend([](StreamClient& stream) {
    const std::string first = stream.Receive(1);
    const std::string part(1U << 20, 'x');
    if (first == "e") return TestBackend::Echo(stream);
    while (stream.Send(part)) {
    }
  });
  World world(InboundYaml(backend.address()));
  world.Become(kWeb);
  StreamClient bulk = world.CallAs(kShop);
  REQUIRE(bulk.Send("b"));
  std::thread reader([&] { bulk.DiscardToEnd([](ByteView) {}); });
  StreamClient small = world.CallAs(kShop);
  REQUIRE(small.Send("e"));
  for (int i = 0; i < 100; ++i) {
    REQUIRE(small.Send("ping"));
    REQUIRE(small.Receive(4) == "ping");
  }
  ::shutdown(bulk.fd(), SHUT_RDWR);
  reader.join();
}

TEST_CASE("attack 39: a connection without a byte for limits.idle is closed, one in use is not") {
  TestBackend backend(TestBackend::Echo);
  World world(
      InboundYaml(backend.address(), "{id: 'spiffe://example.org/*'}", "limits: {idle: 60s}"));
  world.Become(kWeb);
  StreamClient idle = world.CallAs(kShop);
  StreamClient busy = world.CallAs(kShop);
  const auto talk = [](StreamClient& each) { return each.Send("x") && each.Receive(1) == "x"; };
  REQUIRE(talk(idle));
  for (int i = 0; i < 4; ++i) {
    REQUIRE(talk(busy));
    world.Advance(20s);
  }
  CHECK(World::Eventually([&] { return world.Closed("idle") == 1; }));
  CHECK(idle.WaitForEnd());
  CHECK(talk(busy));
}

TEST_CASE("attack 39: connections that come and go leave nothing behind") {
  TestBackend backend(TestBackend::Echo);
  Pair pair(backend.address());
  const auto descriptors = [] {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& each : std::filesystem::directory_iterator("/proc/self/fd"))
      ++count;
    return count;
  };
  const auto round = [&](int i) {
    StreamClient client = pair.Call();
    REQUIRE(client.Send("x"));
    CHECK(client.Receive(1) == "x");
    if (i % 2 == 0) client.CloseWrite();
  };
  round(0);
  REQUIRE(World::Eventually([&] { return pair.inbound.proxy->connections() == 0; }));
  const std::size_t before = descriptors();
  for (int i = 0; i < 50; ++i) round(i);
  CHECK(World::Eventually([&] {
    return pair.inbound.proxy->connections() == 0 && pair.outbound.proxy->connections() == 0 &&
           descriptors() <= before;
  }));
}

}  // namespace
}  // namespace signet::proxy
