// From a caller with an SVID to the plain backend: TLS handshake, authorization, connection to the
// backend, bytes. The backend hears nothing of a caller that is refused.
#pragma once

#include "proxy/forward/connection.h"

namespace signet::proxy {

class InboundConnection final : public Connection {
 public:
  InboundConnection(ConnectionHost& host, std::shared_ptr<Lane> lane, net::SocketAddress remote,
                    UniqueFd accepted);

  void Start() override;

 private:
  void OnHandshakeDone() override;
  void OnConnected(UniqueFd socket) override;

  UniqueFd accepted_;  // until Start()
};

}  // namespace signet::proxy
