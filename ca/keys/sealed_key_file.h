// The files of a DiskKeyStore (docs/formats/key-files.md): keys sealed under a key-encryption key
// (KEK), and that key itself.
#pragma once

#include <string>
#include <vector>

#include "ca/keys/key_store.h"

namespace signet::ca {

inline constexpr std::size_t kKekBytes = 32;

std::string KeyFilePath(const std::string& folder, const std::string& name);
// Names of the keys in the folder, sorted. Fails with kKeyStoreUnusable.
Result<std::vector<std::string>> ListKeyFiles(const std::string& folder);

// 32 bytes from a file only its owner may read. Fails with kFileMissing, kFilePermissionsLax or
// kKeyStoreUnusable.
Result<SecretBytes> ReadKekFile(const std::string& path);
// 32 bytes from a systemd credential: systemd guards its folder, and may give the file an access
// list that looks like permissions for a group.
Result<SecretBytes> ReadKekCredential(const std::string& path);
Result<SecretBytes> NewKek();

// PKCS#8 of key `name` from its file. Fails with kFileMissing, kFilePermissionsLax, or
// kKeyStoreUnusable where the content does not open.
Result<SecretBytes> ReadKeyFile(const SecretBytes& kek, const std::string& folder,
                                const std::string& name);
// Replaces the file whole or not at all.
Status WriteKeyFile(const SecretBytes& kek, const std::string& folder, const std::string& name,
                    const SecretBytes& pkcs8);

}  // namespace signet::ca
