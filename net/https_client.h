// Fetching one document over HTTPS, bounded in time and size. No redirect is followed, no proxy
// asked, no credential sent, and nothing the server said comes back in an error: neither its body
// nor its header fields.
//
// Threads: blocks the calling thread.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "net/address.h"
#include "net/https_url.h"
#include "net/tls.h"

namespace signet::net {

inline constexpr Reason kFetchRefused{"endpoint refused"};  // by us, before or after asking
inline constexpr Reason kFetchFailed{"endpoint did not answer"};

struct HttpsQuery {
  HttpsUrl url;
  std::shared_ptr<const TlsContext> context;  // a client's; its verifier knows whom to expect
  std::string if_none_match;                  // an entity tag; empty: not asked
  std::size_t max_body_bytes = std::size_t{4} << 20;
  std::chrono::milliseconds timeout{10'000};  // for all but resolving the name
  // Asked for each address the host's name resolved to, just before that very address is dialed;
  // an error refuses the whole fetch. Empty: all are good.
  std::function<Status(const SocketAddress&)> permit;
};

struct HttpsAnswer {
  int status = 0;  // 200 or 304
  std::string etag;
  std::string body;
  std::shared_ptr<const PeerIdentity> peer;
};

// Fails with kFetchRefused (also for a redirect and any status but 200 and 304), kFetchFailed, and
// as connecting and shaking hands do.
Result<HttpsAnswer> FetchHttps(const HttpsQuery& query);

// Whether an address is of the kind that a URL from outside must not reach: loopback, link-local
// (cloud metadata), multicast, unspecified, broadcast and reserved ones, in IPv4, IPv6 and IPv4
// mapped or translated into IPv6.
bool IsInternalAddress(const SocketAddress& address);

}  // namespace signet::net
