#include "net/web_verifier.h"

#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include "net/tls_internal.h"

namespace signet::net {
namespace {

constexpr std::size_t kMaxRoots = 2000;
constexpr std::size_t kMaxRootsBytes = std::size_t{8} << 20;
constexpr int kMaxDepth = 8;

using StorePtr = std::unique_ptr<X509_STORE, FreeWith<X509_STORE_free>>;
using StoreContextPtr = std::unique_ptr<X509_STORE_CTX, FreeWith<X509_STORE_CTX_free>>;
// The certificates in it belong to others.
using StackPtr =
    std::unique_ptr<STACK_OF(X509), decltype([](STACK_OF(X509) * stack) { sk_X509_free(stack); })>;

tl::unexpected<Error> Refused(std::string detail) {
  return Fail(Code::kUnauthenticated, kWebPeerRefused, std::move(detail));
}

bool SetExpectations(X509_VERIFY_PARAM* parameters, const std::string& host, WallTime now) {
  X509_VERIFY_PARAM_set_time(parameters, UnixSeconds(now));
  X509_VERIFY_PARAM_set_depth(parameters, kMaxDepth);
  X509_VERIFY_PARAM_set_hostflags(
      parameters, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  if (X509_VERIFY_PARAM_set1_ip_asc(parameters, host.c_str()) == 1) return true;
  return X509_VERIFY_PARAM_set1_host(parameters, host.data(), host.size()) == 1;
}

}  // namespace

Result<std::shared_ptr<const WebRoots>> WebRoots::Load(const std::string& path) {
  const auto unusable = [&](const Error& error) {
    return Fail(Code::kFailedPrecondition, kWebRootsUnusable, path + ": " + error.Message());
  };
  const auto content = ReadFile(path, kMaxRootsBytes);
  if (!content) return unusable(content.error());
  const auto roots = ca::ParsePem(AsText(*content), kMaxRoots);
  if (!roots) return unusable(roots.error());
  return Of(*roots);
}

Result<std::shared_ptr<const WebRoots>> WebRoots::Of(std::span<const ca::Certificate> roots) {
  ERR_clear_error();
  StorePtr store(X509_STORE_new());
  if (store == nullptr || roots.empty())
    return Fail(Code::kFailedPrecondition, kWebRootsUnusable, "there is no certificate");
  for (const ca::Certificate& root : roots) {
    if (X509_STORE_add_cert(store.get(), root.handle()) != 1)
      return Fail(Code::kFailedPrecondition, kWebRootsUnusable, TakeSslError());
  }
  return std::shared_ptr<const WebRoots>(new WebRoots(store.release()));
}

WebRoots::~WebRoots() { X509_STORE_free(store_); }

Result<std::shared_ptr<const PeerIdentity>> WebVerifier::Verify(
    std::span<const ca::Certificate> presented) const {
  ERR_clear_error();
  const StackPtr untrusted(sk_X509_new_null());
  const StoreContextPtr context(X509_STORE_CTX_new());
  if (untrusted == nullptr || context == nullptr) return Refused(TakeSslError());
  for (const ca::Certificate& certificate : presented) {
    if (sk_X509_push(untrusted.get(), certificate.handle()) <= 0) return Refused(TakeSslError());
  }
  const bool ready = X509_STORE_CTX_init(context.get(), roots_->store_, presented.front().handle(),
                                         untrusted.get()) == 1 &&
                     X509_STORE_CTX_set_default(context.get(), "ssl_server") == 1 &&
                     SetExpectations(X509_STORE_CTX_get0_param(context.get()), host_, clock_.Now());
  if (!ready) return Refused(TakeSslError());
  if (X509_verify_cert(context.get()) != 1) {
    return Refused(host_ + ": " +
                   X509_verify_cert_error_string(X509_STORE_CTX_get_error(context.get())));
  }
  return std::make_shared<const PeerIdentity>(PeerIdentity{
      host_, ca::Chain(presented.begin(), presented.end()), presented.front().not_after()});
}

}  // namespace signet::net
