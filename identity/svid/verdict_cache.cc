#include "identity/svid/verdict_cache.h"

namespace signet::identity {

ca::Sha256Digest DigestOfChain(std::span<const ca::Certificate> chain) {
  Bytes fingerprints;
  fingerprints.reserve(chain.size() * sizeof(ca::Sha256Digest));
  for (const ca::Certificate& certificate : chain)
    fingerprints.insert(fingerprints.end(), certificate.fingerprint().begin(),
                        certificate.fingerprint().end());
  return ca::Sha256(fingerprints);
}

}  // namespace signet::identity
