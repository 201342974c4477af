// What TlsContext and TlsStream share. Internal to net/; OpenSSL's types stay here.
#pragma once

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "net/tls.h"

namespace signet::net {

template <auto kFree>
struct FreeWith {
  template <class T>
  void operator()(T* handle) const {
    kFree(handle);
  }
};
using SslPtr = std::unique_ptr<SSL, FreeWith<SSL_free>>;
using SslContextPtr = std::unique_ptr<SSL_CTX, FreeWith<SSL_CTX_free>>;
using BioMethodPtr = std::unique_ptr<BIO_METHOD, FreeWith<BIO_meth_free>>;
using PkeyPtr = std::unique_ptr<EVP_PKEY, FreeWith<EVP_PKEY_free>>;
using PkeyContextPtr = std::unique_ptr<EVP_PKEY_CTX, FreeWith<EVP_PKEY_CTX_free>>;
using X509Ptr = std::unique_ptr<X509, FreeWith<X509_free>>;

// What the verify callback learned; SSL's application data points to it.
struct HandshakeRecord {
  std::shared_ptr<const PeerIdentity> peer;
  std::optional<Error> refusal;
};

// The text of OpenSSL's last error on this thread, for people; empties the queue.
std::string TakeSslError();

// A BIO method whose data is a TlsStream::State.
BioMethodPtr MakeStreamBioMethod();

// Certificates that verified before, by digest of their DER: parsing one again costs more than all
// other work on it, and OpenSSL keeps what a peer presented as long as its connection lives, 5 kB a
// certificate.
//
// Threads: safe from any thread.
class CertificateCache {
 public:
  // Parses each certificate of `presented` that it does not hold.
  Result<ca::Chain> Parse(std::span<const Bytes> presented);
  // Keeps them, forgetting all others when full. `presented` is OpenSSL's list of the same
  // certificates, in the same order: those held already take their place in it.
  void Keep(const ca::Chain& chain, STACK_OF(X509) * presented);

 private:
  struct Held {
    ca::Certificate certificate;
    X509Ptr handle;  // of the context's library
  };
  static constexpr std::size_t kLimit = 512;
  std::mutex mutex_;
  std::map<ca::Sha256Digest, Held> held_;  // guarded by mutex_
};

struct ContextParts {
  TlsOptions options;
  std::shared_ptr<const PeerVerifier> verifier;
  BioMethodPtr bio_method;
  mutable CertificateCache certificates;
  SslContextPtr context;  // its callbacks point to this
};
struct TlsContext::State : ContextParts {};

}  // namespace signet::net
