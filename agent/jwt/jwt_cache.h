// The JWT-SVIDs the agent has at hand: what was issued, by whom it is for, bounded. Knows no
// server; jwt_source.h decides what is asked for.
//
// Threads: safe from any thread.
#pragma once

#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "agent/cache/entry.h"

namespace signet::agent {

struct IssuedJwt {
  std::string token;
  std::string key_id;  // of the authority that signed it
  WallTime issued_at;
  WallTime expires_at;

  // SPIRE's rule: used without asking until half of its life is over.
  bool IsFresh(WallTime now) const { return now < issued_at + (expires_at - issued_at) / 2; }
  bool IsValid(WallTime now) const { return now < expires_at; }
};
using JwtPtr = std::shared_ptr<const IssuedJwt>;

// What a token is for: the entry as far as it decides what the token says, and the audience, whose
// order does not count.
std::string JwtKey(const AuthorizedEntry& entry, std::vector<std::string> audience);

inline constexpr std::size_t kMaxCachedJwts = 1000;  // SPIRE's bound

class JwtCache {
 public:
  explicit JwtCache(std::size_t capacity = kMaxCachedJwts) : capacity_(capacity) {}

  // Null when there is none, or it has expired.
  JwtPtr Find(const std::string& key, WallTime now);
  // Makes room by dropping what was unused longest.
  void Put(const std::string& key, JwtPtr token);
  std::size_t size() const;
  void Clear();

 private:
  struct Row {
    JwtPtr token;
    std::list<std::string>::iterator use;
  };
  const std::size_t capacity_;
  mutable std::mutex mutex_;
  std::map<std::string, Row, std::less<>> rows_;
  std::list<std::string> uses_;  // keys, the last used one in front
};

}  // namespace signet::agent
