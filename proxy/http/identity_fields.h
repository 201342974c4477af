// Who called, told to the application: x-forwarded-client-cert in Envoy's form and
// signet-client-id. Only this proxy may write them, so every spelling of them that came from
// outside is removed first.
//
// Threads: pure functions.
#pragma once

#include "net/tls.h"
#include "proxy/http/message.h"

namespace signet::proxy {

// Removes both names in any case, and with '_' for '-', which an application behind a gateway
// interface cannot tell apart. Answers how many. Serves heads and trailers.
std::size_t StripIdentityFields(Fields* fields);

// What one caller's requests are given: made once a connection.
struct CallerFields {
  // "By=<own>;Hash=<SHA-256 of the caller's leaf>;URI=<caller>". SPIFFE IDs hold no character that
  // Envoy's form would have to quote.
  static CallerFields Of(const net::PeerIdentity& caller, std::string_view own);
  void AddTo(Fields* fields) const;

  std::string client_cert;
  std::string client_id;  // the caller's SPIFFE ID
};

}  // namespace signet::proxy
