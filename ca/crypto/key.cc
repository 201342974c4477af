#include "ca/crypto/key.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <algorithm>
#include <array>
#include <mutex>
#include <optional>
#include <utility>

#include "base/check.h"
#include "ca/crypto/digest.h"
#include "ca/crypto/handle.h"
#include "ca/crypto/p256.h"

namespace signet::ca {
namespace {

constexpr std::size_t kMaxSpkiBytes = 4096;
constexpr std::size_t kMaxPkcs8Bytes = 16 * 1024;

// SubjectPublicKeyInfo up to the uncompressed point (RFC 5480, 2: named curve).
constexpr std::array<std::uint8_t, 26> kP256Prefix = {
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
    0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00};
constexpr std::array<std::uint8_t, 23> kP384Prefix = {
    0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02,
    0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0x00};
constexpr std::size_t kP384PointBytes = 97;
constexpr std::uint8_t kUncompressed = 0x04;

template <std::size_t kSize>
bool HasPrefix(ByteView spki, const std::array<std::uint8_t, kSize>& prefix,
               std::size_t point_bytes) {
  return spki.size() == kSize + point_bytes &&
         std::equal(prefix.begin(), prefix.end(), spki.begin()) && spki[kSize] == kUncompressed;
}

// RSA with an odd exponent of at least 2^16 + 1 (FIPS 186-5, A.1.1): a smaller one, 1 above all,
// secures nothing.
bool HasSoundExponent(const EVP_PKEY* key) {
  BIGNUM* exponent = nullptr;
  if (EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &exponent) != 1) {
    ERR_clear_error();
    return false;
  }
  const BignumHandle owned(exponent);
  return BN_is_odd(exponent) && BN_num_bits(exponent) > 16;
}

std::optional<KeyType> TypeOf(const EVP_PKEY* key, ByteView spki) {
  if (HasPrefix(spki, kP256Prefix, kP256PointBytes)) return KeyType::kEcP256;
  if (HasPrefix(spki, kP384Prefix, kP384PointBytes)) return KeyType::kEcP384;
  if (EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA || !HasSoundExponent(key)) return std::nullopt;
  if (EVP_PKEY_get_bits(key) == 2048) return KeyType::kRsa2048;
  if (EVP_PKEY_get_bits(key) == 4096) return KeyType::kRsa4096;
  return std::nullopt;
}

struct AlgorithmFacts {
  int key_id;
  const EVP_MD* digest;  // null: the algorithm hashes by itself
  bool pss;
};

AlgorithmFacts FactsOf(SignatureAlgorithm algorithm) {
  switch (algorithm) {
    case SignatureAlgorithm::kEcdsaSha256:
      return {EVP_PKEY_EC, EVP_sha256(), false};
    case SignatureAlgorithm::kEcdsaSha384:
      return {EVP_PKEY_EC, EVP_sha384(), false};
    case SignatureAlgorithm::kEcdsaSha512:
      return {EVP_PKEY_EC, EVP_sha512(), false};
    case SignatureAlgorithm::kEd25519:
      return {EVP_PKEY_ED25519, nullptr, false};
    case SignatureAlgorithm::kRsaPkcs1Sha256:
      return {EVP_PKEY_RSA, EVP_sha256(), false};
    case SignatureAlgorithm::kRsaPkcs1Sha384:
      return {EVP_PKEY_RSA, EVP_sha384(), false};
    case SignatureAlgorithm::kRsaPkcs1Sha512:
      return {EVP_PKEY_RSA, EVP_sha512(), false};
    case SignatureAlgorithm::kRsaPssSha256:
      return {EVP_PKEY_RSA, EVP_sha256(), true};
    case SignatureAlgorithm::kRsaPssSha384:
      return {EVP_PKEY_RSA, EVP_sha384(), true};
    case SignatureAlgorithm::kRsaPssSha512:
      return {EVP_PKEY_RSA, EVP_sha512(), true};
  }
  return {EVP_PKEY_NONE, nullptr, false};
}

// PSS salts are as long as the digest (RFC 7518, 3.5; RFC 8446, 4.2.3).
bool SetPadding(EVP_PKEY_CTX* context, const AlgorithmFacts& facts) {
  if (!facts.pss) return true;
  return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1 &&
         EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) == 1;
}

// Null when the algorithm does not fit the key.
DigestContextHandle NewSigningContext(EVP_PKEY* key, SignatureAlgorithm algorithm) {
  const AlgorithmFacts facts = FactsOf(algorithm);
  if (EVP_PKEY_get_base_id(key) != facts.key_id) return nullptr;
  DigestContextHandle context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* key_context = nullptr;  // owned by the digest context
  if (context == nullptr ||
      EVP_DigestSignInit(context.get(), &key_context, facts.digest, nullptr, key) != 1 ||
      !SetPadding(key_context, facts)) {
    ERR_clear_error();
    return nullptr;
  }
  return context;
}

}  // namespace

