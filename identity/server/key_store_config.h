// Where the server's signing keys live, as the `key_store` section of its configuration says, and
// opening that place. `keys rewrap` stands here too: it is the same place, with no server at work.
//
// Threads: none; used at start.
#pragma once

#include <memory>
#include <string>

#include "base/config.h"
#include "ca/keys/key_store.h"
#include "ca/keys/pkcs11/pkcs11_key_store.h"

namespace signet::identity {

enum class KeyStoreType { kDisk, kMemory, kPkcs11 };

struct KeyStoreConfig {
  KeyStoreType type = KeyStoreType::kDisk;
  std::string kek_file;        // disk; empty when a credential is named
  std::string kek_credential;  // disk: name of a systemd credential
  ca::Pkcs11Settings pkcs11;
};

// `module`, `token`, `pin_file`, `sessions` of a map that names a token.
void ReadPkcs11(ConfigMap& map, ca::Pkcs11Settings* settings);

// Reads `key_store` of `root`; `kek_file` is the default and what the older top-level key says.
KeyStoreConfig ReadKeyStore(ConfigMap& root, const std::string& default_kek_file);

// `credentials_folder` is $CREDENTIALS_DIRECTORY, empty when there is none. Fails with
// ca::kKeyStoreUnusable when a credential is named and there is no such folder.
Result<ca::KekSource> KekSourceOf(const KeyStoreConfig& config,
                                  const std::string& credentials_folder);
Result<std::unique_ptr<ca::KeyStore>> OpenKeyStore(const KeyStoreConfig& config,
                                                   const std::string& key_folder,
                                                   const std::string& credentials_folder);

struct ServerConfig;
// `signet-server keys rewrap`: a new key-encryption key for the keys on disk. Refuses while a
// server uses the data directory. Answers what was done, for people.
Result<std::string> RewrapServerKeys(const ServerConfig& config, const std::string& next_kek_file);

}  // namespace signet::identity
