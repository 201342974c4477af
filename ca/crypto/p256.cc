#include "ca/crypto/p256.h"

#include <openssl/ec.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "base/check.h"
#include "ca/crypto/digest.h"

namespace signet::ca {
namespace {

constexpr std::size_t kMaxSignatureBytes = 72;
constexpr std::size_t kKeptContexts = 64;

// A key that holds the P-256 parameters and no point: copying from it is 25 times faster than
// decoding a SubjectPublicKeyInfo. Never changed after it is made.
const EVP_PKEY* P256Parameters() {
  static EVP_PKEY* const parameters = [] {
    const PkeyContextHandle context(EVP_PKEY_CTX_new_id(EVP_PKEY_EC, nullptr));
    EVP_PKEY* made = nullptr;
    CHECK_TRUE(context != nullptr && EVP_PKEY_paramgen_init(context.get()) == 1 &&
               EVP_PKEY_CTX_set_ec_paramgen_curve_nid(context.get(), NID_X9_62_prime256v1) == 1 &&
               EVP_PKEY_paramgen(context.get(), &made) == 1);
    return made;
  }();
  return parameters;
}

PkeyHandle NewP256Key() {
  PkeyHandle key(EVP_PKEY_new());
  CHECK_TRUE(key != nullptr && EVP_PKEY_copy_parameters(key.get(), P256Parameters()) == 1);
  return key;
}

// One key of the thread whose point is exchanged, and a context that verifies with whatever point
// it holds.
class Verifier {
 public:
  // Another point takes the place of the one before; false when it is not on the curve (OpenSSL
  // checks it on the way in), and the key then holds none to rely on.
  bool Hold(ByteView point) {
    if (point.size() != kP256PointBytes) return false;
    if (held_ && std::equal(point.begin(), point.end(), point_.begin())) return true;
    held_ = EVP_PKEY_set1_encoded_public_key(key_.get(), point.data(), point.size()) == 1;
    if (!held_) {
      ERR_clear_error();
      return false;
    }
    std::copy(point.begin(), point.end(), point_.begin());
    if (context_ == nullptr) {
      context_.reset(EVP_PKEY_CTX_new(key_.get(), nullptr));
      CHECK_TRUE(context_ != nullptr && EVP_PKEY_verify_init(context_.get()) == 1);
    }
    return true;
  }

  bool Verify(const Sha256Digest& digest, ByteView signature) {
    const bool verified = EVP_PKEY_verify(context_.get(), signature.data(), signature.size(),
                                          digest.data(), digest.size()) == 1;
    if (!verified) ERR_clear_error();
    return verified;
  }

 private:
  const PkeyHandle key_ = NewP256Key();
  PkeyContextHandle context_;
  std::array<std::uint8_t, kP256PointBytes> point_{};
  bool held_ = false;
};

Verifier& ThreadsVerifier() {
  static thread_local Verifier verifier;
  return verifier;
}

}  // namespace

bool IsP256Point(ByteView point) { return ThreadsVerifier().Hold(point); }

PkeyHandle P256FromPoint(ByteView point) {
  PkeyHandle key = NewP256Key();
  if (EVP_PKEY_set1_encoded_public_key(key.get(), point.data(), point.size()) != 1) {
    ERR_clear_error();
    return nullptr;
  }
  return key;
}

bool VerifyP256(ByteView point, ByteView message, ByteView signature) {
  Verifier& verifier = ThreadsVerifier();
  return verifier.Hold(point) && verifier.Verify(Sha256(message), signature);
}

P256Signer::P256Signer(EVP_PKEY* key) : key_((EVP_PKEY_up_ref(key), key)) {}

PkeyContextHandle P256Signer::Take() const {
  {
    const std::lock_guard lock(mutex_);
    if (!ready_.empty()) {
      PkeyContextHandle context = std::move(ready_.back());
      ready_.pop_back();
      return context;
    }
  }
  PkeyContextHandle context(EVP_PKEY_CTX_new(key_.get(), nullptr));
  if (context == nullptr || EVP_PKEY_sign_init(context.get()) != 1) return nullptr;
  return context;
}

void P256Signer::Return(PkeyContextHandle context) const {
  const std::lock_guard lock(mutex_);
  if (ready_.size() < kKeptContexts) ready_.push_back(std::move(context));
}

std::optional<Bytes> P256Signer::Sign(ByteView message) const {
  PkeyContextHandle context = Take();
  const Sha256Digest digest = Sha256(message);
  Bytes signature(kMaxSignatureBytes);
  std::size_t size = signature.size();
  if (context == nullptr ||
      EVP_PKEY_sign(context.get(), signature.data(), &size, digest.data(), digest.size()) != 1)
    return std::nullopt;
  Return(std::move(context));
  signature.resize(size);
  return signature;
}

}  // namespace signet::ca
