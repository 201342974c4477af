#include "ca/jose/jws.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>

#include <array>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "base/log.h"
#include "ca/crypto/handle.h"
#include "ca/jose/strict_json.h"

namespace signet::ca {
namespace {

using EcdsaSignatureHandle = Handle<ECDSA_SIG, ECDSA_SIG_free>;

constexpr int kMinRsaBits = 2048;
constexpr int kMaxRsaBits = 8192;  // a larger one costs more than a token is worth
constexpr int kMaxRsaExponentBits = 33;

struct AlgorithmRow {
  JwsAlgorithm algorithm;
  std::string_view name;
  SignatureAlgorithm signature;
  const char* group;       // OpenSSL's name of the curve; null: RSA
  std::size_t half_bytes;  // width of r and of s; 0: RSA
};

// In the order of the enum.
constexpr std::array<AlgorithmRow, 9> kAlgorithms = {{
    {JwsAlgorithm::kRs256, "RS256", SignatureAlgorithm::kRsaPkcs1Sha256, nullptr, 0},
    {JwsAlgorithm::kRs384, "RS384", SignatureAlgorithm::kRsaPkcs1Sha384, nullptr, 0},
    {JwsAlgorithm::kRs512, "RS512", SignatureAlgorithm::kRsaPkcs1Sha512, nullptr, 0},
    {JwsAlgorithm::kEs256, "ES256", SignatureAlgorithm::kEcdsaSha256, SN_X9_62_prime256v1, 32},
    {JwsAlgorithm::kEs384, "ES384", SignatureAlgorithm::kEcdsaSha384, SN_secp384r1, 48},
    {JwsAlgorithm::kEs512, "ES512", SignatureAlgorithm::kEcdsaSha512, SN_secp521r1, 66},
    {JwsAlgorithm::kPs256, "PS256", SignatureAlgorithm::kRsaPssSha256, nullptr, 0},
    {JwsAlgorithm::kPs384, "PS384", SignatureAlgorithm::kRsaPssSha384, nullptr, 0},
    {JwsAlgorithm::kPs512, "PS512", SignatureAlgorithm::kRsaPssSha512, nullptr, 0},
}};

const AlgorithmRow& RowOf(JwsAlgorithm algorithm) {
  const AlgorithmRow& row = kAlgorithms.at(static_cast<std::size_t>(algorithm));
  CHECK_TRUE(row.algorithm == algorithm);
  return row;
}

tl::unexpected<Error> Refuse(Reason reason, std::string detail) {
  return Fail(Code::kInvalidArgument, reason, std::move(detail));
}

bool IsAllowedRsaKey(const EVP_PKEY* key) {
  BIGNUM* exponent = nullptr;
  if (EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &exponent) != 1) {
    ERR_clear_error();
    return false;
  }
  const BignumHandle owned(exponent);
  const int bits = EVP_PKEY_get_bits(key);
  const int exponent_bits = BN_num_bits(exponent);
  return bits >= kMinRsaBits && bits <= kMaxRsaBits && BN_is_odd(exponent) && exponent_bits >= 2 &&
         exponent_bits <= kMaxRsaExponentBits;
}

// Named, not spelt out (RFC 5480, 2.1.1), though OpenSSL recognises curves that are.
bool IsOnCurve(const EVP_PKEY* key, std::string_view group) {
  std::array<char, 64> name{};
  int spelt_out = 0;
  if (EVP_PKEY_get_group_name(key, name.data(), name.size(), nullptr) != 1 ||
      EVP_PKEY_get_int_param(key, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS, &spelt_out) !=
          1) {
    ERR_clear_error();
    return false;
  }
  return spelt_out == 0 && group == name.data();
}

// RFC 7518, 3.4: r || s, each of the curve's full width, to the DER that OpenSSL reads.
Result<Bytes> EcdsaToDer(ByteView jose, std::size_t half_bytes) {
  if (jose.size() != 2 * half_bytes) {
    return Refuse(kSignatureInvalid, "ECDSA signature of " + std::to_string(jose.size()) +
                                         " bytes, must be " + std::to_string(2 * half_bytes));
  }
  const int width = static_cast<int>(half_bytes);
  BignumHandle r(BN_bin2bn(jose.data(), width, nullptr));
  BignumHandle s(BN_bin2bn(jose.data() + half_bytes, width, nullptr));
  const EcdsaSignatureHandle signature(ECDSA_SIG_new());
  CHECK_TRUE(r != nullptr && s != nullptr && signature != nullptr);
  CHECK_TRUE(ECDSA_SIG_set0(signature.get(), r.release(), s.release()) == 1);
  const int size = i2d_ECDSA_SIG(signature.get(), nullptr);
  CHECK_TRUE(size > 0);
  Bytes der(static_cast<std::size_t>(size));
  std::uint8_t* out = der.data();
  CHECK_TRUE(i2d_ECDSA_SIG(signature.get(), &out) == size);
  return der;
}

// The inverse.
Result<Bytes> EcdsaFromDer(ByteView der, std::size_t half_bytes) {
  const std::uint8_t* cursor = der.data();
  const EcdsaSignatureHandle signature(
      d2i_ECDSA_SIG(nullptr, &cursor, static_cast<long>(der.size())));
  Bytes jose(2 * half_bytes);
  const int width = static_cast<int>(half_bytes);
  if (signature == nullptr ||
      BN_bn2binpad(ECDSA_SIG_get0_r(signature.get()), jose.data(), width) != width ||
      BN_bn2binpad(ECDSA_SIG_get0_s(signature.get()), jose.data() + half_bytes, width) != width) {
    return Fail(Code::kInternal, kSigningFailed,
                "the signer's ECDSA signature is unreadable: " + TakeOpenSslError());
  }
  return jose;
}

// A member that must be a text where it stands at all.
Result<std::optional<std::string>> FindText(const nlohmann::json& header, const char* name,
                                            Reason reason) {
  const auto member = header.find(name);
  if (member == header.end()) return std::optional<std::string>();
  if (!member->is_string()) return Refuse(reason, std::string("header '") + name + "' is no text");
  return std::optional<std::string>(member->get<std::string>());
}

Result<JwsHeader> ReadHeader(std::string_view text) {
  const auto parsed = ParseStrictJson(text, kMaxJwsBytes);
  if (!parsed) return Refuse(kJwsMalformed, "header: " + parsed.error().detail);
  const nlohmann::json& members = *parsed;
  if (!members.is_object()) return Refuse(kJwsMalformed, "the header is no JSON object");

  JwsHeader header;
  SIGNET_TRY(const auto name, FindText(members, "alg", kJwsAlgorithmRefused));
  if (!name) return Refuse(kJwsAlgorithmRefused, "header 'alg' is missing");
  SIGNET_TRY(header.algorithm, ParseJwsAlgorithm(*name));
  SIGNET_TRY(header.type, FindText(members, "typ", kJwsTypeRefused));
  if (header.type && *header.type != "JWT" && *header.type != "JOSE")
    return Refuse(kJwsTypeRefused,
                  "'" + EscapeForLog(*header.type, 64) + "' is neither JWT nor JOSE");
  if (members.contains("crit")) return Refuse(kJwsCriticalRefused, "header 'crit' is present");
  SIGNET_TRY(header.key_id, FindText(members, "kid", kJwsMalformed));
  for (const auto& member : members.items()) {
    if (member.key() != "alg" && member.key() != "typ" && member.key() != "kid")
      header.others.push_back(member.key());
  }
  return header;
}

}  // namespace

