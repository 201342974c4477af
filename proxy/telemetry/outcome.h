// Why a connection was refused or ended: closed sets, because they label metrics and are what an
// operator searches the log for. Adding one is an interface change.
#pragma once

#include <cstddef>
#include <string_view>

#include "base/result.h"

namespace signet::proxy {

enum class Direction { kInbound, kOutbound };
std::string_view DirectionName(Direction direction);

// A connection that never carried a byte of the application's.
enum class Refusal {
  kNoIdentity,            // no SVID held (yet, or any more)
  kConnectionLimit,       // limits.connections reached
  kPeerLimit,             // limits.per_peer reached for this identity
  kHandshakeLimit,        // the oldest of too many handshakes in progress gave way
  kHandshakeSourceLimit,  // the same, of too many of one source address
  kHandshakeTimeout,      // limits.handshake_deadline passed
  kHandshakeFailed,       // not TLS 1.3, garbage, or closed in the middle
  kNoClientCertificate,   // a TLS client without a certificate
  kCertificateExpired,    // or not yet valid
  kCertificateUntrusted,  // no bundle for its trust domain, or not signed by it
  kCertificateInvalid,    // not an X.509-SVID
  kNotAllowed,            // verified, but no rule allows the caller
  kUnexpectedPeer,        // verified, but not an identity this outbound listener expects
  kBackendUnresolved,     // the forward address has no IP address
  kBackendUnreachable,    // connection refused or reset before it stood
  kBackendTimeout,        // limits.connect_timeout passed
  kForwardLoop,           // its listener's targets lead back to it
  kNotHttp,               // `protocol: detect` with rules about HTTP, and it is none
  kRevoked,               // verified, but its identity or certificate is denied
  kShuttingDown,          // the proxy or this listener went away before the connection stood
};
inline constexpr std::size_t kRefusalCount = 20;
// "no_identity", …: the value of the metric's label `reason`.
std::string_view RefusalName(Refusal refusal);
// What a failed handshake or verification counts as.
Refusal RefusalOf(const Reason& reason);

// How a connection that was carried ended.
enum class Ending {
  kFinished,         // both sides closed in order
  kReset,            // one side broke off; the other one is broken off too
  kIdle,             // limits.idle passed without a byte
  kPeerExpired,      // the peer's SVID reached its end
  kPolicyChanged,    // the rules no longer allow the peer
  kTrustChanged,     // the peer's SVID no longer verifies against the bundles
  kRevoked,          // the peer's identity or certificate is denied
  kIdentityLost,     // this proxy's own identity was withdrawn
  kListenerRemoved,  // its listener is no longer configured
  kMaxAge,           // max_connection_age was over, or the peer's SVID about to end
  kDrained,          // still open when the time to drain was over
};
inline constexpr std::size_t kEndingCount = 11;
std::string_view EndingName(Ending ending);

}  // namespace signet::proxy
