#include "tests/support/test_certificates.h"

#include <openssl/conf.h>
#include <openssl/core_names.h>
#include <openssl/x509v3.h>

#include "base/check.h"
#include "ca/crypto/handle.h"

namespace signet::test {

struct TestKey {
  ca::PkeyHandle pkey;
};

namespace {

using ExtensionHandle = ca::Handle<X509_EXTENSION, X509_EXTENSION_free>;
using ConfigHandle = ca::Handle<CONF, NCONF_free>;
using GeneralNamesHandle = ca::Handle<GENERAL_NAMES, GENERAL_NAMES_free>;

void AddName(GENERAL_NAMES* names, int type, const std::string& value) {
  GENERAL_NAME* name = GENERAL_NAME_new();
  ASN1_IA5STRING* text = ASN1_IA5STRING_new();
  CHECK_TRUE(name != nullptr && text != nullptr);
  CHECK_TRUE(ASN1_STRING_set(text, value.data(), static_cast<int>(value.size())) == 1);
  GENERAL_NAME_set0_value(name, type, text);
  CHECK_TRUE(sk_GENERAL_NAME_push(names, name) > 0);
}

void AddSans(X509* x509, const CertificateSpec& spec) {
  if (spec.uri_sans.empty() && spec.dns_sans.empty()) return;
  const GeneralNamesHandle names(sk_GENERAL_NAME_new_null());
  for (const std::string& dns : spec.dns_sans) AddName(names.get(), GEN_DNS, dns);
  for (const std::string& uri : spec.uri_sans) AddName(names.get(), GEN_URI, uri);
  CHECK_TRUE(X509_add1_ext_i2d(x509, NID_subject_alt_name, names.get(), spec.san_critical ? 1 : 0,
                               X509V3_ADD_APPEND) == 1);
}

void AddExtension(X509* x509, X509V3_CTX* context, const std::string& name,
                  const std::string& value) {
  const ExtensionHandle extension(X509V3_EXT_conf(nullptr, context, name.c_str(), value.c_str()));
  CHECK_TRUE(extension != nullptr);
  CHECK_TRUE(X509_add_ext(x509, extension.get(), -1) == 1);
}

void AddExtensions(X509* x509, X509* issuer, const CertificateSpec& spec, bool has_issuer) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, x509, nullptr, nullptr, 0);
  const ConfigHandle no_sections(NCONF_new(nullptr));
  X509V3_set_nconf(&context, no_sections.get());
  if (spec.ca) {
    std::string value = *spec.ca ? "critical,CA:TRUE" : "critical,CA:FALSE";
    if (spec.path_length) value += ",pathlen:" + std::to_string(*spec.path_length);
    AddExtension(x509, &context, "basicConstraints", value);
  }
  if (!spec.key_usage.empty()) AddExtension(x509, &context, "keyUsage", spec.key_usage);
  if (!spec.extended_key_usage.empty())
    AddExtension(x509, &context, "extendedKeyUsage", spec.extended_key_usage);
  if (spec.subject_key_id) AddExtension(x509, &context, "subjectKeyIdentifier", "hash");
  if (spec.authority_key_id && has_issuer)
    AddExtension(x509, &context, "authorityKeyIdentifier", "keyid");
  if (!spec.name_constraints.empty())
    AddExtension(x509, &context, "nameConstraints", spec.name_constraints);
  AddSans(x509, spec);
  for (const auto& [name, value] : spec.more_extensions) AddExtension(x509, &context, name, value);
}

void SetSubject(X509* x509, const std::string& common_name) {
  if (common_name.empty()) return;
  CHECK_TRUE(X509_NAME_add_entry_by_txt(X509_get_subject_name(x509), "CN", MBSTRING_UTF8,
                                        reinterpret_cast<const unsigned char*>(common_name.data()),
                                        static_cast<int>(common_name.size()), -1, 0) == 1);
}

ca::X509Handle ReadBack(const Bytes& der) {
  const unsigned char* at = der.data();
  return ca::X509Handle(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
}

void SetSerial(X509* x509, const std::string& hex) {
  BIGNUM* number = nullptr;
  CHECK_TRUE(BN_hex2bn(&number, hex.c_str()) > 0);
  const ca::BignumHandle owned(number);
  CHECK_TRUE(BN_to_ASN1_INTEGER(number, X509_get_serialNumber(x509)) != nullptr);
}

}  // namespace

