#include "agent/jwt/jwt_cache.h"

#include <fmt/format.h>

#include <algorithm>

namespace signet::agent {

std::string JwtKey(const AuthorizedEntry& entry, std::vector<std::string> audience) {
  std::sort(audience.begin(), audience.end());
  std::string key = fmt::format("{}:{}{} {} {}", entry.id.size(), entry.id,
                                entry.spiffe_id.ToString(), entry.created_at, entry.jwt_svid_ttl);
  for (const std::string& value : audience) key += fmt::format(" {}:{}", value.size(), value);
  return key;
}

JwtPtr JwtCache::Find(const std::string& key, WallTime now) {
  const std::lock_guard lock(mutex_);
  const auto row = rows_.find(key);
  if (row == rows_.end()) return nullptr;
  if (row->second.token->IsValid(now)) {
    uses_.splice(uses_.begin(), uses_, row->second.use);
    return row->second.token;
  }
  uses_.erase(row->second.use);
  rows_.erase(row);
  return nullptr;
}

void JwtCache::Put(const std::string& key, JwtPtr token) {
  const std::lock_guard lock(mutex_);
  if (const auto row = rows_.find(key); row != rows_.end()) {
    row->second.token = std::move(token);
    uses_.splice(uses_.begin(), uses_, row->second.use);
    return;
  }
  while (!rows_.empty() && rows_.size() >= capacity_) {
    rows_.erase(uses_.back());
    uses_.pop_back();
  }
  uses_.push_front(key);
  rows_.emplace(key, Row{std::move(token), uses_.begin()});
}

std::size_t JwtCache::size() const {
  const std::lock_guard lock(mutex_);
  return rows_.size();
}

void JwtCache::Clear() {
  const std::lock_guard lock(mutex_);
  rows_.clear();
  uses_.clear();
}

}  // namespace signet::agent
