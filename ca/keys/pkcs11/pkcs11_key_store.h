// Signing keys in a PKCS#11 token (an HSM, or SoftHSM): made there, never extractable, used there.
//
// A key pair is two objects with the key's name as CKA_LABEL and a common CKA_ID: a number that
// grows with each key made under the name, then random bytes. The highest is the one that counts;
// what a crash left of earlier ones is destroyed when the store is opened.
//
// A token that went away, and sessions that were closed behind our back, are found at the next
// call: the store looks for the token by its label again, logs in again, and tries the call once
// more. While it is away calls fail with kKeyStoreUnusable, which says so.
//
// Threads: safe from any thread; at most `sessions` calls are in the token at a time, others wait.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ca/keys/key_store.h"

namespace signet::ca {

struct Pkcs11Settings {
  std::string module;    // path of the vendor's library
  std::string token;     // CKA_LABEL of the token
  std::string pin_file;  // 0600; the PIN, a line feed at its end does not count
  std::size_t sessions = 8;
};

class Pkcs11KeyStore final : public KeyStore {
 public:
  // Fails with kKeyStoreUnusable, kFilePermissionsLax (with the chmod to run) or as
  // ReadSecretFile() does. The PIN is in no error and no log.
  static Result<std::unique_ptr<Pkcs11KeyStore>> Create(const Pkcs11Settings& settings);
  ~Pkcs11KeyStore() override;

  Result<std::shared_ptr<const Signer>> Generate(const std::string& name, KeyType type) override;
  // Fails also when the token says that the private key may leave it.
  Result<std::shared_ptr<const Signer>> Find(const std::string& name) override;
  Status Remove(const std::string& name) override;
  std::vector<std::string> Names() override;

 private:
  struct State;
  explicit Pkcs11KeyStore(std::shared_ptr<State> state);
  const std::shared_ptr<State> state_;
};

}  // namespace signet::ca