std::string_view KeyTypeName(KeyType type) {
  switch (type) {
    case KeyType::kEcP256:
      return "ec-p256";
    case KeyType::kEcP384:
      return "ec-p384";
    case KeyType::kRsa2048:
      return "rsa-2048";
    case KeyType::kRsa4096:
      return "rsa-4096";
  }
  return "unknown";
}

Result<KeyType> ParseKeyType(std::string_view name) {
  for (const KeyType type :
       {KeyType::kEcP256, KeyType::kEcP384, KeyType::kRsa2048, KeyType::kRsa4096}) {
    if (name == KeyTypeName(type)) return type;
  }
  return Fail(
      Code::kInvalidArgument, kKeyTypeRefused,
      "'" + std::string(name.substr(0, 64)) + "' is none of ec-p256, ec-p384, rsa-2048, rsa-4096");
}

SignatureAlgorithm CertificateAlgorithm(KeyType type) {
  switch (type) {
    case KeyType::kEcP256:
      return SignatureAlgorithm::kEcdsaSha256;
    case KeyType::kEcP384:
      return SignatureAlgorithm::kEcdsaSha384;
    case KeyType::kRsa2048:
    case KeyType::kRsa4096:
      return SignatureAlgorithm::kRsaPkcs1Sha256;
  }
  return SignatureAlgorithm::kEcdsaSha256;
}

struct PublicKey::State {
  Bytes spki;
  std::size_t key_bits_at = 0;  // where the BIT STRING's content begins in spki
  std::optional<KeyType> type;

  ByteView KeyBits() const { return ByteView(spki).subspan(key_bits_at); }
  // OpenSSL's object. Most P-256 keys never need one of their own, so it is made at first use.
  EVP_PKEY* Key() const {
    std::call_once(made_, [this] {
      if (key_ == nullptr) key_ = P256FromPoint(KeyBits());
      CHECK_TRUE(key_ != nullptr);
    });
    return key_.get();
  }
  void SetKey(PkeyHandle key) { key_ = std::move(key); }

 private:
  mutable std::once_flag made_;
  mutable PkeyHandle key_;
};

Result<PublicKey> PublicKey::FromSpki(ByteView der) {
  if (der.size() > kMaxSpkiBytes)
    return Fail(Code::kInvalidArgument, kKeyMalformed, "public key larger than 4 KiB");
  auto state = std::make_shared<State>();
  state->spki = ToBytes(der);
  if (HasPrefix(der, kP256Prefix, kP256PointBytes)) {
    if (!IsP256Point(der.subspan(kP256Prefix.size())))
      return Fail(Code::kInvalidArgument, kKeyMalformed, "point is not on the curve P-256");
    state->key_bits_at = kP256Prefix.size();
    state->type = KeyType::kEcP256;
  } else {
    const std::uint8_t* cursor = der.data();
    const SpkiHandle spki(d2i_X509_PUBKEY(nullptr, &cursor, static_cast<long>(der.size())));
    EVP_PKEY* const key = spki == nullptr ? nullptr : X509_PUBKEY_get0(spki.get());
    if (key == nullptr) return Fail(Code::kInvalidArgument, kKeyMalformed, TakeOpenSslError());
    Bytes again(der.size());
    std::uint8_t* out = again.data();
    const int size = i2d_X509_PUBKEY(spki.get(), nullptr);
    if (cursor != der.data() + der.size() || size != static_cast<int>(der.size()) ||
        i2d_X509_PUBKEY(spki.get(), &out) != size || !Equal(again, der)) {
      ERR_clear_error();
      return Fail(Code::kInvalidArgument, kKeyMalformed,
                  "SubjectPublicKeyInfo is not DER, or bytes follow it");
    }
    const unsigned char* bits = nullptr;
    int bits_size = 0;
    CHECK_TRUE(X509_PUBKEY_get0_param(nullptr, &bits, &bits_size, nullptr, spki.get()) == 1);
    CHECK_TRUE(EVP_PKEY_up_ref(key) == 1);
    state->SetKey(PkeyHandle(key));
    state->key_bits_at = der.size() - static_cast<std::size_t>(bits_size);
    state->type = TypeOf(key, der);
  }
  PublicKey result;
  result.state_ = std::move(state);
  return result;
}

