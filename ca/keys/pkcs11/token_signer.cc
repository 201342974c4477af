#include "ca/keys/pkcs11/token_signer.h"

#include <openssl/evp.h>

#include <string_view>
#include <utility>

#include "base/check.h"
#include "ca/keys/pkcs11/token_objects.h"
#include "ca/x509/der.h"
#include "ca/x509/der_writer.h"

namespace signet::ca {
namespace {

using namespace std::string_view_literals;

constexpr std::size_t kMaxSignatureBytes = 1024;

struct Method {
  bool rsa;
  const EVP_MD* digest;            // null: not done here
  std::string_view digest_prefix;  // of a DigestInfo (RFC 8017, 9.2 note 1)
};

Method MethodOf(SignatureAlgorithm algorithm) {
  switch (algorithm) {
    case SignatureAlgorithm::kEcdsaSha256:
      return {false, EVP_sha256(), {}};
    case SignatureAlgorithm::kEcdsaSha384:
      return {false, EVP_sha384(), {}};
    case SignatureAlgorithm::kEcdsaSha512:
      return {false, EVP_sha512(), {}};
    case SignatureAlgorithm::kRsaPkcs1Sha256:
      return {true, EVP_sha256(),
              "\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20"sv};
    case SignatureAlgorithm::kRsaPkcs1Sha384:
      return {true, EVP_sha384(),
              "\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x30"sv};
    case SignatureAlgorithm::kRsaPkcs1Sha512:
      return {true, EVP_sha512(),
              "\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40"sv};
    case SignatureAlgorithm::kRsaPssSha256:
    case SignatureAlgorithm::kRsaPssSha384:
    case SignatureAlgorithm::kRsaPssSha512:
    case SignatureAlgorithm::kEd25519:
      break;
  }
  return {false, nullptr, {}};
}

// Tokens answer r || s; certificates hold SEQUENCE {r, s} (RFC 3279, 2.2.3).
Bytes DerOfRaw(ByteView raw) {
  DerWriter writer;
  const std::size_t sequence = writer.Begin(kDerSequence);
  writer.UnsignedInteger(raw.first(raw.size() / 2));
  writer.UnsignedInteger(raw.subspan(raw.size() / 2));
  writer.End(sequence);
  return writer.Take();
}

}  // namespace

TokenSigner::TokenSigner(std::shared_ptr<Token> token, Bytes id, PublicKey public_key)
    : token_(std::move(token)), id_(std::move(id)), public_key_(std::move(public_key)) {}

TokenSigner::~TokenSigner() {
  if (!doomed_) return;
  // What stays because the token is away is found when the store is opened again.
  static_cast<void>(token_->Run("destroying a replaced key", [&](const Token::Session& session) {
    return DestroyPair(session, id_);
  }));
}

TokenResult TokenSigner::SignIn(const Token::Session& session, CK_MECHANISM mechanism,
                                ByteView input, Bytes* signature) const {
  CK_OBJECT_HANDLE key = 0;
  TokenResult result = FindPrivateKey(session, id_, &key);
  if (result != CKR_OK) return result;
  if (key == 0) return CKR_OBJECT_HANDLE_INVALID;
  result = session.api->C_SignInit(session.handle, &mechanism, key);
  if (result != CKR_OK) return result;
  signature->assign(kMaxSignatureBytes, 0);
  CK_ULONG size = signature->size();
  auto* const data = const_cast<std::uint8_t*>(input.data());
  result = session.api->C_Sign(session.handle, data, input.size(), signature->data(), &size);
  signature->resize(result == CKR_OK ? size : 0);
  return result;
}

Result<Bytes> TokenSigner::Sign(SignatureAlgorithm algorithm, ByteView message) const {
  const Method method = MethodOf(algorithm);
  const bool rsa_key =
      public_key_.HasType(KeyType::kRsa2048) || public_key_.HasType(KeyType::kRsa4096);
  if (method.digest == nullptr || method.rsa != rsa_key) {
    return Fail(Code::kInvalidArgument, kSigningFailed,
                "the signature algorithm does not fit the key");
  }
  Bytes input = ToBytes(AsBytes(method.digest_prefix));
  std::uint8_t digest[EVP_MAX_MD_SIZE];
  unsigned digest_size = 0;
  CHECK_TRUE(EVP_Digest(message.data(), message.size(), digest, &digest_size, method.digest,
                        nullptr) == 1);
  input.insert(input.end(), digest, digest + digest_size);
  Bytes signature;
  const CK_MECHANISM mechanism{
      static_cast<CK_MECHANISM_TYPE>(method.rsa ? CKM_RSA_PKCS : CKM_ECDSA), nullptr, 0};
  const Status signed_by_token = token_->Run("signing", [&](const Token::Session& session) {
    return SignIn(session, mechanism, input, &signature);
  });
  if (!signed_by_token) {
    return Fail(Code::kUnavailable, kSigningFailed, signed_by_token.error().Message());
  }
  if (method.rsa) return signature;
  if (signature.empty() || signature.size() % 2 != 0)
    return Fail(Code::kInternal, kSigningFailed, "the token's signature has an odd length");
  return DerOfRaw(signature);
}

}  // namespace signet::ca
