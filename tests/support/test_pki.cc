#include "tests/support/test_pki.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "base/check.h"

namespace signet::test {
namespace {

struct Free {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(PKCS8_PRIV_KEY_INFO* info) const { PKCS8_PRIV_KEY_INFO_free(info); }
  void operator()(X509_EXTENSION* extension) const { X509_EXTENSION_free(extension); }
};
using KeyPtr = std::unique_ptr<EVP_PKEY, Free>;
using X509Ptr = std::unique_ptr<X509, Free>;

struct Issuer {
  X509* certificate;
  EVP_PKEY* key;
};

template <class T, class Encode>
Bytes ToDer(T* object, Encode encode) {
  const int size = encode(object, nullptr);
  CHECK_TRUE(size > 0);
  Bytes der(static_cast<std::size_t>(size));
  std::uint8_t* out = der.data();
  CHECK_TRUE(encode(object, &out) == size);
  return der;
}

KeyPtr MakeKey(const CertificateOptions& options) {
  KeyPtr key(options.rsa ? EVP_RSA_gen(2048) : EVP_EC_gen(options.curve.c_str()));
  CHECK_TRUE(key != nullptr);
  return key;
}

std::shared_ptr<const ca::PrivateKey> ToPrivateKey(EVP_PKEY* key) {
  const std::unique_ptr<PKCS8_PRIV_KEY_INFO, Free> info(EVP_PKEY2PKCS8(key));
  auto parsed = ca::PrivateKey::FromPkcs8(ToDer(info.get(), i2d_PKCS8_PRIV_KEY_INFO));
  CHECK_TRUE(parsed.has_value());
  return std::make_shared<const ca::PrivateKey>(std::move(*parsed));
}

void AddExtension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  if (value.empty()) return;
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509V3_set_ctx_nodb(&context);
  const std::unique_ptr<X509_EXTENSION, Free> extension(
      X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  CHECK_TRUE(extension != nullptr && X509_add_ext(certificate, extension.get(), -1) == 1);
}

std::string AlternativeNames(const CertificateOptions& options) {
  std::string names;
  for (const std::string& uri : options.uris) names += (names.empty() ? "URI:" : ",URI:") + uri;
  for (const std::string& dns : options.dns_names)
    names += (names.empty() ? "DNS:" : ",DNS:") + dns;
  return names;
}

void AddExtensions(X509* certificate, X509* issuer, const CertificateOptions& options) {
  AddExtension(certificate, issuer, NID_basic_constraints,
               options.is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
  std::string usage = options.key_usage;
  if (usage.empty())
    usage = options.is_ca ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature";
  AddExtension(certificate, issuer, NID_key_usage, usage);
  std::string extended = options.extended_key_usage;
  if (extended.empty() && !options.is_ca) extended = "serverAuth,clientAuth";
  AddExtension(certificate, issuer, NID_ext_key_usage, extended);
  AddExtension(certificate, issuer, NID_subject_key_identifier, "hash");
  if (issuer != certificate)
    AddExtension(certificate, issuer, NID_authority_key_identifier, "keyid:always");
  AddExtension(certificate, issuer, NID_subject_alt_name, AlternativeNames(options));
}

void AddNameEntry(X509_NAME* name, const char* field, const std::string& value) {
  CHECK_TRUE(X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8,
                                        reinterpret_cast<const unsigned char*>(value.data()),
                                        static_cast<int>(value.size()), -1, 0) == 1);
}

// Self-signed when `issuer` is null.
X509Ptr MakeCertificate(const CertificateOptions& options, EVP_PKEY* key, const Issuer* issuer) {
  X509Ptr certificate(X509_new());
  CHECK_TRUE(X509_set_version(certificate.get(), X509_VERSION_3) == 1);
  std::uint64_t serial = 0;
  CHECK_TRUE(RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof serial) == 1);
  CHECK_TRUE(ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate.get()), (serial >> 1) | 1) ==
             1);
  X509_NAME* name = X509_get_subject_name(certificate.get());
  AddNameEntry(name, "C", "US");
  AddNameEntry(name, "O", "Test");
  if (!options.common_name.empty()) AddNameEntry(name, "CN", options.common_name);
  X509* signer = issuer == nullptr ? certificate.get() : issuer->certificate;
  CHECK_TRUE(X509_set_issuer_name(certificate.get(), X509_get_subject_name(signer)) == 1);
  ASN1_TIME_set(X509_getm_notBefore(certificate.get()), UnixSeconds(options.not_before));
  ASN1_TIME_set(X509_getm_notAfter(certificate.get()), UnixSeconds(options.not_after));
  CHECK_TRUE(X509_set_pubkey(certificate.get(), key) == 1);
  AddExtensions(certificate.get(), signer, options);
  CHECK_TRUE(X509_sign(certificate.get(), issuer == nullptr ? key : issuer->key, EVP_sha256()) > 0);
  return certificate;
}

ca::Certificate ToCertificate(X509* certificate) {
  auto parsed = ca::Certificate::Parse(ToDer(certificate, i2d_X509));
  CHECK_TRUE(parsed.has_value());
  return *parsed;
}

CertificateOptions AuthorityOptions(const std::string& uri) {
  CertificateOptions options;
  options.uris = {uri};
  options.common_name = "authority of " + uri;
  options.is_ca = true;
  return options;
}

}  // namespace

struct TestAuthority::State {
  KeyPtr key;
  X509Ptr handle;
  ca::Chain chain;  // of an intermediate: itself and those above it, without the root
  std::optional<ca::Certificate> certificate;
};

TestAuthority::TestAuthority(std::unique_ptr<State> state) : state_(std::move(state)) {}
TestAuthority::TestAuthority(const std::string& uri) : TestAuthority(AuthorityOptions(uri)) {}
TestAuthority::~TestAuthority() = default;
TestAuthority::TestAuthority(TestAuthority&&) noexcept = default;

TestAuthority::TestAuthority(const CertificateOptions& options)
    : state_(std::make_unique<State>()) {
  state_->key = MakeKey(options);
  state_->handle = MakeCertificate(options, state_->key.get(), nullptr);
  state_->certificate = ToCertificate(state_->handle.get());
}

const ca::Certificate& TestAuthority::certificate() const { return *state_->certificate; }

CertifiedKey TestAuthority::Issue(const std::string& uri) const {
  CertificateOptions options;
  options.uris = {uri};
  return Issue(options);
}

CertifiedKey TestAuthority::Issue(const CertificateOptions& options) const {
  const KeyPtr key = MakeKey(options);
  const Issuer issuer{state_->handle.get(), state_->key.get()};
  const X509Ptr leaf = MakeCertificate(options, key.get(), &issuer);
  CertifiedKey issued{{ToCertificate(leaf.get())}, ToPrivateKey(key.get())};
  issued.chain.insert(issued.chain.end(), state_->chain.begin(), state_->chain.end());
  return issued;
}

TestAuthority TestAuthority::IssueAuthority(const std::string& uri) const {
  const Issuer issuer{state_->handle.get(), state_->key.get()};
  auto below = std::make_unique<State>();
  CertificateOptions options = AuthorityOptions(uri);
  options.common_name = "intermediate of " + uri;
  below->key = MakeKey(options);
  below->handle = MakeCertificate(options, below->key.get(), &issuer);
  below->certificate = ToCertificate(below->handle.get());
  below->chain = state_->chain;
  below->chain.insert(below->chain.begin(), *below->certificate);
  return TestAuthority(std::move(below));
}

}  // namespace signet::test
