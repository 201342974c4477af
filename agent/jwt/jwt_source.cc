#include "agent/jwt/jwt_source.h"

#include <algorithm>

namespace signet::agent {

JwtSource::JwtSource(const Cache& cache, JwtIssuer& issuer, const Clock& clock, Metrics& metrics,
                     JwtTimes times)
    : cache_(cache),
      issuer_(issuer),
      clock_(clock),
      times_(times),
      issued_(metrics.Counter("signet_agent_jwt_svids_issued_total", "JWT-SVIDs received")),
      failed_(metrics.Counter("signet_agent_jwt_svid_failures_total",
                              "JWT-SVIDs asked for and not received")),
      from_cache_(metrics.Counter("signet_agent_jwt_svids_from_cache_total",
                                  "JWT-SVIDs handed out without asking the server")) {
  metrics.GaugeFrom("signet_agent_jwt_svids_cached", "JWT-SVIDs at hand",
                    [this] { return static_cast<double>(tokens_.size()); });
}

JwtSource::Standing JwtSource::StandingOf(const IssuedJwt& token) const {
  const SnapshotPtr snapshot = cache_.Current();
  const BundlePtr own = snapshot->FindBundle(snapshot->trust_domain);
  if (!own) return Standing::kGone;
  const auto& authorities = own->bundle.jwt_authorities;
  const auto found = std::find_if(authorities.begin(), authorities.end(),
                                  [&](const auto& held) { return held.key_id == token.key_id; });
  if (found == authorities.end()) return Standing::kGone;
  return found->tainted ? Standing::kTainted : Standing::kGood;
}

Result<JwtPtr> JwtSource::Fetch(const AuthorizedEntry& entry,
                                const std::vector<std::string>& audience) {
  if (entry.jwt_svid_include_jti) return Ask(entry, audience, times_.wait);
  const std::string key = JwtKey(entry, audience);
  const WallTime now = clock_.Now();
  JwtPtr held = tokens_.Find(key, now);
  const Standing standing = held ? StandingOf(*held) : Standing::kGone;
  if (standing == Standing::kGood && held->IsFresh(now)) {
    from_cache_.Add();
    return held;
  }
  return Renew(key, entry, audience, standing == Standing::kGone ? nullptr : held);
}

Result<JwtPtr> JwtSource::Renew(const std::string& key, const AuthorizedEntry& entry,
                                const std::vector<std::string>& audience, const JwtPtr& held) {
  std::shared_ptr<Flight> flight;
  {
    std::unique_lock lock(mutex_);
    const auto [found, first] = flights_.try_emplace(key);
    if (first) found->second = std::make_shared<Flight>();
    flight = found->second;
    if (!first) {
      landed_.wait(lock, [&] { return flight->landed; });
      return flight->result;
    }
  }
  auto token = Ask(entry, audience, held ? times_.wait_with_token : times_.wait);
  if (token) {
    tokens_.Put(key, *token);
  } else if (held && held->IsValid(clock_.Now())) {
    from_cache_.Add();
    token = held;
  }
  {
    const std::lock_guard lock(mutex_);
    flight->landed = true;
    flight->result = token;
    flights_.erase(key);
  }
  landed_.notify_all();
  return token;
}

Result<JwtPtr> JwtSource::Ask(const AuthorizedEntry& entry,
                              const std::vector<std::string>& audience, Duration timeout) {
  auto token = issuer_.Issue(entry, audience, timeout);
  if (!token) {
    failed_.Add();
    return Fail(token.error());
  }
  if (!token->IsValid(clock_.Now())) {
    failed_.Add();
    return Fail(Code::kInternal, kJwtIssuedWrong, "it has expired already");
  }
  issued_.Add();
  return std::make_shared<const IssuedJwt>(*std::move(token));
}

}  // namespace signet::agent