Result<PublicKey> PublicKey::FromHandle(EVP_PKEY* key) {
  if (key == nullptr) return Fail(Code::kInvalidArgument, kKeyMalformed, "no key");
  std::array<std::uint8_t, kP256PointBytes> point;
  std::size_t point_size = 0;
  char group[32] = {};
  int spelt_out = 1;  // explicit curve parameters are not to pass for the named curve
  if (EVP_PKEY_get_base_id(key) == EVP_PKEY_EC &&
      EVP_PKEY_get_int_param(key, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS, &spelt_out) ==
          1 &&
      spelt_out == 0 && EVP_PKEY_get_group_name(key, group, sizeof(group), nullptr) == 1 &&
      std::string_view(group) == SN_X9_62_prime256v1 &&
      EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size(),
                                      &point_size) == 1 &&
      point_size == point.size() && point[0] == kUncompressed) {
    Bytes spki(kP256Prefix.begin(), kP256Prefix.end());
    spki.insert(spki.end(), point.begin(), point.end());
    return FromSpki(spki);
  }
  ERR_clear_error();
  std::uint8_t* der = nullptr;
  const int size = i2d_PUBKEY(key, &der);
  if (size <= 0) return Fail(Code::kInvalidArgument, kKeyMalformed, TakeOpenSslError());
  auto result = FromSpki({der, static_cast<std::size_t>(size)});
  OPENSSL_free(der);
  return result;
}

ByteView PublicKey::spki() const { return state_ == nullptr ? ByteView() : ByteView(state_->spki); }

Bytes PublicKey::SubjectKeyId() const {
  CHECK_TRUE(state_ != nullptr);
  return ToBytes(Sha1(state_->KeyBits()));
}

bool PublicKey::HasType(KeyType type) const { return state_ != nullptr && state_->type == type; }

Result<KeyType> PublicKey::Type() const {
  if (state_ == nullptr || !state_->type) {
    return Fail(
        Code::kInvalidArgument, kKeyTypeRefused,
        "the key is none of ec-p256, ec-p384, rsa-2048, rsa-4096 (RSA exponent at least 65537)");
  }
  return *state_->type;
}

Status PublicKey::Verify(SignatureAlgorithm algorithm, ByteView message, ByteView signature) const {
  CHECK_TRUE(state_ != nullptr);
  if (state_->type == KeyType::kEcP256 && algorithm == SignatureAlgorithm::kEcdsaSha256) {
    if (VerifyP256(state_->KeyBits(), message, signature)) return {};
    return Fail(Code::kInvalidArgument, kSignatureInvalid);
  }
  const AlgorithmFacts facts = FactsOf(algorithm);
  if (EVP_PKEY_get_base_id(state_->Key()) != facts.key_id) {
    return Fail(Code::kInvalidArgument, kSignatureInvalid,
                "the signature algorithm does not fit the key");
  }
  const DigestContextHandle context(EVP_MD_CTX_new());
  CHECK_TRUE(context != nullptr);
  EVP_PKEY_CTX* key_context = nullptr;  // owned by the digest context
  const bool verified = EVP_DigestVerifyInit(context.get(), &key_context, facts.digest, nullptr,
                                             state_->Key()) == 1 &&
                        SetPadding(key_context, facts) &&
                        EVP_DigestVerify(context.get(), signature.data(), signature.size(),
                                         message.data(), message.size()) == 1;
  if (verified) return {};
  ERR_clear_error();
  return Fail(Code::kInvalidArgument, kSignatureInvalid);
}

bool PublicKey::operator==(const PublicKey& other) const { return Equal(spki(), other.spki()); }

EVP_PKEY* PublicKey::handle() const {
  CHECK_TRUE(state_ != nullptr);
  return state_->Key();
}

struct PrivateKey::State {
  PkeyHandle key;
  PublicKey public_key;
  // The context for the algorithm this key usually signs with, ready to be copied; null for keys
  // that are none of KeyType.
  SignatureAlgorithm usual = SignatureAlgorithm::kEcdsaSha256;
  DigestContextHandle usual_context;
  std::optional<P256Signer> p256;

  static Result<std::shared_ptr<const State>> Make(PkeyHandle key) {
    auto state = std::make_shared<State>();
    SIGNET_TRY(state->public_key, PublicKey::FromHandle(key.get()));
    if (const auto type = state->public_key.Type()) {
      state->usual = CertificateAlgorithm(*type);
      state->usual_context = NewSigningContext(key.get(), state->usual);
      if (state->usual_context == nullptr)
        return Fail(Code::kInternal, kKeyMalformed, "the key cannot sign");
    }
    if (state->public_key.HasType(KeyType::kEcP256)) state->p256.emplace(key.get());
    state->key = std::move(key);
    return state;
  }
};

