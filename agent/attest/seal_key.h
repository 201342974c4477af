// The key-encryption key, under which all is sealed that an agent keeps on disk: 32 random bytes
// from a file of mode 0600, a systemd credential, or the kernel's keyring.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

namespace signet::agent {

inline constexpr Reason kSealKeyMissing{"key-encryption key missing"};
inline constexpr Reason kSealKeyUnusable{"key-encryption key unusable"};
inline constexpr std::size_t kSealKeyBytes = 32;

struct SealKeySource {
  enum class Kind { kFile, kCredential, kKeyring };
  Kind kind = Kind::kFile;
  // Path of the file, or of the credential; description of the key of type "user" in the keyring.
  std::string name;

  // "file:/path", "credential:NAME" (in `credentials_dir`) or "keyring:NAME". Fails with
  // kSealKeyUnusable, saying what is expected.
  static Result<SealKeySource> Parse(std::string_view text, const std::string& credentials_dir);
};

// A file is made at first use; a credential and a key in the keyring are the operator's to make:
// kSealKeyMissing says how. The keyring is searched as the kernel does it, from the session's.
// Fails also with kSealKeyUnusable, kFilePermissionsLax, kFileUnreadable.
Result<std::shared_ptr<const SecretBytes>> LoadSealKey(const SealKeySource& source);

}  // namespace signet::agent
