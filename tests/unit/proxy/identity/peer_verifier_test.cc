// A verdict that was kept must be worth no more than one that is made now: attacks on it, through
// real handshakes.
#include "proxy/identity/peer_verifier.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <catch2/catch.hpp>

#include "ca/x509/path.h"
#include "tests/support/fake_clock.h"
#include "tests/support/test_pki.h"

namespace signet::proxy {
namespace {

using namespace std::chrono_literals;
using net::IoStatus;

constexpr char kCaller[] = "spiffe://example.org/caller";

IdentityPtr Snapshot(std::uint64_t generation, const test::CertifiedKey& svid,
                     const std::vector<ca::Certificate>& roots) {
  auto snapshot = std::make_shared<IdentitySnapshot>();
  snapshot->generation = generation;
  snapshot->id = *identity::SpiffeId::Parse("spiffe://example.org/web");
  snapshot->tls = {svid.chain, svid.key};
  snapshot->valid_until = svid.chain.front().not_after();
  identity::Bundle own;
  own.trust_domain = snapshot->id.trust_domain();
  for (const ca::Certificate& root : roots) own.x509_authorities.push_back({root, false});
  snapshot->bundles[own.trust_domain] = own;
  return snapshot;
}

struct Outcome {
  bool connected = false;
  Reason reason;  // of the server
  std::shared_ptr<const net::PeerIdentity> peer;
};

struct Fixture {
  test::FakeClock clock;
  test::TestAuthority root{"spiffe://example.org"};
  test::CertifiedKey web = root.Issue("spiffe://example.org/web");
  test::CertifiedKey caller = root.Issue(kCaller);
  std::shared_ptr<const SvidVerifier> verifier = VerifierOf(1, {root.certificate()});

  std::shared_ptr<const SvidVerifier> VerifierOf(std::uint64_t generation,
                                                 const std::vector<ca::Certificate>& roots) const {
    return std::make_shared<const SvidVerifier>(Snapshot(generation, web, roots), nullptr, clock);
  }

  // A full handshake of `client`, an OpenSSL context of any kind, with a server of `verifier`.
  Outcome Shake(SSL_CTX* client) const {
    net::TlsOptions options;
    const auto context =
        net::TlsContext::Create(options, net::TlsIdentity{web.chain, web.key}, verifier);
    REQUIRE(context);
    int fds[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    net::TlsStream server(*context, UniqueFd(fds[0]));
    const UniqueFd socket(fds[1]);
    SSL* ssl = SSL_new(client);
    SSL_set_fd(ssl, socket.get());
    IoStatus status = IoStatus::kWantRead;
    for (int turn = 0; turn < 10 && status == IoStatus::kWantRead; ++turn) {
      SSL_connect(ssl);
      status = server.Handshake();
    }
    SSL_free(ssl);
    return {status == IoStatus::kOk, server.failure_reason(), server.peer()};
  }
  Outcome Shake(const ca::Certificate& leaf, EVP_PKEY* key) const {
    SSL_CTX* client = SSL_CTX_new(TLS_client_method());
    REQUIRE(SSL_CTX_use_certificate(client, leaf.handle()) == 1);
    REQUIRE(SSL_CTX_use_PrivateKey(client, key) == 1);
    Outcome outcome = Shake(client);
    SSL_CTX_free(client);
    return outcome;
  }
  Outcome Shake(const test::CertifiedKey& who) const {
    return Shake(who.chain.front(), who.key->handle());
  }
};

// A key whose public half is `shown`'s and whose private half is `own`'s: OpenSSL asks no more
// before it signs with it.
EVP_PKEY* ForgedKey(const ca::PrivateKey& shown, const ca::PrivateKey& own) {
  BIGNUM* secret = nullptr;
  REQUIRE(EVP_PKEY_get_bn_param(own.handle(), OSSL_PKEY_PARAM_PRIV_KEY, &secret) == 1);
  Bytes scalar(32);
  REQUIRE(BN_bn2nativepad(secret, scalar.data(), 32) == 32);
  BN_clear_free(secret);
  const ByteView spki = shown.public_key().spki();
  const ByteView point = spki.subspan(spki.size() - 65);
  char group[] = "P-256";
  OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
      OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY,
                                        const_cast<std::uint8_t*>(point.data()), point.size()),
      OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_PRIV_KEY, scalar.data(), scalar.size()),
      OSSL_PARAM_construct_end()};
  EVP_PKEY_CTX* maker = EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr);
  EVP_PKEY* forged = nullptr;
  REQUIRE(EVP_PKEY_fromdata_init(maker) == 1);
  REQUIRE(EVP_PKEY_fromdata(maker, &forged, EVP_PKEY_KEYPAIR, parameters) == 1);
  EVP_PKEY_CTX_free(maker);
  return forged;
}

}  // namespace

