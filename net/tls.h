// TLS 1.3 with mutual certificates, and for documents of the web TLS 1.2 without: contexts that are
// swapped while running, and a non-blocking stream over a socket. Who a peer is, a PeerVerifier
// decides once; the result is kept and is all that anybody uses afterwards.
//
// Settings: TLS 1.3 only (of web contexts 1.2 too, with ECDHE and AEAD ciphers alone), groups
// X25519:P-256, AES-128-GCM first, no tickets, no early data, no compression, no renegotiation;
// SSL_MODE_RELEASE_BUFFERS.
//
// Threads: TlsContext is immutable and may be shared (or made per loop with a TlsLibrary of its
// own, which scales better). TlsStream belongs to one thread at a time.
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

typedef struct ossl_lib_ctx_st OSSL_LIB_CTX;
typedef struct ossl_provider_st OSSL_PROVIDER;
typedef struct ssl_st SSL;
typedef struct ssl_ctx_st SSL_CTX;

namespace signet::net {

inline constexpr Reason kTlsHandshakeFailed{"TLS handshake failed"};
inline constexpr Reason kTlsNoPeerCertificate{"peer sent no certificate"};
inline constexpr Reason kTlsPeerRefused{"peer's certificate refused"};
inline constexpr Reason kTlsContextFailed{"TLS context cannot be made"};
inline constexpr Reason kTlsBroken{
    "TLS connection broken"};  // after the handshake; also truncation

// Who a peer proved to be.
struct PeerIdentity {
  std::string name;      // the SPIFFE ID
  ca::Chain chain;       // as presented, leaf first
  WallTime valid_until;  // the earliest end on the verified path
};

// Called once per handshake, on the handshaking thread; must not block.
class PeerVerifier {
 public:
  virtual ~PeerVerifier() = default;
  // `presented` is never empty. An error refuses the handshake (alert bad_certificate) and is kept
  // as the reason.
  virtual Result<std::shared_ptr<const PeerIdentity>> Verify(
      std::span<const ca::Certificate> presented) const = 0;
};

// What this end shows: chain leaf first (no root), and its key.
struct TlsIdentity {
  ca::Chain chain;
  std::shared_ptr<const ca::PrivateKey> key;
};

enum class TlsRole { kClient, kServer };
enum class ClientCertificate {
  kRequired,
  kOptional,    // who shows none is anonymous
  kNotAskedFor  // everybody is anonymous
};
enum class TlsVersions { kOnly13, k12And13 };

// An OpenSSL library context of its own: handshakes of loops that do not share one do not wait for
// each other's locks, and it knows only what TLS 1.3 needs, which makes reading a peer's key cheap.
// Make one per loop, and keep it until the threads that used it have ended (OpenSSL keeps
// per-thread state of it).
class TlsLibrary {
 public:
  static Result<std::shared_ptr<const TlsLibrary>> Create();
  ~TlsLibrary();
  TlsLibrary(const TlsLibrary&) = delete;
  TlsLibrary& operator=(const TlsLibrary&) = delete;
  OSSL_LIB_CTX* handle() const { return handle_; }

 private:
  TlsLibrary() = default;
  OSSL_LIB_CTX* algorithms_ = nullptr;  // where the default provider works
  OSSL_PROVIDER* source_ = nullptr;     // it
  OSSL_LIB_CTX* handle_ = nullptr;      // what contexts are made in
  OSSL_PROVIDER* filter_ = nullptr;     // the only provider there
};

struct TlsOptions {
  TlsRole role = TlsRole::kServer;
  ClientCertificate client_certificate = ClientCertificate::kRequired;
  // Offered (client) or accepted in this order (server). A server with a list refuses clients that
  // offer only others (alert no_application_protocol); a client that offers none is let in, with
  // alpn() empty, as Go's servers do: protocols that need ALPN ask for it themselves.
  std::vector<std::string> alpn;
  TlsVersions versions = TlsVersions::kOnly13;  // k12And13 wants `library` to be null
  std::string server_name;  // named to the server by a client (RFC 6066, 3); empty: none
  std::shared_ptr<const TlsLibrary> library;  // null: OpenSSL's default one
};

class TlsContext {
 public:
  // A client may have no identity (it is then anonymous), a server that asks for no certificate no
  // verifier. Fails with kTlsContextFailed, also when key and leaf do not match.
  static Result<std::shared_ptr<const TlsContext>> Create(
      const TlsOptions& options, const std::optional<TlsIdentity>& identity,
      std::shared_ptr<const PeerVerifier> verifier);
  SSL_CTX* handle() const;
  const TlsOptions& options() const;
  const PeerVerifier& verifier() const;

 private:
  friend class TlsStream;
  struct State;
  std::shared_ptr<const State> state_;
};

enum class IoStatus { kOk, kWantRead, kWantWrite, kEof, kError };
struct IoResult {
  IoStatus status = IoStatus::kError;
  std::size_t bytes = 0;
  // With kOk: the socket said to wait after these bytes, so a call before its next event would give
  // nothing.
  bool would_block = false;
};

// Where streams of one thread gather what they receive and send, so that none holds buffers while
// idle. 64 KiB each way.
class TlsScratch {
 public:
  TlsScratch();

 private:
  friend class TlsStream;
  friend struct StreamParts;
  Bytes in_, out_;
  std::size_t in_at_ = 0, in_end_ = 0;  // received and not yet decrypted, while a call runs
};

// A TLS connection over a non-blocking socket it owns. Works with level- and edge-triggered
// polling: each call goes on until it is done or the socket would block.
class TlsStream {
 public:
  // `scratch` may serve all streams of a thread; null gives the stream its own.
  TlsStream(std::shared_ptr<const TlsContext> context, UniqueFd socket,
            std::shared_ptr<TlsScratch> scratch = nullptr);
  ~TlsStream();
  TlsStream(const TlsStream&) = delete;

  // Call until kOk. After kError, error() says why: kTlsPeerRefused carries the verifier's reason
  // in its detail (and failure_reason() answers the verifier's own Reason), kTlsNoPeerCertificate,
  // or kTlsHandshakeFailed, with code UNAVAILABLE when the connection ended and UNAUTHENTICATED
  // when the peers could not agree.
  IoStatus Handshake();
  // Fills `out` as far as the socket gives. kEof is the peer's close_notify; an end without one is
  // kError.
  IoResult Read(std::span<std::uint8_t> out);
  // Answers how many of `bytes` are sent. On kWantWrite, and on kOk with fewer than all, some that
  // follow may be encrypted already: call again with the same bytes (they may have moved), and more
  // behind them if there are.
  IoResult Write(ByteView bytes);
  // Sends close_notify: this end will write no more. The other direction stays open (TLS 1.3
  // half-close). Call until it is not kWantWrite. A failed write or CloseWrite leaves what the peer
  // sent readable.
  IoStatus CloseWrite();
  // Bytes decrypted but not yet read.
  std::size_t Pending() const;
  // For edge-triggered owners: when `yes`, Read() takes a short recv() for the last one and saves
  // the call that would say so. Must be off once EPOLLRDHUP, EPOLLHUP or EPOLLERR was reported, as
  // no further edge tells of the end.
  void TakeShortReadForEmpty(bool yes);
  // For a stream that moves on to another thread, between calls.
  void UseScratch(std::shared_ptr<TlsScratch> scratch);

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
