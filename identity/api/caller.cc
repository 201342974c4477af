#include "identity/api/caller.h"

namespace signet::identity {
std::string Caller::Name() const {
  switch (kind) {
    case CallerKind::kCertificate:
      return id.ToString();
    case CallerKind::kLocal:
      return "uid:" + std::to_string(uid);
    case CallerKind::kAnonymous:
      return "anonymous";
    case CallerKind::kUnknown:
      break;
  }
  return "unknown";
}

Caller CallerOfTls(const net::PeerIdentity* peer, std::string remote) {
  Caller caller;
  caller.remote = std::move(remote);
  if (peer == nullptr) {
    caller.kind = CallerKind::kAnonymous;
    return caller;
  }
  auto id = SpiffeId::Parse(peer->name);
  if (!id || peer->chain.empty()) return caller;  // unknown: may do nothing
  caller.kind = CallerKind::kCertificate;
  caller.id = std::move(*id);
  caller.serial = peer->chain.front().SerialDecimal();
  caller.serial_hex = peer->chain.front().SerialHex();
  caller.valid_until = peer->chain.front().not_after();
  return caller;
}

}  // namespace signet::identity
