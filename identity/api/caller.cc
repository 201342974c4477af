#include "identity/api/caller.h"

#include <arpa/inet.h>

#include "base/bytes.h"

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

std::string Caller::Account() const {
  if (kind == CallerKind::kCertificate || kind == CallerKind::kLocal) return Name();
  const std::string address = remote.substr(0, remote.rfind(':'));
  if (!address.starts_with('[')) return address;
  in6_addr bytes{};
  const auto end = address.find_first_of("%]");
  if (inet_pton(AF_INET6, address.substr(1, end - 1).c_str(), &bytes) != 1 ||
      IN6_IS_ADDR_V4MAPPED(&bytes))
    return address;
  return "[" + EncodeHex({bytes.s6_addr, 8}) + "::/64]";
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
