// Bridges between established TLS streams and plain sockets, in one loop: bytes both ways with
// back-pressure, each direction ending by itself. Internal to net/; tls_front.h is the outside.
//
// Threads: everything only in the loop's thread.
#pragma once

#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

#include "net/front_service.h"

namespace signet::net {

// Copy buffers of 64 KiB, lent while bytes are in flight. Keeps a few free ones.
class BufferPool {
 public:
  static constexpr std::size_t kSize = 64 * 1024;
  using Buffer = std::unique_ptr<std::uint8_t[]>;
  Buffer Take();
  void Return(Buffer buffer);

 private:
  static constexpr std::size_t kKept = 32;
  std::vector<Buffer> free_;
};

class TlsBridge {
 public:
  // `stream` has shaken hands; `plain` is a non-blocking stream socket. `on_end` is called once,
  // last of all, and may destroy the bridge. The stream's descriptor is not registered.
  TlsBridge(EventLoop& loop, BufferPool& pool, std::unique_ptr<TlsStream> stream, UniqueFd plain,
            std::function<void()> on_end);
  ~TlsBridge();
  TlsBridge(const TlsBridge&) = delete;
  TlsBridge& operator=(const TlsBridge&) = delete;

  // Registers both descriptors and moves the first bytes; `on_end` may be called inside.
  void Start();
  const std::shared_ptr<const PeerIdentity>& peer() const { return stream_->peer(); }

 private:
  // Bytes under way in one direction.
  struct Lane {
    BufferPool::Buffer buffer;
    std::size_t at = 0, end = 0;
    bool source_ended = false;  // nothing more comes
    bool sink_gone = false;     // nobody takes it: dropped
    bool finished = false;      // the end was passed on
    bool empty() const { return at == end; }
  };
  struct Side final : EventHandler {
    Side(TlsBridge* owner, bool tls) : bridge(owner), is_tls(tls) {}
    void OnEvents(std::uint32_t events) override { bridge->OnSide(is_tls, events); }
    TlsBridge* bridge;
    bool is_tls;
    bool readable = true;
    bool writable = true;
    bool hung_up = false;  // an end or error was reported: no further edge tells of it
  };
  enum class Step { kGoOn, kWait, kBroken };

  void OnSide(bool is_tls, std::uint32_t events);
  void Pump();
  Step StepToPlain();
  Step StepToTls();
  Step PassEndToTls();
  void FillFromPlain();
  bool ReachedEnd();
  void ReturnEmptyBuffers();
  void End();

  EventLoop& loop_;
  BufferPool& pool_;
  std::unique_ptr<TlsStream> stream_;
  UniqueFd plain_;
  std::function<void()> on_end_;
  Side tls_side_{this, true};
  Side plain_side_{this, false};
  Lane to_plain_, to_tls_;
  EventLoop::TimerId again_ = 0;   // this turn's budget was spent
  EventLoop::TimerId linger_ = 0;  // the plain side is gone; the peer has so long
  bool lingers_for_end_ = false;   // it has taken everything, and only its end is missing
};

// The bridges of one loop. Each ends within a second of its peer's valid_until.
class BridgeSet {
 public:
  explicit BridgeSet(EventLoop& loop);
  ~BridgeSet();

  void Add(std::uint64_t id, std::unique_ptr<TlsStream> stream, UniqueFd plain);
  std::size_t size() const { return bridges_.size(); }

 private:
  void Sweep();

  EventLoop& loop_;
  BufferPool pool_;
  std::shared_ptr<TlsScratch> scratch_;
  std::unordered_map<std::uint64_t, std::unique_ptr<TlsBridge>> bridges_;
  EventLoop::TimerId sweep_ = 0;
};

// The plain end for the caller first, the bridge's second.
Result<std::pair<UniqueFd, UniqueFd>> MakePlainPair();
// Finds peers that vanish without a word within two minutes.
void EnableKeepAlive(int socket);

}  // namespace signet::net
