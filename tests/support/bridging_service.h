// Bytes behind a TlsFront as plain sockets, for tests that want to see and send them as they are.
//
// Threads: as FrontService; the sink is called on the loop's thread.
#pragma once

#include <functional>
#include <memory>
#include <unordered_map>

#include "net/front_service.h"
#include "net/tls_bridge.h"

namespace signet::test {

struct PlainConnection {
  std::uint64_t id = 0;
  UniqueFd plain;
  std::shared_ptr<const net::PeerIdentity> peer;  // null: anonymous
  net::SocketAddress remote;
};

class BridgingService final : public net::FrontService {
 public:
  // Letting go of `plain` refuses the connection.
  using Sink = std::function<void(PlainConnection)>;
  explicit BridgingService(Sink sink) : sink_(std::move(sink)) {}

  void Attach(net::EventLoop& loop, OnEnd on_end) override {
    loop_ = &loop;
    on_end_ = std::move(on_end);
  }
  void Adopt(net::FrontConnection connection) override {
    auto pair = net::MakePlainPair();
    const auto id = connection.id;
    if (!pair) return on_end_(id, net::ConnectionEnd::kBroken);
    sink_({id, std::move(pair->first), connection.peer(), connection.remote});
    auto& bridge = bridges_[id];
    connection.stream->UseScratch(scratch_);
    bridge = std::make_unique<net::TlsBridge>(*loop_, pool_, std::move(connection.stream),
                                              std::move(pair->second), [this, id] {
                                                bridges_.erase(id);
                                                on_end_(id, net::ConnectionEnd::kClosed);
                                              });
    bridge->Start();
  }
  std::size_t CutWhere(const std::function<bool(const net::PeerIdentity&)>& should_cut) override {
    return std::erase_if(bridges_, [&](const auto& row) {
      const bool cut = row.second->peer() != nullptr && should_cut(*row.second->peer());
      if (cut) on_end_(row.first, net::ConnectionEnd::kCut);
      return cut;
    });
  }
  void CloseAll() override { bridges_.clear(); }

 private:
  const Sink sink_;
  net::EventLoop* loop_ = nullptr;
  OnEnd on_end_;
  net::BufferPool pool_;
  std::shared_ptr<net::TlsScratch> scratch_ = std::make_shared<net::TlsScratch>();
  std::unordered_map<std::uint64_t, std::unique_ptr<net::TlsBridge>> bridges_;
};

}  // namespace signet::test
