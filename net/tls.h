// TLS 1.3 with mutual certificates, and only that: contexts that are swapped while running, and a
// non-blocking stream over a socket. Who a peer is, a PeerVerifier decides once; the result is kept
// and is all that anybody uses afterwards.
//
// Settings: TLS 1.3 only, groups X25519:P-256, AES-128-GCM first, no tickets, no early data, no compression, no
// renegotiation; SSL_MODE_RELEASE_BUFFERS.
//
// Threads: TlsContext is immutable and may be shared (or made per loop: contexts made with their own
// OSSL_LIB_CTX scale better). TlsStream belongs to one thread.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/file.h"
#include "ca/crypto/key.h"
#include "ca/x509/certificate.h"

typedef struct ssl_st SSL;
typedef struct ssl_ctx_st SSL_CTX;

namespace signet::net {

inline constexpr Reason kTlsHandshakeFailed{"TLS handshake failed"};
inline constexpr Reason kTlsNoPeerCertificate{"peer sent no certificate"};
inline constexpr Reason kTlsPeerRefused{"peer's certificate refused"};
inline constexpr Reason kTlsContextFailed{"TLS context cannot be made"};

// Who a peer proved to be.
struct PeerIdentity {
  std::string name;        // the SPIFFE ID
  ca::Chain chain;         // as presented, leaf first
  WallTime valid_until;    // the earliest end on the verified path
};

// Called once per handshake, on the handshaking thread; must not block.
class PeerVerifier {
 public:
  virtual ~PeerVerifier() = default;
  // `presented` is never empty. An error refuses the handshake (alert bad_certificate) and is kept as the reason.
  virtual Result<std::shared_ptr<const PeerIdentity>> Verify(std::span<const ca::Certificate> presented) const = 0;
};

// What this end shows: chain leaf first (no root), and its key.
struct TlsIdentity {
  ca::Chain chain;
  std::shared_ptr<const ca::PrivateKey> key;
};

enum class TlsRole { kClient, kServer };
enum class ClientCertificate { kRequired, kOptional };  // of a server: absent ones are anonymous when kOptional

struct TlsOptions {
  TlsRole role = TlsRole::kServer;
  ClientCertificate client_certificate = ClientCertificate::kRequired;
  std::vector<std::string> alpn;  // offered (client) or accepted (server); a server with a list refuses others
};

class TlsContext {
 public:
  // A client may have no identity (it is then anonymous). Fails with kTlsContextFailed, also when key and leaf do
  // not match.
  static Result<std::shared_ptr<const TlsContext>> Create(const TlsOptions& options,
                                                          const std::optional<TlsIdentity>& identity,
                                                          std::shared_ptr<const PeerVerifier> verifier);
  SSL_CTX* handle() const;
  const TlsOptions& options() const;
  const PeerVerifier& verifier() const;

 private:
  struct State;
  std::shared_ptr<const State> state_;
};

enum class IoStatus { kOk, kWantRead, kWantWrite, kEof, kError };
struct IoResult {
  IoStatus status = IoStatus::kError;
  std::size_t bytes = 0;
};

// A TLS connection over a non-blocking socket it owns.
class TlsStream {
 public:
  TlsStream(std::shared_ptr<const TlsContext> context, UniqueFd socket);
  ~TlsStream();
  TlsStream(const TlsStream&) = delete;

  // Call until kOk. After kError, error() says why (kTlsPeerRefused carries the verifier's reason in its detail;
  // failure_reason() answers the verifier's own Reason).
  IoStatus Handshake();
  IoResult Read(std::span<std::uint8_t> out);
  IoResult Write(ByteView bytes);
  // Sends close_notify: this end will write no more. The other direction stays open (TLS 1.3 half-close).
  IoStatus CloseWrite();
  // Bytes decrypted but not yet read.
  std::size_t Pending() const;

  int fd() const;
  // Null for an anonymous client, or before the handshake is done.
  const std::shared_ptr<const PeerIdentity>& peer() const;
  std::string alpn() const;
  const Error& error() const;
  // After kError: the verifier's own Reason when it refused the peer, else error().reason.
  Reason failure_reason() const;
  std::string Description() const;  // "TLSv1.3 TLS_AES_128_GCM_SHA256 X25519"

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace signet::net
