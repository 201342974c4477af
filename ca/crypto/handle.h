// Ownership of OpenSSL objects: one template, one alias per type, and what OpenSSL last complained
// of. Only for .cc files inside the OpenSSL fence (ca/, net/).
#pragma once

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <string>

namespace signet::ca {

template <auto kFree>
struct Freer {
  template <class T>
  void operator()(T* object) const {
    kFree(object);
  }
};
template <class T, auto kFree>
using Handle = std::unique_ptr<T, Freer<kFree>>;

using PkeyHandle = Handle<EVP_PKEY, EVP_PKEY_free>;
using PkeyContextHandle = Handle<EVP_PKEY_CTX, EVP_PKEY_CTX_free>;
using DigestContextHandle = Handle<EVP_MD_CTX, EVP_MD_CTX_free>;
using CipherContextHandle = Handle<EVP_CIPHER_CTX, EVP_CIPHER_CTX_free>;
using SpkiHandle = Handle<X509_PUBKEY, X509_PUBKEY_free>;
using Pkcs8Handle = Handle<PKCS8_PRIV_KEY_INFO, PKCS8_PRIV_KEY_INFO_free>;
using BignumHandle = Handle<BIGNUM, BN_free>;
using BioHandle = Handle<BIO, BIO_free_all>;
using X509Handle = Handle<X509, X509_free>;

// The newest entry of this thread's error queue as text, and the queue emptied. For people: success
// or failure is told by return values, never by the queue.
inline std::string TakeOpenSslError() {
  const unsigned long code = ERR_peek_last_error();
  ERR_clear_error();
  if (code == 0) return "no reason given by OpenSSL";
  const char* text = ERR_reason_error_string(code);
  return text != nullptr ? text : "OpenSSL error " + std::to_string(code);
}

}  // namespace signet::ca
