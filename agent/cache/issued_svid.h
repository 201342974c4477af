// An X.509-SVID with its key, as small as it can be kept: an agent holds thousands of them.
//
// Threads: immutable; IssuerPool is safe from any thread.
#pragma once

#include <map>
#include <memory>
#include <mutex>

#include "agent/cache/entry.h"
#include "ca/x509/certificate.h"

namespace signet::agent {

// What stands above the leaves: the same for thousands of SVIDs, so it is kept once.
struct Issuers {
  Bytes der;               // intermediate certificates, concatenated DER; empty: none
  Bytes authority_key_id;  // of the last certificate of the chain: the key of the root above it
  friend auto operator<=>(const Issuers&, const Issuers&) = default;
};
using IssuersPtr = std::shared_ptr<const Issuers>;

// As minted for one version of one entry.
struct IssuedSvid {
  identity::SpiffeId id;
  Bytes leaf_der;
  IssuersPtr issuers;  // never null
  SecretBytes key;     // PKCS#8 DER
  WallTime not_before;
  WallTime not_after;
  ca::Sha256Digest fingerprint{};  // SHA-256 over leaf_der
  std::int64_t entry_revision = 0;
  std::int64_t entry_created_at = 0;

  // Leaf first, without the root, concatenated DER.
  Bytes ChainDer() const;
  // Of the leaf; empty when there is none to be read.
  std::string SerialHex() const;
  bool IsFor(const AuthorizedEntry& entry) const {
    return entry_revision == entry.revision_number && entry_created_at == entry.created_at;
  }
};
using SvidPtr = std::shared_ptr<const IssuedSvid>;

// Gives equal issuers one place in memory.
class IssuerPool {
 public:
  IssuersPtr Intern(Issuers issuers);
  // Of a chain, leaf first, at least that.
  IssuersPtr Of(const ca::Chain& chain);
  std::size_t size() const;

 private:
  mutable std::mutex mutex_;
  std::map<Issuers, std::weak_ptr<const Issuers>> known_;
};

}  // namespace signet::agent
