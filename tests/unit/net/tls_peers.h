// Two ends of a TLS connection for the tests of net/: a verifier that trusts some roots, contexts,
// and a pair of streams over a socketpair that are driven by turns.
#pragma once

#include <openssl/x509.h>
#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "net/tls.h"
#include "tests/support/fake_clock.h"
#include "tests/support/test_pki.h"

namespace signet::net {

inline constexpr Reason kTestForeign{"signed by a stranger"};
inline constexpr Reason kTestExpired{"over its time"};

// Trusts chains that lead, certificate by certificate, to one of its roots.
class RootVerifier final : public PeerVerifier {
 public:
  explicit RootVerifier(std::vector<ca::Certificate> roots, WallTime now)
      : roots_(std::move(roots)), now_(now) {}

  Result<std::shared_ptr<const PeerIdentity>> Verify(
      std::span<const ca::Certificate> presented) const override {
    {
      const std::lock_guard lock(mutex_);
      ++calls_;
      seen_.assign(presented.begin(), presented.end());
    }
    const ca::Certificate& leaf = presented.front();
    for (std::size_t i = 0; i + 1 < presented.size(); ++i) {
      if (!SignedBy(presented[i], presented[i + 1]))
        return Fail(Code::kUnauthenticated, kTestForeign);
    }
    bool trusted = false;
    for (const ca::Certificate& root : roots_) trusted |= SignedBy(presented.back(), root);
    if (!trusted) return Fail(Code::kUnauthenticated, kTestForeign, "no root of mine");
    if (leaf.not_after() <= now_) return Fail(Code::kUnauthenticated, kTestExpired);
    return std::make_shared<const PeerIdentity>(PeerIdentity{
        leaf.uri_sans().front(), ca::Chain(presented.begin(), presented.end()), leaf.not_after()});
  }
  int calls() const {
    const std::lock_guard lock(mutex_);
    return calls_;
  }
  ca::Chain seen() const {
    const std::lock_guard lock(mutex_);
    return seen_;
  }

 private:
  static bool SignedBy(const ca::Certificate& certificate, const ca::Certificate& issuer) {
    return X509_verify(certificate.handle(), issuer.public_key().handle()) == 1;
  }
  std::vector<ca::Certificate> roots_;
  WallTime now_;
  mutable std::mutex mutex_;
  mutable int calls_ = 0;
  mutable ca::Chain seen_;
};

// One authority, a server and a client under it, and contexts for both.
struct TlsPeers {
  static constexpr char kServerId[] = "spiffe://example.org/server";
  static constexpr char kClientId[] = "spiffe://example.org/client";

  test::FakeClock clock;
  test::TestAuthority authority{"spiffe://example.org"};
  test::TestAuthority stranger{"spiffe://example.org"};
  test::CertifiedKey server = authority.Issue(kServerId);
  test::CertifiedKey client = authority.Issue(kClientId);
  std::shared_ptr<const RootVerifier> verifier = VerifierFor(authority);
  TlsOptions server_options{
      TlsRole::kServer, ClientCertificate::kRequired, {}, TlsVersions::kOnly13, {}, nullptr};
  TlsOptions client_options{
      TlsRole::kClient, ClientCertificate::kRequired, {}, TlsVersions::kOnly13, {}, nullptr};

  std::shared_ptr<const RootVerifier> VerifierFor(const test::TestAuthority& root) const {
    return std::make_shared<const RootVerifier>(std::vector{root.certificate()}, clock.Now());
  }
  static TlsIdentity Identity(const test::CertifiedKey& issued) {
    return {issued.chain, issued.key};
  }
  std::shared_ptr<const TlsContext> Server() const { return Server(server); }
  std::shared_ptr<const TlsContext> Server(const test::CertifiedKey& issued) const {
    return Must(TlsContext::Create(server_options, Identity(issued), verifier));
  }
  std::shared_ptr<const TlsContext> Client() const { return Client(client); }
  std::shared_ptr<const TlsContext> Client(const test::CertifiedKey& issued) const {
    return Must(TlsContext::Create(client_options, Identity(issued), verifier));
  }
  std::shared_ptr<const TlsContext> AnonymousClient() const {
    return Must(TlsContext::Create(client_options, std::nullopt, verifier));
  }
  static std::shared_ptr<const TlsContext> Must(Result<std::shared_ptr<const TlsContext>> made) {
    if (!made) FAIL(made.error().Message());
    return *made;
  }
};

inline std::pair<UniqueFd, UniqueFd> SocketPair() {
  int fds[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

// Both streams share a scratch, as those of one loop do.
struct StreamPair {
  StreamPair(std::shared_ptr<const TlsContext> server_context,
             std::shared_ptr<const TlsContext> client_context,
             std::shared_ptr<TlsScratch> scratch = nullptr) {
    auto [a, b] = SocketPair();
    if (scratch == nullptr) scratch = std::make_shared<TlsScratch>();
    server.emplace(std::move(server_context), std::move(a), scratch);
    client.emplace(std::move(client_context), std::move(b), scratch);
  }
  // By turns until neither waits for the other.
  void Shake() {
    server_status = client_status = IoStatus::kWantRead;
    for (int turn = 0; turn < 20; ++turn) {
      if (client_status == IoStatus::kWantRead || client_status == IoStatus::kWantWrite)
        client_status = client->Handshake();
      if (server_status == IoStatus::kWantRead || server_status == IoStatus::kWantWrite)
        server_status = server->Handshake();
    }
  }
  bool Connected() const {
    return server_status == IoStatus::kOk && client_status == IoStatus::kOk;
  }
  std::optional<TlsStream> server, client;
  IoStatus server_status = IoStatus::kError;
  IoStatus client_status = IoStatus::kError;
};

inline std::string ReadText(TlsStream* stream) {
  std::uint8_t buffer[1000];
  const IoResult result = stream->Read(buffer);
  if (result.status == IoStatus::kOk) return std::string(AsText({buffer, result.bytes}));
  static constexpr const char* kNames[] = {"<ok>", "<want read>", "<want write>", "<eof>",
                                           "<error>"};
  return kNames[static_cast<int>(result.status)];
}

}  // namespace signet::net