Result<PrivateKey> PrivateKey::Generate(KeyType type) {
  EVP_PKEY* made = nullptr;
  switch (type) {
    case KeyType::kEcP256:
      made = EVP_EC_gen("P-256");
      break;
    case KeyType::kEcP384:
      made = EVP_EC_gen("P-384");
      break;
    case KeyType::kRsa2048:
      made = EVP_RSA_gen(2048);
      break;
    case KeyType::kRsa4096:
      made = EVP_RSA_gen(4096);
      break;
  }
  if (made == nullptr)
    return Fail(Code::kInternal, kKeyMalformed, "key generation failed: " + TakeOpenSslError());
  PrivateKey key;
  SIGNET_TRY(key.state_, State::Make(PkeyHandle(made)));
  return key;
}

Result<PrivateKey> PrivateKey::FromPkcs8(ByteView der) {
  if (der.size() > kMaxPkcs8Bytes)
    return Fail(Code::kInvalidArgument, kKeyMalformed, "private key larger than 16 KiB");
  const std::uint8_t* cursor = der.data();
  const Pkcs8Handle pkcs8(d2i_PKCS8_PRIV_KEY_INFO(nullptr, &cursor, static_cast<long>(der.size())));
  if (pkcs8 == nullptr || cursor != der.data() + der.size()) {
    ERR_clear_error();
    return Fail(Code::kInvalidArgument, kKeyMalformed, "not one PKCS#8 PrivateKeyInfo in DER");
  }
  PkeyHandle made(EVP_PKCS82PKEY(pkcs8.get()));
  if (made == nullptr) {
    ERR_clear_error();
    return Fail(Code::kInvalidArgument, kKeyMalformed,
                "the private key inside PKCS#8 is malformed");
  }
  // An EC key carries its public point beside the scalar, and the two may disagree.
  if (EVP_PKEY_get_base_id(made.get()) == EVP_PKEY_EC) {
    const PkeyContextHandle check(EVP_PKEY_CTX_new(made.get(), nullptr));
    if (check == nullptr || EVP_PKEY_pairwise_check(check.get()) != 1) {
      ERR_clear_error();
      return Fail(Code::kInvalidArgument, kKeyMalformed,
                  "the public half is not that of the private key");
    }
  }
  PrivateKey key;
  SIGNET_TRY(key.state_, State::Make(std::move(made)));
  return key;
}

const PublicKey& PrivateKey::public_key() const {
  CHECK_TRUE(state_ != nullptr);
  return state_->public_key;
}

Result<Bytes> PrivateKey::Sign(SignatureAlgorithm algorithm, ByteView message) const {
  CHECK_TRUE(state_ != nullptr);
  if (state_->p256 && algorithm == SignatureAlgorithm::kEcdsaSha256) {
    auto signature = state_->p256->Sign(message);
    if (!signature) return Fail(Code::kInternal, kSigningFailed, TakeOpenSslError());
    return std::move(*signature);
  }
  DigestContextHandle context;
  if (algorithm == state_->usual && state_->usual_context != nullptr) {
    context.reset(EVP_MD_CTX_new());
    CHECK_TRUE(context != nullptr &&
               EVP_MD_CTX_copy_ex(context.get(), state_->usual_context.get()) == 1);
  } else {
    context = NewSigningContext(state_->key.get(), algorithm);
    if (context == nullptr) {
      return Fail(Code::kInvalidArgument, kSigningFailed,
                  "the signature algorithm does not fit the key");
    }
  }
  Bytes signature(static_cast<std::size_t>(EVP_PKEY_get_size(state_->key.get())));
  std::size_t size = signature.size();
  if (EVP_DigestSign(context.get(), signature.data(), &size, message.data(), message.size()) != 1) {
    return Fail(Code::kInternal, kSigningFailed, TakeOpenSslError());
  }
  signature.resize(size);
  return signature;
}

SecretBytes PrivateKey::ToPkcs8() const {
  CHECK_TRUE(state_ != nullptr);
  const Pkcs8Handle pkcs8(EVP_PKEY2PKCS8(state_->key.get()));
  CHECK_TRUE(pkcs8 != nullptr);
  const int size = i2d_PKCS8_PRIV_KEY_INFO(pkcs8.get(), nullptr);
  CHECK_TRUE(size > 0);
  SecretBytes der(static_cast<std::size_t>(size));
  std::uint8_t* out = der.mutable_view().data();
  CHECK_TRUE(i2d_PKCS8_PRIV_KEY_INFO(pkcs8.get(), &out) == size);
  return der;
}

EVP_PKEY* PrivateKey::handle() const {
  CHECK_TRUE(state_ != nullptr);
  return state_->key.get();
}

}  // namespace signet::ca
