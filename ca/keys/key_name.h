// What a key in a KeyStore may be called: the name is also a file name.
#pragma once

#include <algorithm>
#include <string_view>

#include "ca/keys/key_store.h"

namespace signet::ca {

// 1 to 64 of [A-Za-z0-9_-]. Fails with kKeyStoreUnusable (INVALID_ARGUMENT).
inline Status CheckKeyName(std::string_view name) {
  const bool good =
      !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), [](char c) {
        return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
               c == '-' || c == '_';
      });
  if (good) return {};
  return Fail(Code::kInvalidArgument, kKeyStoreUnusable,
              "a key's name is 1 to 64 of letters, digits, '-' and '_'");
}

}  // namespace signet::ca
