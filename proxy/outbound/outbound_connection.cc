#include "proxy/outbound/outbound_connection.h"

namespace signet::proxy {

OutboundConnection::OutboundConnection(ConnectionHost& host, std::shared_ptr<Lane> lane,
                                       net::SocketAddress remote, UniqueFd accepted)
    : Connection(host, std::move(lane), remote), accepted_(std::move(accepted)) {}

void OutboundConnection::Start() {
  if (!HoldPlain(std::move(accepted_)) || !HasIdentity() || !TakeSeat()) return;
  const Protocol protocol = lane().plan->config.protocol;
  if (IsHttp(protocol))
    BeginService();
  else if (protocol == Protocol::kDetect)
    BeginDetect();
  else
    BeginConnect();
}

void OutboundConnection::OnConnected(UniqueFd socket) { BeginHandshake(std::move(socket)); }

void OutboundConnection::OnHandshakeDone() { BeginRelay(); }

}  // namespace signet::proxy
