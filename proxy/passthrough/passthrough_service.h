// Foreign TLS passed on as it came, by the server name it asks for: the ClientHello is looked at
// and left where it is, the target for its name is connected, and bytes flow both ways. Nobody's
// identity is proved here; who may be reached is what the listener's `server_names` say.
//
// Threads: one worker's.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "proxy/forward/connection.h"

namespace signet::proxy {

class PassthroughService final : public Service, private net::EventHandler {
 public:
  // All outlive this. `caller`: as it was accepted, nothing read.
  PassthroughService(ConnectionHost& host, ServiceOwner& owner, PlainStream& caller,
                     std::shared_ptr<Lane> lane, const net::SocketAddress& remote);
  ~PassthroughService() override;

  void Start() override;
  void OnReady(std::uint32_t events) override;
  void Continue() override;
  void DecideAgain() override;
  // What it carries says itself when it is over.
  void Retire() override {}
  void BeginDrain() override {}
  void Abandon() override;
  std::uint64_t received() const override { return to_target_ ? to_target_->bytes() : 0; }
  std::uint64_t sent() const override { return to_caller_ ? to_caller_->bytes() : 0; }
  std::vector<LiveRequest> requests() const override { return {}; }

 private:
  enum class State { kHello, kConnecting, kRelaying, kOver };

  void OnEvents(std::uint32_t events) override;  // of the target's socket
  void ReadHello();
  void ConnectNext();
  bool TryTarget(const net::SocketAddress& target);
  void OnConnected();
  void Pump();
  void Refuse(Refusal refusal, const std::string& why);
  void End(Ending ending, bool orderly);
  void Arm(Duration delay);
  void OnTimer();
  // The rule for this name as rules are now; null: there is none.
  const ListenerPlan* Destination() const;

  ConnectionHost& host_;
  ServiceOwner& owner_;
  PlainStream& caller_;
  const std::shared_ptr<Lane> lane_;
  const mesh::IpAddress source_;
  State state_ = State::kHello;
  bool caller_ended_ = false;
  std::string name_;
  std::shared_ptr<const ListenerPlan> plan_;  // while it connects: where to
  std::size_t tried_ = 0;
  std::string failure_;
  std::optional<PlainStream> target_;
  std::string target_text_;
  std::optional<Flow> to_target_, to_caller_;
  net::EventLoop::TimerId timer_ = 0;
  SteadyTime active_at_;
  std::uint64_t counted_ = 0;
};

}  // namespace signet::proxy
