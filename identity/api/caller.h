// Who is on the other end of a connection, and where that is remembered: gRPC knows a connection
// only as "fd:17", so each one that is handed to it is entered here first. Identity comes from the
// kernel (admin socket) or from the verified leaf (TLS), never from a request.
//
// Why a descriptor number is safe as a key: gRPC closes a connection only when its last call is
// released, so the number cannot be reused while a call lives. The inode guards against a row that
// was not reaped yet.
//
// Threads: ConnectionTable is safe from any thread; Caller is immutable.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/clock.h"
#include "identity/audit/audit_record.h"
#include "identity/spiffe/spiffe_id.h"
#include "net/tls.h"

namespace signet::identity {

enum class CallerKind {
  kUnknown,      // may do nothing
  kAnonymous,    // TLS without a certificate
  kCertificate,  // TLS with a verified SVID of our trust domain
  kLocal,        // the admin socket
};

struct Caller {
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
};
using CallerPtr = std::shared_ptr<const Caller>;

// The caller behind a finished TLS handshake; `peer` null: anonymous.
Caller CallerOfTls(const net::PeerIdentity* peer, std::string remote);

class ConnectionTable {
 public:
  // Before the descriptor is handed to gRPC.
  void Add(int fd, CallerPtr caller);
  // `peer` as ServerContext::peer() says it. Null when it is no connection of ours: refuse.
  CallerPtr Find(std::string_view peer) const;
  // Forgets connections that are closed. Call every second or so.
  void Reap();
  std::size_t size() const;
  // Of these, those of the admin socket.
  std::size_t local() const;

 private:
  struct Row {
    std::uint64_t inode = 0;
    CallerPtr caller;
  };
  mutable std::mutex mutex_;
  std::unordered_map<int, Row> rows_;
};

}  // namespace signet::identity
