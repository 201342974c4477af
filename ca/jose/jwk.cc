#include "ca/jose/jwk.h"

#include <fmt/format.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>

#include <algorithm>
#include <array>

#include "ca/crypto/handle.h"

namespace signet::ca {
namespace {

using ParamBuilderHandle = Handle<OSSL_PARAM_BLD, OSSL_PARAM_BLD_free>;
using ParamsHandle = Handle<OSSL_PARAM, OSSL_PARAM_free>;

constexpr int kMinRsaBits = 2048;
constexpr int kMaxRsaBits = 8192;
constexpr int kMaxRsaExponentBits = 33;

struct EcCurve {
  std::string_view crv;
  const char* group;
  std::size_t width;  // octets of a coordinate
};
constexpr std::array kEcCurves{EcCurve{"P-256", SN_X9_62_prime256v1, 32},
                               EcCurve{"P-384", SN_secp384r1, 48},
                               EcCurve{"P-521", SN_secp521r1, 66}};

struct OkpCurve {
  std::string_view crv;
  int type;
};
constexpr std::array kOkpCurves{OkpCurve{"Ed25519", EVP_PKEY_ED25519},
                                OkpCurve{"Ed448", EVP_PKEY_ED448}};

tl::unexpected<Error> Malformed(std::string what) {
  ERR_clear_error();
  return Fail(Code::kInvalidArgument, kJwkMalformed, std::move(what));
}
tl::unexpected<Error> Unsupported(std::string what) {
  ERR_clear_error();
  return Fail(Code::kInvalidArgument, kJwkUnsupported, std::move(what));
}

Result<PublicKey> MakeKey(const char* type, OSSL_PARAM_BLD* builder) {
  const ParamsHandle params(OSSL_PARAM_BLD_to_param(builder));
  const PkeyContextHandle context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* key = nullptr;
  if (params == nullptr || context == nullptr || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, params.get()) != 1)
    return Malformed("the key's numbers make no key");
  const PkeyHandle owned(key);
  return PublicKey::FromHandle(key);
}

Result<PublicKey> ReadEc(const PublicJwk& jwk) {
  const auto* curve = std::ranges::find(kEcCurves, jwk.crv, &EcCurve::crv);
  if (curve == kEcCurves.end()) return Unsupported("crv is not P-256, P-384 or P-521");
  const auto x = DecodeBase64Url(jwk.x);
  const auto y = DecodeBase64Url(jwk.y);
  // RFC 7518, 6.2.1.2: coordinates have the full width.
  if (!x || !y || x->size() != curve->width || y->size() != curve->width)
    return Malformed(fmt::format("x and y must be base64url of {} octets each", curve->width));
  Bytes point{4};  // SEC 1, 2.3.3: uncompressed; fromdata checks that it lies on the curve
  point.insert(point.end(), x->begin(), x->end());
  point.insert(point.end(), y->begin(), y->end());
  const ParamBuilderHandle builder(OSSL_PARAM_BLD_new());
  if (builder == nullptr ||
      OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, curve->group, 0) !=
          1 ||
      OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(),
                                       point.size()) != 1)
    return Malformed(TakeOpenSslError());
  return MakeKey("EC", builder.get());
}

Result<PublicKey> ReadRsa(const PublicJwk& jwk) {
  const auto modulus = DecodeBase64Url(jwk.n);
  const auto exponent = DecodeBase64Url(jwk.e);
  if (!modulus || !exponent || modulus->size() > kMaxRsaBits / 8 + 1 || exponent->size() > 8)
    return Malformed("n and e must be base64url of a number");
  const BignumHandle n(BN_bin2bn(modulus->data(), static_cast<int>(modulus->size()), nullptr));
  const BignumHandle e(BN_bin2bn(exponent->data(), static_cast<int>(exponent->size()), nullptr));
  if (n == nullptr || e == nullptr) return Malformed(TakeOpenSslError());
  const int bits = BN_num_bits(n.get());
  if (bits < kMinRsaBits || bits > kMaxRsaBits || BN_is_odd(n.get()) == 0)
    return Malformed(fmt::format("an RSA modulus of {} bits", bits));
  if (BN_is_odd(e.get()) == 0 || BN_is_one(e.get()) == 1 ||
      BN_num_bits(e.get()) > kMaxRsaExponentBits)
    return Malformed("an RSA exponent out of range");
  const ParamBuilderHandle builder(OSSL_PARAM_BLD_new());
  if (builder == nullptr ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, n.get()) != 1 ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, e.get()) != 1)
    return Malformed(TakeOpenSslError());
  return MakeKey("RSA", builder.get());
}

