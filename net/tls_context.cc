#include <fmt/format.h>
#include <openssl/x509.h>

#include "ca/crypto/digest.h"
#include "net/tls_internal.h"

namespace signet::net {
namespace {

constexpr char kCipherSuites[] =
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
// RFC 9325, 4.2: forward secrecy and authenticated encryption.
constexpr char kTls12Ciphers[] =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
constexpr char kGroups[] = "X25519:P-256";
constexpr char kSignatureAlgorithms[] =
    "ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512:ed25519:RSA-PSS+SHA256:RSA-PSS+SHA384:RSA-PSS+SHA512:"
    "RSA+SHA256:RSA+SHA384:RSA+SHA512";
constexpr long kMaxPeerChainBytes = 96L * 1024;
constexpr std::size_t kMaxAlpnName = 255;

tl::unexpected<Error> ContextFailed(std::string_view what) {
  return Fail(Code::kInvalidArgument, kTlsContextFailed,
              fmt::format("{}: {}", what, TakeSslError()));
}

Result<Bytes> EncodeDer(X509* certificate) {
  const int size = i2d_X509(certificate, nullptr);
  if (size <= 0 || static_cast<std::size_t>(size) > ca::kMaxCertificateBytes)
    return Fail(Code::kInvalidArgument, ca::kCertificateMalformed, "unusable size");
  Bytes der(static_cast<std::size_t>(size));
  std::uint8_t* out = der.data();
  if (i2d_X509(certificate, &out) != size)
    return Fail(Code::kInvalidArgument, ca::kCertificateMalformed, "cannot be encoded");
  return der;
}

// What the peer presented, leaf first. OpenSSL states the leaf apart and once more in its list of
// all: the leaf is only ever taken from its own place.
Result<std::vector<Bytes>> PresentedDer(X509_STORE_CTX* store) {
  X509* leaf = X509_STORE_CTX_get0_cert(store);
  if (leaf == nullptr) return Fail(Code::kUnauthenticated, kTlsNoPeerCertificate, "no leaf");
  const STACK_OF(X509)* all = X509_STORE_CTX_get0_untrusted(store);
  const int count = all == nullptr ? 0 : sk_X509_num(all);
  if (count > static_cast<int>(ca::kMaxChainLength))
    return Fail(Code::kUnauthenticated, ca::kCertificateMalformed,
                fmt::format("{} certificates; at most {} are read", count, ca::kMaxChainLength));
  std::vector<Bytes> presented;
  SIGNET_TRY(Bytes leaf_der, EncodeDer(leaf));
  presented.push_back(std::move(leaf_der));
  for (int i = 0; i < count; ++i) {
    X509* other = sk_X509_value(all, i);
    if (other == leaf) continue;
    SIGNET_TRY(Bytes der, EncodeDer(other));
    presented.push_back(std::move(der));
  }
  return presented;
}

Result<std::shared_ptr<const PeerIdentity>> VerifyPresented(const ContextParts& parts,
                                                            X509_STORE_CTX* store) {
  SIGNET_TRY(const std::vector<Bytes> presented, PresentedDer(store));
  SIGNET_TRY(const ca::Chain chain, parts.certificates.Parse(presented));
  SIGNET_TRY(std::shared_ptr<const PeerIdentity> peer, parts.verifier->Verify(chain));
  if (peer == nullptr)
    return Fail(Code::kInternal, kTlsPeerRefused, "the verifier named no identity");
  STACK_OF(X509)* listed = X509_STORE_CTX_get0_untrusted(store);
  if (static_cast<std::size_t>(sk_X509_num(listed)) == chain.size() &&
      sk_X509_value(listed, 0) == X509_STORE_CTX_get0_cert(store)) {
    parts.certificates.Keep(chain, listed);
    X509_STORE_CTX_set_cert(store, sk_X509_value(listed, 0));
  }
  return peer;
}

// Stands in for all of OpenSSL's chain building: the answer is the PeerVerifier's alone.
int OnVerify(X509_STORE_CTX* store, void* argument) {
  const auto& parts = *static_cast<const ContextParts*>(argument);
  const auto* ssl = static_cast<const SSL*>(
      X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto* record = static_cast<HandshakeRecord*>(SSL_get_app_data(ssl));
  auto verified = VerifyPresented(parts, store);
  if (!verified) {
    record->refusal = std::move(verified).error();
    X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED);  // alert bad_certificate
    return 0;
  }
  record->peer = std::move(*verified);
  X509_STORE_CTX_set_error(store, X509_V_OK);
  return 1;
}

int OnAlpnOffer(SSL*, const unsigned char** out, unsigned char* out_length,
                const unsigned char* offered, unsigned int offered_length, void* argument) {
  const std::string_view list(reinterpret_cast<const char*>(offered), offered_length);
  for (const std::string& accepted : static_cast<const ContextParts*>(argument)->options.alpn) {
    for (std::size_t at = 0; at < list.size();) {
      const auto length = static_cast<unsigned char>(list[at]);
      if (list.substr(at + 1, length) == accepted) {
        *out = offered + at + 1;
        *out_length = length;
        return SSL_TLSEXT_ERR_OK;
      }
      at += 1u + length;
    }
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;  // no_application_protocol
}

Status SetAlpn(ContextParts* parts) {
  Bytes list;
  for (const std::string& name : parts->options.alpn) {
    if (name.empty() || name.size() > kMaxAlpnName) return ContextFailed("ALPN name");
    list.push_back(static_cast<std::uint8_t>(name.size()));
    list.insert(list.end(), name.begin(), name.end());
  }
  if (list.empty()) return {};
  if (parts->options.role == TlsRole::kServer)
    SSL_CTX_set_alpn_select_cb(parts->context.get(), OnAlpnOffer, parts);
  else if (SSL_CTX_set_alpn_protos(parts->context.get(), list.data(),
                                   static_cast<unsigned>(list.size())) != 0)  // 0 is success
    return ContextFailed("ALPN");
  return {};
}

// The same key inside another library context, so that no lock is shared with others.
PkeyPtr CopyKey(EVP_PKEY* key, OSSL_LIB_CTX* into) {
  OSSL_PARAM* parameters = nullptr;
  if (EVP_PKEY_todata(key, EVP_PKEY_KEYPAIR, &parameters) != 1) return nullptr;
  const PkeyContextPtr maker(
      EVP_PKEY_CTX_new_from_name(into, EVP_PKEY_get0_type_name(key), nullptr));
  EVP_PKEY* copy = nullptr;
  if (maker != nullptr && EVP_PKEY_fromdata_init(maker.get()) == 1)
    EVP_PKEY_fromdata(maker.get(), &copy, EVP_PKEY_KEYPAIR, parameters);
  for (OSSL_PARAM* each = parameters; each->key != nullptr; ++each)
    OPENSSL_cleanse(each->data, each->data_size);
  OSSL_PARAM_free(parameters);
  return PkeyPtr(copy);
}

Status UseKey(SSL_CTX* context, const ca::PrivateKey& key, const TlsLibrary* library) {
  if (library == nullptr)
    return SSL_CTX_use_PrivateKey(context, key.handle()) == 1 ? Status() : ContextFailed("key");
  const PkeyPtr own = CopyKey(key.handle(), library->handle());
  if (own == nullptr || SSL_CTX_use_PrivateKey(context, own.get()) != 1)
    return ContextFailed("key");
  return {};
}

Status UseIdentity(SSL_CTX* context, const TlsIdentity& identity, const TlsLibrary* library) {
  if (identity.chain.empty() || identity.key == nullptr)
    return ContextFailed("an identity has a certificate and a key");
  for (std::size_t i = 0; i < identity.chain.size(); ++i) {
    const ByteView der = identity.chain[i].der();
    const std::uint8_t* in = der.data();
    X509* raw = X509_new_ex(library == nullptr ? nullptr : library->handle(), nullptr);
    if (raw != nullptr) d2i_X509(&raw, &in, static_cast<long>(der.size()));  // frees it on failure
    const X509Ptr certificate(raw);
    if (certificate == nullptr ||
        (i == 0 ? SSL_CTX_use_certificate(context, certificate.get())
                : static_cast<int>(SSL_CTX_add1_chain_cert(context, certificate.get()))) != 1)
      return ContextFailed(fmt::format("certificate {} of the chain", i));
  }
  SIGNET_RETURN_IF_ERROR(UseKey(context, *identity.key, library));
  if (SSL_CTX_check_private_key(context) != 1)
    return ContextFailed("the key is not the certificate's");
  return {};
}

bool AsksForCertificate(const TlsOptions& options) {
  return options.role == TlsRole::kClient ||
         options.client_certificate != ClientCertificate::kNotAskedFor;
}

Status Configure(ContextParts* parts) {
  SSL_CTX* context = parts->context.get();
  const int oldest =
      parts->options.versions == TlsVersions::k12And13 ? TLS1_2_VERSION : TLS1_3_VERSION;
  const bool set =
      SSL_CTX_set_min_proto_version(context, oldest) == 1 &&
      SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) == 1 &&
      (oldest == TLS1_3_VERSION || SSL_CTX_set_cipher_list(context, kTls12Ciphers) == 1) &&
      SSL_CTX_set_ciphersuites(context, kCipherSuites) == 1 &&
      SSL_CTX_set1_groups_list(context, kGroups) == 1 &&
      SSL_CTX_set1_sigalgs_list(context, kSignatureAlgorithms) == 1 &&
      SSL_CTX_set_num_tickets(context, 0) == 1 && SSL_CTX_set_max_early_data(context, 0) == 1;
  if (!set) return ContextFailed("settings");
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                   SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_clear_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF);  // truncation is an error
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_NO_AUTO_CHAIN);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_max_cert_list(context, kMaxPeerChainBytes);
  if (!AsksForCertificate(parts->options)) {
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, nullptr);
    return SetAlpn(parts);
  }
  const bool required = parts->options.role == TlsRole::kClient ||
                        parts->options.client_certificate == ClientCertificate::kRequired;
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | (required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
                     nullptr);
  SSL_CTX_set_cert_verify_callback(context, OnVerify, parts);
  return SetAlpn(parts);
}

}  // namespace

