// Where signing keys live. Each key has a name (1 to 64 of [A-Za-z0-9_-]); generating under an
// existing name replaces it.
//
// Threads: safe from any thread.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "ca/crypto/key.h"

namespace signet::ca {

inline constexpr Reason kKeyNotFound{"key not found"};
inline constexpr Reason kKeyStoreUnusable{"key store unusable"};

class KeyStore {
 public:
  virtual ~KeyStore() = default;
  virtual Result<std::shared_ptr<const Signer>> Generate(const std::string& name, KeyType type) = 0;
  // Fails with kKeyNotFound (NOT_FOUND).
  virtual Result<std::shared_ptr<const Signer>> Find(const std::string& name) = 0;
  // No error when there is none.
  virtual Status Remove(const std::string& name) = 0;
  virtual std::vector<std::string> Names() = 0;
};

class MemoryKeyStore final : public KeyStore {
 public:
  Result<std::shared_ptr<const Signer>> Generate(const std::string& name, KeyType type) override;
  Result<std::shared_ptr<const Signer>> Find(const std::string& name) override;
  Status Remove(const std::string& name) override;
  std::vector<std::string> Names() override;

 private:
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<const Signer>> keys_;
};

// Each key in a file `<folder>/<name>.key`, sealed with AES-256-GCM under a key-encryption key read
// from a 0600 file (made at first use when missing, never when keys are there already). A file that
// does not open is an error (kKeyStoreUnusable, or kFilePermissionsLax with the chmod to run) and
// is never overwritten, not by Generate() either; a power cut leaves the old or the new key, never
// half of one.
class DiskKeyStore final : public KeyStore {
 public:
  // `kek_path`: 32 bytes in a file of mode 0600, created when missing.
  static Result<std::unique_ptr<DiskKeyStore>> Create(std::string folder, std::string kek_path);
  Result<std::shared_ptr<const Signer>> Generate(const std::string& name, KeyType type) override;
  Result<std::shared_ptr<const Signer>> Find(const std::string& name) override;
  Status Remove(const std::string& name) override;
  std::vector<std::string> Names() override;

 private:
  DiskKeyStore(std::string folder, SecretBytes kek);
  std::string PathOf(const std::string& name) const;
  std::mutex mutex_;
  const std::string folder_;
  const SecretBytes kek_;
  std::map<std::string, std::shared_ptr<const Signer>> cache_;
};

}  // namespace signet::ca
