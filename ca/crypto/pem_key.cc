#include "ca/crypto/pem_key.h"

#include <openssl/pem.h>

#include "ca/crypto/handle.h"

namespace signet::ca {
namespace {

constexpr std::size_t kMaxPemBytes = 64 * 1024;

// Instead of OpenSSL's, which asks at the terminal.
int NoPassphrase(char*, int, int, void*) { return -1; }

}  // namespace

Result<PrivateKey> ParsePemPrivateKey(const SecretBytes& pem) {
  if (pem.size() > kMaxPemBytes)
    return Fail(Code::kInvalidArgument, kKeyMalformed, "private key larger than 64 KiB");
  const BioHandle bio(BIO_new_mem_buf(pem.view().data(), static_cast<int>(pem.size())));
  const PkeyHandle key(bio == nullptr
                           ? nullptr
                           : PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassphrase, nullptr));
  const Pkcs8Handle pkcs8(key == nullptr ? nullptr : EVP_PKEY2PKCS8(key.get()));
  const int size = pkcs8 == nullptr ? 0 : i2d_PKCS8_PRIV_KEY_INFO(pkcs8.get(), nullptr);
  if (size <= 0) {
    ERR_clear_error();
    return Fail(Code::kInvalidArgument, kKeyMalformed,
                "no private key in PEM (PKCS#8, PKCS#1 or SEC 1) without a passphrase");
  }
  SecretBytes der(static_cast<std::size_t>(size));
  std::uint8_t* out = der.mutable_view().data();
  i2d_PKCS8_PRIV_KEY_INFO(pkcs8.get(), &out);
  return PrivateKey::FromPkcs8(der.view());
}

}  // namespace signet::ca
