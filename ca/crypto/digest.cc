#include "ca/crypto/digest.h"

#include <openssl/evp.h>
#include <openssl/rand.h>

#include "base/check.h"
#include "ca/crypto/handle.h"

namespace signet::ca {
namespace {

constexpr std::size_t kNonceBytes = 12;
constexpr std::size_t kTagBytes = 16;
constexpr std::size_t kSealKeyBytes = 32;
constexpr std::size_t kMaxSealedBytes = std::size_t{1} << 30;

EVP_MD_CTX* ContextOf(void* context) { return static_cast<EVP_MD_CTX*>(context); }

Status CheckSealInputs(const SecretBytes& key, std::size_t size, ByteView associated) {
  if (key.size() != kSealKeyBytes)
    return Fail(Code::kInternal, kSealBroken, "the sealing key must have 32 bytes");
  if (size > kMaxSealedBytes || associated.size() > kMaxSealedBytes) {
    return Fail(Code::kInvalidArgument, kSealBroken, "larger than 1 GiB");
  }
  return {};
}

}  // namespace

Sha256Digest Sha256(ByteView bytes) {
  // Found once and used again: EVP_sha256() would be looked up for each digest.
  static EVP_MD* const sha256 = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  static thread_local const DigestContextHandle context(EVP_MD_CTX_new());
  CHECK_TRUE(sha256 != nullptr && context != nullptr);
  Sha256Digest digest{};
  CHECK_TRUE(EVP_DigestInit_ex2(context.get(), sha256, nullptr) == 1 &&
             EVP_DigestUpdate(context.get(), bytes.data(), bytes.size()) == 1 &&
             EVP_DigestFinal_ex(context.get(), digest.data(), nullptr) == 1);
  return digest;
}

Sha1Digest Sha1(ByteView bytes) {
  static EVP_MD* const sha1 = EVP_MD_fetch(nullptr, "SHA1", nullptr);
  static thread_local const DigestContextHandle context(EVP_MD_CTX_new());
  CHECK_TRUE(sha1 != nullptr && context != nullptr);
  Sha1Digest digest{};
  CHECK_TRUE(EVP_DigestInit_ex2(context.get(), sha1, nullptr) == 1 &&
             EVP_DigestUpdate(context.get(), bytes.data(), bytes.size()) == 1 &&
             EVP_DigestFinal_ex(context.get(), digest.data(), nullptr) == 1);
  return digest;
}

Sha256Hasher::Sha256Hasher() : context_(EVP_MD_CTX_new()) {
  CHECK_TRUE(context_ != nullptr);
  CHECK_TRUE(EVP_DigestInit_ex(ContextOf(context_), EVP_sha256(), nullptr) == 1);
}

Sha256Hasher::~Sha256Hasher() { EVP_MD_CTX_free(ContextOf(context_)); }

Sha256Hasher::Sha256Hasher(Sha256Hasher&& other) noexcept
    : context_(std::exchange(other.context_, nullptr)) {}

void Sha256Hasher::Update(ByteView bytes) {
  CHECK_TRUE(EVP_DigestUpdate(ContextOf(context_), bytes.data(), bytes.size()) == 1);
}

Sha256Digest Sha256Hasher::Finish() {
  Sha256Digest digest{};
  CHECK_TRUE(EVP_DigestFinal_ex(ContextOf(context_), digest.data(), nullptr) == 1);
  return digest;
}

Result<Bytes> Seal(const SecretBytes& key, ByteView plaintext, ByteView associated) {
  SIGNET_RETURN_IF_ERROR(CheckSealInputs(key, plaintext.size(), associated));
  Bytes sealed(kNonceBytes + plaintext.size() + kTagBytes);
  std::uint8_t* const ciphertext = sealed.data() + kNonceBytes;
  const CipherContextHandle context(EVP_CIPHER_CTX_new());
  int written = 0;
  const bool done =
      context != nullptr && RAND_bytes(sealed.data(), kNonceBytes) == 1 &&
      EVP_EncryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, key.view().data(),
                         sealed.data()) == 1 &&
      EVP_EncryptUpdate(context.get(), nullptr, &written, associated.data(),
                        static_cast<int>(associated.size())) == 1 &&
      EVP_EncryptUpdate(context.get(), ciphertext, &written, plaintext.data(),
                        static_cast<int>(plaintext.size())) == 1 &&
      EVP_EncryptFinal_ex(context.get(), ciphertext + plaintext.size(), &written) == 1 &&
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, kTagBytes,
                          ciphertext + plaintext.size()) == 1;
  if (!done) return Fail(Code::kInternal, kSealBroken, "sealing failed: " + TakeOpenSslError());
  return sealed;
}

Result<SecretBytes> Open(const SecretBytes& key, ByteView sealed, ByteView associated) {
  SIGNET_RETURN_IF_ERROR(CheckSealInputs(key, sealed.size(), associated));
  if (sealed.size() < kNonceBytes + kTagBytes)
    return Fail(Code::kDataLoss, kSealBroken, "shorter than any sealed data");
  const std::size_t size = sealed.size() - kNonceBytes - kTagBytes;
  const std::uint8_t* const ciphertext = sealed.data() + kNonceBytes;
  Bytes tag(ciphertext + size, ciphertext + size + kTagBytes);
  SecretBytes plaintext(size);
  std::uint8_t final_block[16];  // GCM writes nothing here, but wants a place
  const CipherContextHandle context(EVP_CIPHER_CTX_new());
  int written = 0;
  const bool done =
      context != nullptr &&
      EVP_DecryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, key.view().data(),
                         sealed.data()) == 1 &&
      EVP_DecryptUpdate(context.get(), nullptr, &written, associated.data(),
                        static_cast<int>(associated.size())) == 1 &&
      EVP_DecryptUpdate(context.get(), plaintext.mutable_view().data(), &written, ciphertext,
                        static_cast<int>(size)) == 1 &&
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_SET_TAG, kTagBytes, tag.data()) == 1 &&
      EVP_DecryptFinal_ex(context.get(), final_block, &written) == 1;
  if (!done) {
    ERR_clear_error();
    return Fail(Code::kDataLoss, kSealBroken,
                "changed, sealed under another key, or for another purpose");
  }
  return plaintext;
}

}  // namespace signet::ca
