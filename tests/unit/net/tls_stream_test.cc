#include <malloc.h>
#include <sys/socket.h>

#include <catch2/catch.hpp>

#include "ca/crypto/digest.h"
#include "net/tls.h"
#include "tests/unit/net/tls_peers.h"

namespace signet::net {
namespace {

Bytes Pattern(std::size_t size, std::uint32_t seed) {
  Bytes bytes(size);
  for (std::uint8_t& byte : bytes) {
    seed = seed * 1664525 + 1013904223;
    byte = static_cast<std::uint8_t>(seed >> 24);
  }
  return bytes;
}

// Sends `out` over `stream`, then its close_notify; gathers what comes until the peer's.
struct Transfer {
  TlsStream* stream;
  Bytes out;
  Bytes in;
  std::size_t sent = 0;
  bool closed = false;
  bool ended = false;

  // One turn; false on an error. Moves its bytes each time, as a pooled buffer would.
  bool Turn(std::size_t read_size) {
    if (sent < out.size()) {
      const ByteView next =
          ByteView(out).subspan(sent, std::min<std::size_t>(100'000, out.size() - sent));
      const Bytes moved(next.begin(), next.end());
      const IoResult result = stream->Write(moved);
      if (result.status == IoStatus::kError) return false;
      sent += result.bytes;
    } else if (!closed) {
      const IoStatus status = stream->CloseWrite();
      if (status == IoStatus::kError) return false;
      closed = status == IoStatus::kOk;
    }
    Bytes buffer(read_size);
    const IoResult result = stream->Read(buffer);
    if (result.status == IoStatus::kError) return false;
    ended |= result.status == IoStatus::kEof;
    in.insert(in.end(), buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(result.bytes));
    return true;
  }
};

struct ConnectedPair : StreamPair {
  explicit ConnectedPair(const TlsPeers& peers) : ConnectedPair(peers.Server(), peers.Client()) {}
  ConnectedPair(const std::shared_ptr<const TlsContext>& server_context,
                const std::shared_ptr<const TlsContext>& client_context,
                const std::shared_ptr<TlsScratch>& scratch = nullptr)
      : StreamPair(server_context, client_context, scratch) {
    Shake();
    REQUIRE(Connected());
  }
};

}  // namespace

TEST_CASE("megabytes pass both ways at once and arrive whole, whatever the read size") {
  const TlsPeers peers;
  ConnectedPair pair(peers);
  const std::size_t read_size = GENERATE(7777u, 16384u, 200000u);
  Transfer a{&*pair.server, Pattern(3'000'001, 1), {}};
  Transfer b{&*pair.client, Pattern(2'000'003, 2), {}};
  while (!a.ended || !b.ended || !a.closed || !b.closed) {
    REQUIRE(a.Turn(read_size));
    REQUIRE(b.Turn(read_size));
  }
  CHECK(ca::Sha256(a.in) == ca::Sha256(b.out));
  CHECK(ca::Sha256(b.in) == ca::Sha256(a.out));
  CHECK(pair.server->Pending() == 0);
}

TEST_CASE("after close_notify of one side the other goes on, either way round") {
  const TlsPeers peers;
  ConnectedPair pair(peers);
  const bool server_first = GENERATE(true, false);
  TlsStream& first = server_first ? *pair.server : *pair.client;
  TlsStream& second = server_first ? *pair.client : *pair.server;
  REQUIRE(first.CloseWrite() == IoStatus::kOk);
  CHECK(first.CloseWrite() == IoStatus::kOk);
  CHECK(ReadText(&second) == "<eof>");
  REQUIRE(second.Write(AsBytes("more")).bytes == 4);
  CHECK(ReadText(&first) == "more");
  CHECK(ReadText(&first) == "<want read>");
  REQUIRE(second.CloseWrite() == IoStatus::kOk);
  CHECK(ReadText(&first) == "<eof>");
  CHECK(ReadText(&first) == "<eof>");
}

TEST_CASE("an end without close_notify is an error, after what was sent before it") {
  const TlsPeers peers;
  ConnectedPair pair(peers);
  REQUIRE(pair.client->Write(AsBytes("tail")).bytes == 4);
  pair.client.reset();
  CHECK(ReadText(&*pair.server) == "tail");
  CHECK(ReadText(&*pair.server) == "<error>");
  CHECK(pair.server->error().reason == kTlsBroken);
  CHECK(pair.server->error().code == Code::kUnavailable);
}

TEST_CASE("a writer whose peer is gone fails, and what the peer sent is still read") {
  const TlsPeers peers;
  ConnectedPair pair(peers);
  REQUIRE(pair.server->Write(AsBytes("goodbye")).bytes == 7);
  REQUIRE(pair.server->CloseWrite() == IoStatus::kOk);
  pair.server.reset();
  CHECK(pair.client->Write(AsBytes("anyone?")).status == IoStatus::kError);
  CHECK(pair.client->error().reason == kTlsBroken);
  CHECK(ReadText(&*pair.client) == "goodbye");
  CHECK(ReadText(&*pair.client) == "<eof>");
  CHECK(pair.client->Write(AsBytes("anyone?")).status == IoStatus::kError);
}

TEST_CASE("a peer that does not read stops the writer, and holds no more than a batch") {
  const TlsPeers peers;
  ConnectedPair pair(peers);
  const Bytes block = Pattern(100'000, 3);
  std::size_t accepted = 0;
  IoResult result{IoStatus::kOk};
  while (result.status == IoStatus::kOk) {
    result = pair.client->Write(ByteView(block).subspan(accepted % block.size()));
    accepted += result.bytes;
    REQUIRE(accepted < 10'000'000);
  }
  CHECK(result.status == IoStatus::kWantWrite);
  Bytes buffer(64 * 1024);
  std::size_t arrived = 0;
  while (true) {
    const IoResult read = pair.server->Read(buffer);
    if (read.status != IoStatus::kOk) break;
    for (std::size_t i = 0; i < read.bytes; ++i)
      REQUIRE(buffer[i] == block[(arrived + i) % block.size()]);
    arrived += read.bytes;
  }
  // Accepted bytes have all left; of those behind them at most one batch was under way.
  CHECK(arrived >= accepted);
  CHECK(arrived - accepted <= 64 * 1024);
  // The same bytes again, from elsewhere in memory: what was under way is not sent twice.
  const Bytes moved = block;
  result = pair.client->Write(ByteView(moved).subspan(accepted % block.size()));
  REQUIRE(result.status == IoStatus::kOk);
  accepted += result.bytes;
  while (arrived < accepted) {
    const IoResult read = pair.server->Read(buffer);
    REQUIRE(read.status == IoStatus::kOk);
    for (std::size_t i = 0; i < read.bytes; ++i)
      REQUIRE(buffer[i] == block[(arrived + i) % block.size()]);
    arrived += read.bytes;
  }
  CHECK(arrived == accepted);
}

TEST_CASE("a read says when nothing more has arrived") {
  const TlsPeers peers;
  ConnectedPair pair(peers);
  pair.server->TakeShortReadForEmpty(GENERATE(true, false));
  REQUIRE(pair.client->Write(Pattern(20'000, 4)).bytes == 20'000);
  Bytes buffer(19'000);
  IoResult result = pair.server->Read(buffer);
  CHECK(result.bytes == 19'000);
  CHECK(!result.would_block);
  result = pair.server->Read(buffer);
  CHECK(result.status == IoStatus::kOk);
  CHECK(result.bytes == 1'000);
  CHECK(result.would_block);
  CHECK(ReadText(&*pair.server) == "<want read>");
}

TEST_CASE("a broken record ends the connection") {
  const TlsPeers peers;
  ConnectedPair pair(peers);
  const std::uint8_t record[] = {23, 3,  3,  0,  20, 1,  2,  3,  4,  5,  6,  7, 8,
                                 9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20};
  REQUIRE(send(pair.client->fd(), record, sizeof record, 0) == sizeof record);
  CHECK(ReadText(&*pair.server) == "<error>");
  CHECK(pair.server->error().code == Code::kUnauthenticated);
  CHECK(ReadText(&*pair.server) == "<error>");
}

TEST_CASE("a client that leaves without a word ends the handshake as a broken connection") {
  const TlsPeers peers;
  StreamPair pair(peers.Server(), peers.Client());
  CHECK(pair.server->Handshake() == IoStatus::kWantRead);
  CHECK(pair.server->Pending() == 0);
  pair.client.reset();
  CHECK(pair.server->Handshake() == IoStatus::kError);
  CHECK(pair.server->error().reason == kTlsHandshakeFailed);
  CHECK(pair.server->error().code == Code::kUnavailable);
}

// The sanitizers' allocators do not tell glibc what is in use.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
namespace {

constexpr std::size_t kMany = 32;

std::size_t HeapInUse() { return ::mallinfo2().uordblks; }

}  // namespace

TEST_CASE("an idle connection holds neither buffers nor a copy of its peer's certificates") {
  const TlsPeers peers;
  const auto server = peers.Server();
  const auto client = peers.Client();
  const auto scratch = std::make_shared<TlsScratch>();
  const ConnectedPair first(server, client, scratch);  // what is made once
  std::vector<std::unique_ptr<ConnectedPair>> pairs;
  const std::size_t before = HeapInUse();
  for (std::size_t i = 0; i < kMany; ++i)
    pairs.push_back(std::make_unique<ConnectedPair>(server, client, scratch));
  const std::size_t both_ends = (HeapInUse() - before) / kMany;
  CHECK(both_ends < 32 * 1024);  // of which OpenSSL's SSL is 7.6 kB an end
  CHECK(both_ends > 2 * 1024);   // it was measured
}

TEST_CASE("who connects and stays silent costs no state of a handshake") {
  const TlsPeers peers;
  const auto server = peers.Server();
  const auto client = peers.Client();
  const auto scratch = std::make_shared<TlsScratch>();
  std::vector<std::unique_ptr<StreamPair>> pairs;
  const std::size_t before = HeapInUse();
  for (std::size_t i = 0; i < kMany; ++i)
    pairs.push_back(std::make_unique<StreamPair>(server, client, scratch));
  const std::size_t unasked = HeapInUse();
  for (const auto& pair : pairs) CHECK(pair->server->Handshake() == IoStatus::kWantRead);
  CHECK(unasked > before);
  CHECK((HeapInUse() - unasked) / kMany < 512);
}
#endif

}  // namespace signet::net
