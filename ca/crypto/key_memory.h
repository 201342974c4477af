// Where OpenSSL keeps private keys: called once by a program's main(), before anything else of
// this library.
#pragma once

#include <cstddef>

#include "base/bytes.h"

namespace signet::ca {

// From now on OpenSSL puts private numbers into memory of `bytes` (a power of two) that is left out
// of core dumps, locked where the system allows it, and fenced by guard pages; and everything else
// it frees is wiped, since its readers of private keys free what they read as it is. False when the
// system has no such memory or OpenSSL has begun to allocate already: keys then lie in the heap.
bool ProtectKeyMemory(std::size_t bytes);

// A secret that is kept for long, in that memory where there is such. Reveal() lends a copy, which
// wipes itself; keep it for moments.
class KeptSecret {
 public:
  explicit KeptSecret(const SecretBytes& secret);
  KeptSecret(const KeptSecret&) = delete;
  KeptSecret& operator=(const KeptSecret&) = delete;
  ~KeptSecret();

  SecretBytes Reveal() const;

 private:
  const std::size_t size_;
  void* const memory_;
};

}  // namespace signet::ca
