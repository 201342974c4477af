#include "ca/crypto/key_memory.h"

#include <malloc.h>
#include <openssl/crypto.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "base/check.h"

namespace signet::ca {
namespace {

constexpr std::size_t kSmallestBlock = 64;

void* Allocate(std::size_t size, const char*, int) { return std::malloc(size); }

void Free(void* memory, const char*, int) {
  if (memory == nullptr) return;
  explicit_bzero(memory, malloc_usable_size(memory));
  std::free(memory);
}

void* Reallocate(void* memory, std::size_t size, const char*, int) {
  if (memory == nullptr) return std::malloc(size);
  if (size == 0) {
    Free(memory, nullptr, 0);
    return nullptr;
  }
  const std::size_t held = malloc_usable_size(memory);
  if (size <= held && size >= held / 2) return memory;
  void* const moved = std::malloc(size);
  if (moved == nullptr) return nullptr;
  std::memcpy(moved, memory, held < size ? held : size);
  Free(memory, nullptr, 0);
  return moved;
}

}  // namespace

bool ProtectKeyMemory(std::size_t bytes) {
  const bool wipes = CRYPTO_set_mem_functions(Allocate, Reallocate, Free) == 1;
  // 2: there, but not locked into memory.
  return wipes && CRYPTO_secure_malloc_init(bytes, kSmallestBlock) != 0;
}

KeptSecret::KeptSecret(const SecretBytes& secret)
    : size_(secret.size()), memory_(OPENSSL_secure_malloc(secret.size() + 1)) {
  CHECK_TRUE(memory_ != nullptr);
  std::copy(secret.view().begin(), secret.view().end(), static_cast<std::uint8_t*>(memory_));
}

KeptSecret::~KeptSecret() { OPENSSL_secure_clear_free(memory_, size_ + 1); }

SecretBytes KeptSecret::Reveal() const {
  return SecretBytes(ByteView(static_cast<const std::uint8_t*>(memory_), size_));
}

}  // namespace signet::ca