std::string TakeSslError() {
  const unsigned long code = ERR_peek_last_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  ERR_clear_error();
  return reason == nullptr ? "no further detail" : reason;
}

Result<ca::Chain> CertificateCache::Parse(std::span<const Bytes> presented) {
  ca::Chain chain;
  for (const Bytes& der : presented) {
    std::optional<ca::Certificate> held;
    {
      const std::lock_guard lock(mutex_);
      const auto found = held_.find(ca::Sha256(der));
      if (found != held_.end()) held = found->second.certificate;
    }
    if (!held) {
      SIGNET_TRY(ca::Certificate parsed, ca::Certificate::Parse(der));
      held = std::move(parsed);
    }
    chain.push_back(std::move(*held));
  }
  return chain;
}

void CertificateCache::Keep(const ca::Chain& chain, STACK_OF(X509) * presented) {
  const std::lock_guard lock(mutex_);
  if (held_.size() + chain.size() > kLimit) held_.clear();
  for (std::size_t i = 0; i < chain.size(); ++i) {
    const int at = static_cast<int>(i);
    X509* handle = sk_X509_value(presented, at);
    const auto found = held_.find(chain[i].fingerprint());
    if (found == held_.end()) {
      X509_up_ref(handle);
      held_.emplace(chain[i].fingerprint(), Held{chain[i], X509Ptr(handle)});
    } else if (handle != found->second.handle.get()) {
      X509_up_ref(found->second.handle.get());
      sk_X509_set(presented, at, found->second.handle.get());
      X509_free(handle);
    }
  }
}

