// One connection of an RpcServer: moves bytes between its stream and its session.
//
// Output waits for the end of the loop's turn (RpcTurn), so that the answers to all that came in
// leave together.
//
// Threads: the loop's.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "net/front_service.h"
#include "net/grpc/byte_stream.h"
#include "net/grpc/rpc_session.h"
#include "net/grpc/rpc_turn.h"

namespace signet::net {

class RpcConnection final : public EventHandler {
 public:
  struct Parts {
    EventLoop& loop;
    RpcTurn& turn;
    RpcService& service;
    std::shared_ptr<RpcMailbox> mailbox;
    const RpcLimits& limits;
  };
  struct Origin {
    std::shared_ptr<const PeerIdentity> identity;  // null: anonymous, or local
    std::shared_ptr<const RpcPeer> peer;
    std::uint64_t receive_limit = UINT64_MAX;  // one that sends more is cut
  };

  RpcConnection(const Parts& parts, std::uint64_t id, Origin origin,
                std::unique_ptr<ByteStream> stream);
  ~RpcConnection() override;

  // Registers the descriptor. Within a turn, as everything here.
  void Start();
  void OnEvents(std::uint32_t events) override;
  // Sends what there is to send.
  void Flush();
  void Drain();
  void End(ConnectionEnd how);
  // A look each second: pings a peer that was silent for `silence`, and ends one that was silent
  // for `patience` more.
  void CheckAlive(Duration silence, Duration patience);

  const Origin& origin() const { return origin_; }
  SteadyTime started() const { return started_; }
  SteadyTime last_used() const { return session_.last_used(); }
  bool greeted() const { return session_.greeted(); }
  // No call is under way, and what was answered has left.
  bool at_rest() const { return session_.calls() == 0 && pending_.empty(); }
  std::size_t calls() const { return session_.calls(); }

 private:
  void Pump();
  void ReadOnce();
  bool WriteOnce();
  bool Write(std::string* bytes);
  void MarkDirty();
  void Close();
  void ScheduleAgain();
  bool MayRead() const;
  void ReadLater();

  EventLoop& loop_;
  RpcTurn& turn_;
  const std::uint64_t id_;
  const Origin origin_;
  const std::unique_ptr<ByteStream> stream_;
  std::string pending_;  // produced, and not taken by the socket yet
  std::uint64_t receivable_;
  const SteadyTime started_;
  SteadyTime last_received_;
  SteadyTime pinged_at_{};
  EventLoop::TimerId again_ = 0;   // this turn's budget was spent
  EventLoop::TimerId held_ = 0;    // nothing is read until then
  EventLoop::TimerId linger_ = 0;  // everything was said; the peer has so long to end
  bool readable_ = true;
  bool writable_ = true;
  bool dirty_ = false;
  bool draining_ = false;
  bool closing_ = false;  // everything was said
  bool ended_ = false;
  RpcSession session_;  // calls back until it is gone
};

}  // namespace signet::net