std::shared_ptr<const TestKey> MakeTestKey(const std::string& kind) {
  EVP_PKEY* key = nullptr;
  if (kind == "ED25519")
    key = EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519");
  else if (kind.starts_with("RSA-"))
    key = EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA",
                            static_cast<std::size_t>(std::stoul(kind.substr(4))));
  else
    key = EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", kind.substr(0, kind.find(' ')).c_str());
  CHECK_TRUE(key != nullptr);
  if (kind.ends_with(" spelt out")) {
    CHECK_TRUE(EVP_PKEY_set_utf8_string_param(key, OSSL_PKEY_PARAM_EC_ENCODING,
                                              OSSL_PKEY_EC_ENCODING_EXPLICIT) == 1);
  }
  auto made = std::make_shared<TestKey>();
  made->pkey.reset(key);
  return made;
}

CertificateSpec CaSpec(std::string common_name) {
  CertificateSpec spec;
  spec.common_name = std::move(common_name);
  spec.ca = true;
  spec.key_usage = "critical,keyCertSign,cRLSign";
  spec.extended_key_usage.clear();
  return spec;
}

CertificateSpec LeafSpec(std::string uri) {
  CertificateSpec spec;
  spec.common_name = "workload";
  spec.uri_sans = {std::move(uri)};
  return spec;
}

TestCertificate MakeCertificate(const CertificateSpec& spec, const TestCertificate* issuer,
                                std::shared_ptr<const TestKey> key) {
  if (key == nullptr) key = MakeTestKey(spec.key);
  const ca::X509Handle x509(X509_new());
  CHECK_TRUE(x509 != nullptr && X509_set_version(x509.get(), X509_VERSION_3) == 1);
  SetSerial(x509.get(), spec.serial_hex);
  CHECK_TRUE(ASN1_TIME_adj(X509_getm_notBefore(x509.get()), spec.not_before, 0, 0) != nullptr);
  CHECK_TRUE(ASN1_TIME_adj(X509_getm_notAfter(x509.get()), spec.not_after, 0, 0) != nullptr);
  SetSubject(x509.get(), spec.common_name);
  CHECK_TRUE(X509_set_pubkey(x509.get(), key->pkey.get()) == 1);
  const ca::X509Handle parent = issuer != nullptr ? ReadBack(issuer->der) : nullptr;
  X509* signer = parent != nullptr ? parent.get() : x509.get();
  CHECK_TRUE(X509_set_issuer_name(x509.get(), X509_get_subject_name(signer)) == 1);
  AddExtensions(x509.get(), signer, spec, issuer != nullptr);
  EVP_PKEY* signing_key = issuer != nullptr ? issuer->key->pkey.get() : key->pkey.get();
  const bool has_own_digest = EVP_PKEY_is_a(signing_key, "ED25519") == 1;
  const EVP_MD* digest = has_own_digest ? nullptr : EVP_get_digestbyname(spec.digest.c_str());
  CHECK_TRUE(X509_sign(x509.get(), signing_key, digest) > 0);
  unsigned char* der = nullptr;
  const int size = i2d_X509(x509.get(), &der);
  CHECK_TRUE(size > 0);
  TestCertificate made{Bytes(der, der + size), spec.common_name, std::move(key)};
  OPENSSL_free(der);
  return made;
}

ca::Certificate TestCertificate::Parsed() const { return ca::Certificate::Parse(der).value(); }

Bytes TestCertificate::Pkcs8() const {
  const ca::Pkcs8Handle info(EVP_PKEY2PKCS8(key->pkey.get()));
  CHECK_TRUE(info != nullptr);
  unsigned char* bytes = nullptr;
  const int size = i2d_PKCS8_PRIV_KEY_INFO(info.get(), &bytes);
  CHECK_TRUE(size > 0);
  Bytes pkcs8(bytes, bytes + size);
  OPENSSL_free(bytes);
  return pkcs8;
}

}  // namespace signet::test
