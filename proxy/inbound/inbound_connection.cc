#include "proxy/inbound/inbound_connection.h"

namespace signet::proxy {

InboundConnection::InboundConnection(ConnectionHost& host, std::shared_ptr<Lane> lane,
                                     net::SocketAddress remote, UniqueFd accepted)
    : Connection(host, std::move(lane), remote), accepted_(std::move(accepted)) {}

void InboundConnection::Start() {
  if (!HasIdentity()) return ResetOnClose(accepted_.get());
  BeginHandshake(std::move(accepted_));
}

void InboundConnection::OnHandshakeDone() {
  if (!TakeSeat() || !TakePeerSeat()) return;
  const Protocol protocol = lane().plan->config.protocol;
  if (IsHttp(protocol))
    BeginService();
  else if (protocol == Protocol::kDetect)
    BeginDetect();
  else
    BeginConnect();
}

void InboundConnection::OnConnected(UniqueFd socket) {
  if (HoldPlain(std::move(socket)) && IntroducePeer()) BeginRelay();
}

}  // namespace signet::proxy
