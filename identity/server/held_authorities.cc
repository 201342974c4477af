#include "identity/server/held_authorities.h"

#include "base/bytes.h"

namespace signet::identity {

std::vector<std::string> HeldAuthorities::List() {
  const auto bundle = registry_.OwnBundle();
  // Read after the bundle: at least as new.
  const Revision revision = registry_.revision();
  if (!bundle) return {};
  std::map<std::string, Revision> now;
  const std::lock_guard lock(mutex_);
  const auto see = [&](std::string id) {
    const auto known = seen_.find(id);
    now.emplace(std::move(id), known == seen_.end() ? revision : known->second);
  };
  for (const auto& authority : bundle->x509_authorities)
    see(EncodeHex(authority.certificate.subject_key_id()));
  for (const auto& key : bundle->jwt_authorities) see(key.key_id);
  seen_ = std::move(now);
  std::vector<std::string> held;
  for (const auto& [id, since] : seen_)
    if (source_(id, since).all) held.push_back(id);
  return held;
}

}  // namespace signet::identity
