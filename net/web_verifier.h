// Verifying a server of the web: a path to an authority that is trusted there (RFC 5280), for the
// purpose of a server, and the host's name in its certificate (RFC 9525: DNS-ID or IP-ID, never the
// subject). OpenSSL builds and judges the path.
//
// Threads: immutable.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "base/clock.h"
#include "net/tls.h"

typedef struct x509_store_st X509_STORE;

namespace signet::net {

inline constexpr Reason kWebRootsUnusable{"no usable web authorities"};
inline constexpr Reason kWebPeerRefused{"server's certificate refused"};

// Where Debian and its kin keep the authorities of the web, in PEM.
inline constexpr char kSystemWebRoots[] = "/etc/ssl/certs/ca-certificates.crt";

class WebRoots {
 public:
  // A PEM file of certificates. Fails with kWebRootsUnusable, also when there is none in it.
  static Result<std::shared_ptr<const WebRoots>> Load(const std::string& path);
  static Result<std::shared_ptr<const WebRoots>> Of(std::span<const ca::Certificate> roots);
  ~WebRoots();
  WebRoots(const WebRoots&) = delete;
  WebRoots& operator=(const WebRoots&) = delete;

 private:
  friend class WebVerifier;
  explicit WebRoots(X509_STORE* store) : store_(store) {}
  X509_STORE* store_;
};

class WebVerifier final : public PeerVerifier {
 public:
  // `host`: a DNS name, or an IP address without brackets.
  WebVerifier(std::shared_ptr<const WebRoots> roots, std::string host, const Clock& clock)
      : roots_(std::move(roots)), host_(std::move(host)), clock_(clock) {}
  // The peer's name is the host. Fails with kWebPeerRefused.
  Result<std::shared_ptr<const PeerIdentity>> Verify(
      std::span<const ca::Certificate> presented) const override;

 private:
  const std::shared_ptr<const WebRoots> roots_;
  const std::string host_;
  const Clock& clock_;
};

}  // namespace signet::net