std::string_view JwsAlgorithmName(JwsAlgorithm algorithm) { return RowOf(algorithm).name; }

Result<JwsAlgorithm> ParseJwsAlgorithm(std::string_view name) {
  for (const AlgorithmRow& row : kAlgorithms)
    if (row.name == name) return row.algorithm;
  return Refuse(kJwsAlgorithmRefused,
                "'" + EscapeForLog(name, 64) + "' is none of RS, ES, PS with 256, 384 or 512");
}

JwsAlgorithm JwsAlgorithmOf(KeyType type) {
  switch (type) {
    case KeyType::kEcP256:
      return JwsAlgorithm::kEs256;
    case KeyType::kEcP384:
      return JwsAlgorithm::kEs384;
    case KeyType::kRsa2048:
    case KeyType::kRsa4096:
      return JwsAlgorithm::kRs256;
  }
  return JwsAlgorithm::kEs256;
}

Result<Jws> ParseCompactJws(std::string_view text, std::size_t limit) {
  if (text.size() > limit) {
    return Refuse(kJwsTooLong, std::to_string(text.size()) + " bytes, at most " +
                                   std::to_string(limit) + " are read");
  }
  const std::size_t first = text.find('.');
  const std::size_t second = first == text.npos ? text.npos : text.find('.', first + 1);
  if (second == text.npos || text.find('.', second + 1) != text.npos)
    return Refuse(kJwsMalformed, "not three parts with a dot between them");

  const auto header = DecodeBase64Url(text.substr(0, first));
  if (!header) return Refuse(kJwsMalformed, "the header is not base64url");
  Jws jws;
  SIGNET_TRY(jws.header, ReadHeader(AsText(*header)));
  auto payload = DecodeBase64Url(text.substr(first + 1, second - first - 1));
  if (!payload) return Refuse(kJwsMalformed, "the payload is not base64url");
  auto signature = DecodeBase64Url(text.substr(second + 1));
  if (!signature) return Refuse(kJwsMalformed, "the signature is not base64url");
  jws.signing_input = text.substr(0, second);
  jws.payload = std::move(*payload);
  jws.signature = std::move(*signature);
  return jws;
}

