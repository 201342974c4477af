// Where JWT-SVIDs come from: the cache while a token is young, the server when it is not, and the
// cache again when the server does not answer and the token is still valid. Callers who want the
// same token at the same time cause one request.
//
// Threads: safe from any thread. Fetch() blocks, as long as the issuer does.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "agent/cache/cache.h"
#include "agent/jwt/jwt_cache.h"
#include "base/metrics.h"

namespace signet::agent {

inline constexpr Reason kJwtIssuedWrong{"server issued another token than was asked for"};

// The server's half: identity, lifetime and signature come from there.
class JwtIssuer {
 public:
  virtual ~JwtIssuer() = default;
  // May block, no longer than `timeout`.
  virtual Result<IssuedJwt> Issue(const AuthorizedEntry& entry,
                                  const std::vector<std::string>& audience, Duration timeout) = 0;
};

struct JwtTimes {
  Duration wait = std::chrono::seconds(30);            // for the server, without a token at hand
  Duration wait_with_token = std::chrono::seconds(5);  // and with one
};

class JwtSource {
 public:
  JwtSource(const Cache& cache, JwtIssuer& issuer, const Clock& clock, Metrics& metrics,
            JwtTimes times = {});

  // A valid token for `audience`, which is not empty and holds no empty value. Entries whose tokens
  // carry a "jti" get a new one each time. Fails as the issuer does.
  Result<JwtPtr> Fetch(const AuthorizedEntry& entry, const std::vector<std::string>& audience);

  std::size_t cached() const { return tokens_.size(); }
  // The agent is denied: nothing may be handed out any more.
  void Clear() { tokens_.Clear(); }

 private:
  enum class Standing { kGood, kTainted, kGone };  // of the authority that signed a token
  struct Flight {
    bool landed = false;
    Result<JwtPtr> result = JwtPtr();
  };
  Standing StandingOf(const IssuedJwt& token) const;
  Result<JwtPtr> Renew(const std::string& key, const AuthorizedEntry& entry,
                       const std::vector<std::string>& audience, const JwtPtr& held);
  Result<JwtPtr> Ask(const AuthorizedEntry& entry, const std::vector<std::string>& audience,
                     Duration timeout);

  const Cache& cache_;
  JwtIssuer& issuer_;
  const Clock& clock_;
  const JwtTimes times_;
  Counter& issued_;
  Counter& failed_;
  Counter& from_cache_;
  JwtCache tokens_;

  std::mutex mutex_;  // guards flights_ and what is in them
  std::condition_variable landed_;
  std::map<std::string, std::shared_ptr<Flight>> flights_;
};

}  // namespace signet::agent
