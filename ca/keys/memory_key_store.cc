#include "ca/keys/key_name.h"
#include "ca/keys/key_store.h"

namespace signet::ca {

Result<std::shared_ptr<const Signer>> MemoryKeyStore::Generate(const std::string& name,
                                                               KeyType type) {
  SIGNET_RETURN_IF_ERROR(CheckKeyName(name));
  SIGNET_TRY(PrivateKey made, PrivateKey::Generate(type));
  std::shared_ptr<const Signer> key = std::make_shared<PrivateKey>(std::move(made));
  const std::lock_guard lock(mutex_);
  keys_[name] = key;
  return key;
}

Result<std::shared_ptr<const Signer>> MemoryKeyStore::Find(const std::string& name) {
  SIGNET_RETURN_IF_ERROR(CheckKeyName(name));
  const std::lock_guard lock(mutex_);
  const auto found = keys_.find(name);
  if (found == keys_.end()) return Fail(Code::kNotFound, kKeyNotFound, name);
  return found->second;
}

Status MemoryKeyStore::Remove(const std::string& name) {
  SIGNET_RETURN_IF_ERROR(CheckKeyName(name));
  const std::lock_guard lock(mutex_);
  keys_.erase(name);
  return {};
}

std::vector<std::string> MemoryKeyStore::Names() {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> names;
  for (const auto& [name, key] : keys_) names.push_back(name);
  return names;
}

}  // namespace signet::ca
