#include "proxy/forward/handshake_queue.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <array>
#include <catch2/catch.hpp>

namespace signet::proxy {
namespace {

net::SocketAddress Remote(const std::string& host) {
  net::SocketAddress address;
  if (host.find(':') == std::string::npos) {
    auto& in = reinterpret_cast<sockaddr_in&>(address.storage);
    in.sin_family = AF_INET;
    REQUIRE(::inet_pton(AF_INET, host.c_str(), &in.sin_addr) == 1);
  } else {
    auto& in6 = reinterpret_cast<sockaddr_in6&>(address.storage);
    in6.sin6_family = AF_INET6;
    REQUIRE(::inet_pton(AF_INET6, host.c_str(), &in6.sin6_addr) == 1);
  }
  return address;
}

// Stands for `count` connections: the queue hands pointers back and looks at none.
struct Queue {
  using Over = HandshakeQueue::Over;
  Connection& Of(std::size_t i) { return reinterpret_cast<Connection&>(objects[i]); }
  HandshakeQueue::Excess Add(std::size_t i, const std::string& host) {
    queue.Add(Of(i), SourceOf(Remote(host)), &places[i]);
    return queue.Find(places[i], share, source_share);
  }
  std::size_t share = 6;
  std::size_t source_share = 3;
  HandshakeQueue queue;
  std::array<std::uint64_t, 32> objects{};
  std::array<HandshakeQueue::Place, 32> places;
};

}  // namespace

TEST_CASE("one source is an IPv4 address or an IPv6 /64") {
  const auto same = [](const std::string& a, const std::string& b) {
    return SourceOf(Remote(a)) == SourceOf(Remote(b));
  };
  CHECK(same("192.0.2.1", "192.0.2.1"));
  CHECK(same("192.0.2.1", "::ffff:192.0.2.1"));
  CHECK_FALSE(same("192.0.2.1", "192.0.2.2"));
  CHECK_FALSE(same("::ffff:192.0.2.1", "::ffff:192.0.2.2"));
  CHECK(same("2001:db8::1", "2001:db8::ffff:1"));
  CHECK_FALSE(same("2001:db8:0:1::1", "2001:db8:0:2::1"));
}

TEST_CASE("over its share, a source's own oldest handshake gives way") {
  Queue q;
  q.Add(0, "192.0.2.1");
  for (std::size_t i = 1; i <= 3; ++i) CHECK(q.Add(i, "192.0.2.2").gives_way == nullptr);
  const auto excess = q.Add(4, "192.0.2.2");
  CHECK(excess.over == Queue::Over::kSource);
  CHECK(excess.gives_way == &q.Of(1));
  q.queue.Remove(&q.places[1]);
  CHECK(q.queue.size() == 4);
}

TEST_CASE("over the share of all, the source with the most gives way, not the oldest handshake") {
  Queue q;
  for (std::size_t i = 0; i < 3; ++i) q.Add(i, "192.0.2." + std::to_string(1 + i));
  for (std::size_t i = 3; i < 6; ++i) q.Add(i, "192.0.2.9");
  const auto excess = q.Add(6, "192.0.2.8");
  CHECK(excess.over == Queue::Over::kAll);
  CHECK(excess.gives_way == &q.Of(3));
}

TEST_CASE("among sources with one handshake each, the oldest gives way") {
  Queue q;
  for (std::size_t i = 0; i < 6; ++i) q.Add(i, "192.0.2." + std::to_string(9 - i));
  const auto excess = q.Add(6, "192.0.2.1");
  CHECK(excess.over == Queue::Over::kAll);
  CHECK(excess.gives_way == &q.Of(0));
}

TEST_CASE("a place is left once, and a source without handshakes is forgotten") {
  Queue q;
  q.Add(0, "192.0.2.1");
  q.queue.Remove(&q.places[0]);
  q.queue.Remove(&q.places[0]);
  CHECK(q.queue.size() == 0);
  CHECK_FALSE(q.places[0].held());
}

}  // namespace signet::proxy
