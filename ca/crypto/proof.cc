#include "ca/crypto/proof.h"

#include <openssl/rsa.h>

#include "base/check.h"
#include "ca/crypto/handle.h"

namespace signet::ca {
namespace {

bool UseAnySalt(EVP_PKEY_CTX* context) {
  return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1 &&
         EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_AUTO) == 1;
}

}  // namespace

Status VerifyProof(const PublicKey& key, ProofAlgorithm algorithm, ByteView message,
                   ByteView signature) {
  if (FamilyOf(key) != KeyFamily::kRsa)
    return Fail(Code::kInvalidArgument, kSignatureInvalid,
                "the signature algorithm does not fit the key");
  const bool pss = algorithm == ProofAlgorithm::kRsaPssSha256AnySalt;
  const DigestContextHandle context(EVP_MD_CTX_new());
  CHECK_TRUE(context != nullptr);
  EVP_PKEY_CTX* key_context = nullptr;  // owned by the digest context
  const bool verified =
      EVP_DigestVerifyInit(context.get(), &key_context, pss ? EVP_sha256() : EVP_sha1(), nullptr,
                           key.handle()) == 1 &&
      (!pss || UseAnySalt(key_context)) &&
      EVP_DigestVerify(context.get(), signature.data(), signature.size(), message.data(),
                       message.size()) == 1;
  if (verified) return {};
  ERR_clear_error();
  return Fail(Code::kInvalidArgument, kSignatureInvalid);
}

KeyFamily FamilyOf(const PublicKey& key) {
  switch (EVP_PKEY_get_base_id(key.handle())) {
    case EVP_PKEY_RSA:
      return KeyFamily::kRsa;
    case EVP_PKEY_EC:
      return KeyFamily::kEc;
    case EVP_PKEY_ED25519:
      return KeyFamily::kEd25519;
    default:
      return KeyFamily::kOther;
  }
}

int BitsOf(const PublicKey& key) { return EVP_PKEY_get_bits(key.handle()); }

}  // namespace signet::ca
