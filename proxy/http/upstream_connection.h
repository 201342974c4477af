// One connection to a backend (plain) or a peer (mutual TLS, the peer's identity checked):
// connects, shakes hands, then carries requests by the protocol that was agreed.
//
// Threads: one worker's. Ownership: by its pool.
#pragma once

#include <list>
#include <optional>

#include "proxy/forward/connection_age.h"
#include "proxy/http/link.h"
#include "proxy/http/upstream_pool.h"

namespace signet::proxy {

class UpstreamConnection final : public Mortal,
                                 private net::EventHandler,
                                 private LinkOwner,
                                 private ClientHost {
 public:
  UpstreamConnection(UpstreamPool& pool, ConnectionHost& host, Turns& turns,
                     UpstreamGroupPtr group);
  ~UpstreamConnection() override;

  void Start();
  // Null until it is open.
  ClientCodec* codec() { return codec_.get(); }
  bool open() const { return phase_ == Phase::kOpen; }
  bool used() const { return used_; }
  void MarkUsed() { used_ = true; }
  UpstreamGroup& group() { return *group_; }
  SteadyTime idle_since() const { return idle_since_; }
  // Cuts it when its peer is no longer trusted or expected, or its SVID ended. Where it leads is no
  // longer where requests go: it takes no more.
  void DecideAgain();
  // Lets it finish, or cuts it, when it has been carried as long as it may.
  void LookAtAge();
  void Cut(std::string_view why);
  // For an idle one.
  void Close();

  std::list<std::unique_ptr<UpstreamConnection>>::iterator place;

 private:
  enum class Phase { kConnecting, kHandshaking, kOpen, kOver };

  void OnEvents(std::uint32_t events) override;
  void OnLinkEnd(LinkEnd how) override;
  void OnLinkActive() override {}
  void Wake() override { link_->Wake(); }
  SteadyTime Time() const override { return host_.parts().loop.now(); }
  void OnStreamOver() override;

  bool TryNextTarget();
  void ConnectNext();
  void OnConnectEvents(std::uint32_t events);
  void OnConnected(std::uint32_t events);
  bool LeadsElsewhere() const;
  void LetFinish();
  void StepHandshake();
  void FinishHandshake();
  void Open(ByteStream& stream, bool http2);
  void Arm(Duration delay, std::string_view what);
  void Fail(RequestEnd end, std::string why);
  void End(bool orderly, const UpstreamFailure* failure);
  const Lane& lane() const { return *group_->lane; }
  ConnectionAge::Moment Moment() const {
    return {host_.parts().loop.now(), host_.parts().clock.Now()};
  }
  bool tls() const { return lane().plan->config.direction == Direction::kOutbound; }

  UpstreamPool& pool_;
  ConnectionHost& host_;
  Turns& turns_;
  const UpstreamGroupPtr group_;
  Phase phase_ = Phase::kConnecting;
  net::EventLoop::TimerId timer_ = 0;
  UniqueFd connecting_;
  net::SocketAddress target_;  // connecting or connected to
  int fd_ = -1;                // watched
  std::size_t targets_tried_ = 0;
  std::string connect_failure_ = "it has no address";
  std::optional<PlainStream> plain_;
  std::optional<TlsByteStream> tls_;
  std::optional<Link> link_;
  std::unique_ptr<ClientCodec> codec_;
  VerifiedPeerPtr peer_;
  ConnectionAge age_;  // since it is open
  bool used_ = false;
  SteadyTime idle_since_;
};

}  // namespace signet::proxy
