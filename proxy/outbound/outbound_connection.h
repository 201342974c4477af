// From a plain local caller to a peer with an SVID: connection to the peer, TLS handshake in which
// the peer must prove an expected identity, bytes. Nothing the caller sent leaves before that.
#pragma once

#include "proxy/forward/connection.h"

namespace signet::proxy {

class OutboundConnection final : public Connection {
 public:
  OutboundConnection(ConnectionHost& host, std::shared_ptr<Lane> lane, net::SocketAddress remote,
                     UniqueFd accepted);

  void Start() override;

 private:
  void OnHandshakeDone() override;
  void OnConnected(UniqueFd socket) override;

  UniqueFd accepted_;  // until Start()
};

}  // namespace signet::proxy
