// JWT-SVIDs from the server: NewJWTSVID over the current connection.
//
// Threads: safe from any thread.
#pragma once

#include <grpcpp/client_context.h>

#include <mutex>
#include <set>

#include "agent/jwt/jwt_source.h"
#include "agent/sync/server_link.h"

namespace signet::agent {

class SpireJwtIssuer final : public JwtIssuer {
 public:
  explicit SpireJwtIssuer(ServerLink& link) : link_(link) {}
  // Fails with kServerAway at once when there is no connection, with kJwtIssuedWrong when the
  // token is for somebody else.
  Result<IssuedJwt> Issue(const AuthorizedEntry& entry, const std::vector<std::string>& audience,
                          Duration timeout) override;
  // Ends calls in progress, and every later one at once.
  void Stop();

 private:
  ServerLink& link_;
  std::mutex mutex_;  // guards what follows
  std::set<grpc::ClientContext*> in_progress_;
  bool stopping_ = false;
};

}  // namespace signet::agent