Result<PublicKey> ReadOkp(const PublicJwk& jwk) {
  const auto* curve = std::ranges::find(kOkpCurves, jwk.crv, &OkpCurve::crv);
  if (curve == kOkpCurves.end()) return Unsupported("crv is not Ed25519 or Ed448");
  const auto x = DecodeBase64Url(jwk.x);
  if (!x) return Malformed("x must be base64url");
  const PkeyHandle key(EVP_PKEY_new_raw_public_key(curve->type, nullptr, x->data(), x->size()));
  if (key == nullptr) return Malformed("x has the wrong length");
  return PublicKey::FromHandle(key.get());
}

// A number of `key`, in `width` octets; width 0: as few as it takes.
std::string Number(const EVP_PKEY* key, const char* name, std::size_t width) {
  BIGNUM* number = nullptr;
  if (EVP_PKEY_get_bn_param(key, name, &number) != 1) return {};
  const BignumHandle owned(number);
  Bytes octets(std::max(width, static_cast<std::size_t>(BN_num_bytes(number))));
  if (BN_bn2binpad(number, octets.data(), static_cast<int>(octets.size())) < 0) return {};
  return EncodeBase64Url(octets);
}

Result<PublicJwk> WriteEc(const EVP_PKEY* key) {
  std::array<char, 64> group{};
  if (EVP_PKEY_get_group_name(key, group.data(), group.size(), nullptr) != 1)
    return Unsupported("an EC key without a named curve");
  const auto* curve = std::ranges::find_if(
      kEcCurves, [&](const EcCurve& c) { return std::string_view(group.data()) == c.group; });
  if (curve == kEcCurves.end()) return Unsupported(fmt::format("EC curve {}", group.data()));
  return PublicJwk{.kty = "EC",
                   .crv = std::string(curve->crv),
                   .x = Number(key, OSSL_PKEY_PARAM_EC_PUB_X, curve->width),
                   .y = Number(key, OSSL_PKEY_PARAM_EC_PUB_Y, curve->width)};
}

Result<PublicJwk> WriteOkp(const EVP_PKEY* key, const OkpCurve& curve) {
  std::array<std::uint8_t, 64> raw{};
  std::size_t size = raw.size();
  if (EVP_PKEY_get_raw_public_key(key, raw.data(), &size) != 1)
    return Unsupported(TakeOpenSslError());
  PublicJwk jwk;
  jwk.kty = "OKP";
  jwk.crv = curve.crv;
  jwk.x = EncodeBase64Url(ByteView(raw).first(size));
  return jwk;
}

}  // namespace

Result<PublicKey> ReadPublicJwk(const PublicJwk& jwk) {
  if (jwk.kty == "EC") return ReadEc(jwk);
  if (jwk.kty == "RSA") return ReadRsa(jwk);
  if (jwk.kty == "OKP") return ReadOkp(jwk);
  return Unsupported("kty is not EC, RSA or OKP");
}

Result<PublicJwk> WritePublicJwk(const PublicKey& key) {
  const EVP_PKEY* handle = key.handle();
  const int type = EVP_PKEY_get_base_id(handle);
  if (type == EVP_PKEY_EC) return WriteEc(handle);
  if (type == EVP_PKEY_RSA || type == EVP_PKEY_RSA_PSS) {
    PublicJwk jwk;
    jwk.kty = "RSA";
    jwk.n = Number(handle, OSSL_PKEY_PARAM_RSA_N, 0);
    jwk.e = Number(handle, OSSL_PKEY_PARAM_RSA_E, 0);
    return jwk;
  }
  for (const OkpCurve& curve : kOkpCurves)
    if (type == curve.type) return WriteOkp(handle, curve);
  return Unsupported("the key's type has no JWK form here");
}

}  // namespace signet::ca