Status CheckKeyFits(JwsAlgorithm algorithm, const PublicKey& key) {
  const AlgorithmRow& row = RowOf(algorithm);
  const EVP_PKEY* handle = key.handle();
  const int kind = EVP_PKEY_get_base_id(handle);
  const bool fits = row.group == nullptr ? kind == EVP_PKEY_RSA && IsAllowedRsaKey(handle)
                                         : kind == EVP_PKEY_EC && IsOnCurve(handle, row.group);
  if (fits) return {};
  return Refuse(kJwsKeyUnfit, std::string(row.name) + " does not go with this key");
}

Status VerifyJws(const Jws& jws, const PublicKey& key) {
  SIGNET_RETURN_IF_ERROR(CheckKeyFits(jws.header.algorithm, key));
  const AlgorithmRow& row = RowOf(jws.header.algorithm);
  const ByteView message = AsBytes(jws.signing_input);
  if (row.group == nullptr) return key.Verify(row.signature, message, jws.signature);
  SIGNET_TRY(const Bytes der, EcdsaToDer(jws.signature, row.half_bytes));
  return key.Verify(row.signature, message, der);
}

Result<std::string> SignCompactJws(const Signer& signer, JwsAlgorithm algorithm,
                                   std::string_view key_id, std::string_view payload) {
  SIGNET_RETURN_IF_ERROR(CheckKeyFits(algorithm, signer.public_key()));
  const AlgorithmRow& row = RowOf(algorithm);
  const nlohmann::json header = {{"alg", row.name}, {"kid", key_id}, {"typ", "JWT"}};
  std::string token = EncodeBase64Url(AsBytes(
                          header.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace))) +
                      "." + EncodeBase64Url(AsBytes(payload));
  SIGNET_TRY(Bytes signature, signer.Sign(row.signature, AsBytes(token)));
  if (row.group != nullptr) {
    SIGNET_TRY(signature, EcdsaFromDer(signature, row.half_bytes));
  }
  return token + "." + EncodeBase64Url(signature);
}

}  // namespace signet::ca
