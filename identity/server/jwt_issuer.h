// Issuing JWT-SVIDs: claims -> durable journal row (purpose "jwt") -> sign -> reply. Nothing is
// signed that was not recorded.
//
// Threads: safe from any thread; no call waits for the journal.
#pragma once

#include <functional>
#include <memory>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/random.h"
#include "ca/authority/jwt_authority.h"
#include "identity/registry/entry.h"
#include "identity/server/journal.h"

namespace signet::identity {

struct JwtIssueRequest {
  SpiffeId id;
  std::vector<std::string> audience;  // empty ones are left out
  std::chrono::seconds ttl{0};        // 0: the default
  bool state_token_id = false;        // "jti" is in the token; in the journal it always is
  std::string entry_id;
  std::int64_t entry_revision = 0;
  std::string requested_by;
};

struct IssuedJwt {
  std::string token;
  WallTime issued_at;
  WallTime expires_at;
};

struct JwtIssuerSettings {
  std::chrono::seconds default_ttl{300};
  std::string issuer;  // "iss"; empty: left out
};

// Answers the JWT authority in use now; null while there is none.
class ActiveJwtAuthority {
 public:
  virtual ~ActiveJwtAuthority() = default;
  virtual std::shared_ptr<const ca::JwtAuthority> ActiveJwt() const = 0;
};

class JwtIssuer {
 public:
  JwtIssuer(const ActiveJwtAuthority& authority, const Journal& journal, JwtIssuerSettings settings,
            const Clock& clock, Random& random, Metrics& metrics);
  // Fails with kNoActiveAuthority, as JwtAuthority::Prepare() and Sign() do, and as the journal
  // does: then nothing is signed. A token that would outlive its authority is cut, and counted in
  // signet_server_jwt_svids_shortened_total. `done` is called once, from a signer's thread or
  // before this returns.
  using Done = std::function<void(Result<IssuedJwt>)>;
  void IssueLater(const JwtIssueRequest& request, Done done) const;

 private:
  // Checked, and not recorded yet.
  struct Prepared {
    std::shared_ptr<const ca::JwtAuthority> authority;
    ca::PreparedJwt token;
    AuditRecord record;
  };
  Result<Prepared> Prepare(const JwtIssueRequest& request) const;
  static Result<IssuedJwt> Sign(const Prepared& prepared, const Status& recorded);

  const ActiveJwtAuthority& authority_;
  const Journal& journal_;
  const JwtIssuerSettings settings_;
  const Clock& clock_;
  Random& random_;
  Counter& issued_;
  Counter& refused_;
  Counter& shortened_;
};

}  // namespace signet::identity
