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
#include "ca/crypto/key_memory.h"

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

// Where the key-encryption key is: 32 bytes in a file of mode 0600 that is made at first use, or in
// a systemd credential, which is never made here.
struct KekSource {
  std::string path;
  bool is_credential = false;
};

// Each key in a file `<folder>/<name>.key`, sealed with AES-256-GCM under a key-encryption key read
// from `KekSource` (made at first use when missing, never when keys are there already). A file that
// does not open is an error (kKeyStoreUnusable, or kFilePermissionsLax with the chmod to run) and
// is never overwritten, not by Generate() either; a power cut leaves the old or the new key, never
// half of one.
class DiskKeyStore final : public KeyStore {
 public:
  // Fails with kKeyStoreUnusable or kFilePermissionsLax; also while a rewrap (rewrap.h) is half
  // done.
  static Result<std::unique_ptr<DiskKeyStore>> Create(std::string folder, const KekSource& source);
  Result<std::shared_ptr<const Signer>> Generate(const std::string& name, KeyType type) override;
  Result<std::shared_ptr<const Signer>> Find(const std::string& name) override;
  Status Remove(const std::string& name) override;
  std::vector<std::string> Names() override;

 private:
  DiskKeyStore(std::string folder, const SecretBytes& kek);
  std::mutex mutex_;
  const std::string folder_;
  const KeptSecret kek_;
  std::map<std::string, std::shared_ptr<const Signer>> cache_;
};

}  // namespace signet::ca
