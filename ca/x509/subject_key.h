// Which keys are certified, and which of them an operator allows. The name of a type says its
// strength, so that a list of them is both. Pure.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ca/crypto/key.h"

namespace signet::ca {

// What is certified at all, the strongest last of its kind: "ec-p256", "ec-p384", "rsa-2048",
// "rsa-4096", "ed25519".
std::span<const std::string_view> SubjectKeyNames();
// Which of these `key` is; empty: none of them.
std::string_view SubjectKeyName(const PublicKey& key);

// `allowed` empty: whatever is certified. Fails with kKeyTypeRefused, naming the key's type and
// what is allowed.
Status CheckSubjectKey(const PublicKey& key, std::span<const std::string> allowed);

}  // namespace signet::ca
