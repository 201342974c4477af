#include "proxy/telemetry/outcome.h"

#include "ca/x509/path.h"
#include "identity/svid/x509_svid.h"
#include "net/tls.h"
#include "proxy/identity/peer_verifier.h"

namespace signet::proxy {

std::string_view DirectionName(Direction direction) {
  return direction == Direction::kInbound ? "inbound" : "outbound";
}

std::string_view RefusalName(Refusal refusal) {
  static constexpr std::string_view kNames[kRefusalCount] = {"no_identity",
                                                             "connection_limit",
                                                             "peer_limit",
                                                             "handshake_limit",
                                                             "handshake_address_limit",
                                                             "handshake_timeout",
                                                             "handshake_failed",
                                                             "no_client_certificate",
                                                             "certificate_expired",
                                                             "certificate_untrusted",
                                                             "certificate_invalid",
                                                             "not_allowed",
                                                             "unexpected_peer",
                                                             "backend_unresolved",
                                                             "backend_unreachable",
                                                             "backend_timeout",
                                                             "forward_loop",
                                                             "not_http",
                                                             "revoked",
                                                             "shutting_down"};
  return kNames[static_cast<std::size_t>(refusal)];
}

Refusal RefusalOf(const Reason& reason) {
  struct Row {
    Reason reason;
    Refusal refusal;
  };
  static constexpr Row kRows[] = {
      {net::kTlsNoPeerCertificate, Refusal::kNoClientCertificate},
      {net::kTlsHandshakeFailed, Refusal::kHandshakeFailed},
      {net::kTlsContextFailed, Refusal::kNoIdentity},
      {ca::kCertificateExpired, Refusal::kCertificateExpired},
      {ca::kCertificateNotYetValid, Refusal::kCertificateExpired},
      {ca::kNoTrustAnchor, Refusal::kCertificateUntrusted},
      {ca::kPathUntrusted, Refusal::kCertificateUntrusted},
      {identity::kNoBundleForTrustDomain, Refusal::kCertificateUntrusted},
      {kUnexpectedPeer, Refusal::kUnexpectedPeer},
  };
  for (const Row& row : kRows)
    if (row.reason == reason) return row.refusal;
  return Refusal::kCertificateInvalid;
}

std::string_view EndingName(Ending ending) {
  static constexpr std::string_view kNames[kEndingCount] = {
      "finished",         "reset",         "idle",    "peer_expired",
      "policy_changed",   "trust_changed", "revoked", "identity_lost",
      "listener_removed", "max_age",       "drained"};
  return kNames[static_cast<std::size_t>(ending)];
}

}  // namespace signet::proxy