Result<std::shared_ptr<const TlsContext>> TlsContext::Create(
    const TlsOptions& options, const std::optional<TlsIdentity>& identity,
    std::shared_ptr<const PeerVerifier> verifier) {
  ERR_clear_error();
  if (verifier == nullptr && AsksForCertificate(options))
    return ContextFailed("a verifier is missing");
  if (options.role == TlsRole::kServer && !identity)
    return ContextFailed("a server needs a certificate and key");
  auto state = std::make_shared<State>();
  state->options = options;
  state->verifier = std::move(verifier);
  state->bio_method = MakeStreamBioMethod();
  const TlsLibrary* library = options.library.get();
  state->context.reset(
      SSL_CTX_new_ex(library == nullptr ? nullptr : library->handle(), nullptr,
                     options.role == TlsRole::kServer ? TLS_server_method() : TLS_client_method()));
  if (state->bio_method == nullptr || state->context == nullptr) return ContextFailed("OpenSSL");
  SIGNET_RETURN_IF_ERROR(Configure(state.get()));
  if (identity) SIGNET_RETURN_IF_ERROR(UseIdentity(state->context.get(), *identity, library));
  auto context = std::make_shared<TlsContext>();
  context->state_ = std::move(state);
  return std::shared_ptr<const TlsContext>(std::move(context));
}

SSL_CTX* TlsContext::handle() const { return state_->context.get(); }
const TlsOptions& TlsContext::options() const { return state_->options; }
const PeerVerifier& TlsContext::verifier() const { return *state_->verifier; }

}  // namespace signet::net
