// Who is on the other end of a connection. Identity comes from the kernel (admin socket) or from
// the verified leaf (TLS), never from a request.
//
// Threads: immutable.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>

#include "base/clock.h"
#include "identity/audit/audit_record.h"
#include "identity/spiffe/spiffe_id.h"
#include "net/grpc/rpc.h"

namespace signet::identity {

enum class CallerKind {
  kUnknown,      // may do nothing
  kAnonymous,    // TLS without a certificate
  kCertificate,  // TLS with a verified SVID of our trust domain
  kLocal,        // the admin socket
};

struct Caller : net::RpcPeer {
  CallerKind kind = CallerKind::kUnknown;
  SpiffeId id;             // kCertificate
  std::string serial;      // kCertificate: decimal
  std::string serial_hex;  // kCertificate
  WallTime valid_until{};  // kCertificate: end of the SVID
  pid_t pid = -1;          // kLocal, as of connect()
  uid_t uid = 0;
  std::string remote;  // "127.0.0.1:40312", or empty on the admin socket

  // "spiffe://…", "uid:0" or "anonymous", for records and logs.
  std::string Name() const;
  Actor AsActor() const { return {Name()}; }
  // Whose share of the server's time a call draws on: the SPIFFE ID where there is one, the
  // address (IPv6: its /64) where not.
  std::string Account() const;
};
using CallerPtr = std::shared_ptr<const Caller>;

// The caller behind a finished TLS handshake; `peer` null: anonymous.
Caller CallerOfTls(const net::PeerIdentity* peer, std::string remote);

}  // namespace signet::identity
