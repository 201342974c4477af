// From a caller with TLS of its own to the target its server name leads to: nothing is terminated,
// so neither side proves an identity to this proxy, and none is needed to carry it.
//
// Threads: one worker's.
#pragma once

#include "proxy/forward/connection.h"

namespace signet::proxy {

class PassthroughConnection final : public Connection {
 public:
  PassthroughConnection(ConnectionHost& host, std::shared_ptr<Lane> lane, net::SocketAddress remote,
                        UniqueFd accepted)
      : Connection(host, std::move(lane), remote), accepted_(std::move(accepted)) {}

  void Start() override {
    if (HoldCaller(std::move(accepted_))) BeginPassthrough();
  }

 private:
  void OnHandshakeDone() override {}
  void OnConnected(UniqueFd) override {}

  UniqueFd accepted_;  // until Start()
};

}  // namespace signet::proxy