TEST_CASE("a chain known by its verdict is the same peer again") {
  const Fixture f;
  const Outcome first = f.Shake(f.caller);
  const Outcome again = f.Shake(f.caller);
  REQUIRE(first.connected);
  REQUIRE(again.connected);
  CHECK(again.peer->name == kCaller);
  CHECK(again.peer == first.peer);  // the very verdict
}

TEST_CASE("attack: a known chain shown without its key is refused by the signature") {
  const Fixture f;
  REQUIRE(f.Shake(f.caller).connected);
  const test::CertifiedKey thief = f.root.Issue("spiffe://example.org/thief");
  EVP_PKEY* forged = ForgedKey(*f.caller.key, *thief.key);
  const Outcome outcome = f.Shake(f.caller.chain.front(), forged);
  EVP_PKEY_free(forged);
  CHECK_FALSE(outcome.connected);
  CHECK(outcome.reason == net::kTlsHandshakeFailed);
  CHECK(outcome.peer == nullptr);
}

TEST_CASE("attack: another leaf over a known key gets no part of its verdict") {
  const Fixture f;
  REQUIRE(f.Shake(f.caller).connected);
  // The same key, certified by a stranger under the same names.
  const test::TestAuthority stranger("spiffe://example.org");
  const ca::Certificate foreign = stranger.Issue(kCaller).chain.front();
  X509* leaf = X509_dup(foreign.handle());
  REQUIRE(X509_set_pubkey(leaf, f.caller.key->handle()) == 1);
  SSL_CTX* client = SSL_CTX_new(TLS_client_method());
  REQUIRE(SSL_CTX_use_certificate(client, leaf) == 1);
  REQUIRE(SSL_CTX_use_PrivateKey(client, f.caller.key->handle()) == 1);
  const Outcome outcome = f.Shake(client);
  SSL_CTX_free(client);
  X509_free(leaf);
  CHECK_FALSE(outcome.connected);
  CHECK(outcome.reason == ca::kPathUntrusted);
}

TEST_CASE("attack: a known chain is refused from the moment it ends") {
  Fixture f;
  test::CertificateOptions options;
  options.uris = {kCaller};
  options.not_after = f.clock.Now() + 1h;
  const test::CertifiedKey caller = f.root.Issue(options);
  REQUIRE(f.Shake(caller).connected);
  f.clock.Advance(1h - 1s);
  CHECK(f.Shake(caller).connected);
  f.clock.Advance(2s);
  const Outcome ended = f.Shake(caller);
  CHECK_FALSE(ended.connected);
  CHECK(ended.reason == ca::kCertificateExpired);
}

TEST_CASE("attack: a known chain is refused once its authority has left the bundle") {
  Fixture f;
  REQUIRE(f.Shake(f.caller).connected);
  const test::TestAuthority next("spiffe://example.org");
  f.verifier = f.VerifierOf(2, {next.certificate()});
  const Outcome outcome = f.Shake(f.caller);
  CHECK_FALSE(outcome.connected);
  CHECK(outcome.reason == ca::kPathUntrusted);
}

TEST_CASE("a verdict that is kept is judged by each listener's own expectations") {
  Fixture f;
  const auto snapshot = Snapshot(1, f.web, {f.root.certificate()});
  const auto nobody = std::make_shared<const mesh::RequestPolicy>();
  const SvidVerifier strict(snapshot, nobody, f.clock);
  for (int i = 0; i < 2; ++i)
    CHECK(strict.Verify(f.caller.chain).error().reason == kUnexpectedPeer);
}

}  // namespace signet::proxy
