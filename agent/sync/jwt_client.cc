#include "agent/sync/jwt_client.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>

#include "agent/attest/denial.h"
#include "agent/cache/minter.h"
#include "agent/sync/codec.h"
#include "agent/sync/grpc_error.h"
#include "ca/jose/jws.h"
#include "spire/api/server/svid/v1/svid.grpc.pb.h"

namespace signet::agent {
namespace {

namespace svid_api = spire::api::server::svid::v1;

constexpr Duration kConnecting = std::chrono::seconds(5);

Result<IssuedJwt> ToJwt(const spire::api::types::JWTSVID& message, const AuthorizedEntry& entry) {
  SIGNET_TRY(const auto id, ToSpiffeId(message.id()));
  if (id != entry.spiffe_id)
    return Fail(Code::kInternal, kJwtIssuedWrong, "asked for " + entry.spiffe_id.ToString());
  SIGNET_TRY(const auto jws, ca::ParseCompactJws(message.token()));
  if (!jws.header.key_id) return Fail(Code::kInternal, kJwtIssuedWrong, "it names no key");
  return IssuedJwt{message.token(), *jws.header.key_id, FromUnixSeconds(message.issued_at()),
                   FromUnixSeconds(message.expires_at())};
}

}  // namespace

void SpireJwtIssuer::Stop() {
  link_.Stop();
  const std::lock_guard lock(mutex_);
  stopping_ = true;
  for (grpc::ClientContext* context : in_progress_) context->TryCancel();
}

Result<IssuedJwt> SpireJwtIssuer::Issue(const AuthorizedEntry& entry,
                                        const std::vector<std::string>& audience,
                                        Duration timeout) {
  const ConnectionPtr connection = link_.Await(std::min<Duration>(timeout, kConnecting));
  if (!connection) return Fail(Code::kUnavailable, kServerAway);
  svid_api::NewJWTSVIDRequest request;
  request.set_entry_id(entry.id);
  for (const std::string& value : audience) request.add_audience(value);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() +
                       std::chrono::duration_cast<std::chrono::milliseconds>(timeout));
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return Fail(Code::kUnavailable, kServerAway);
    in_progress_.insert(&context);
  }
  svid_api::NewJWTSVIDResponse answer;
  const grpc::Status status =
      svid_api::SVID::NewStub(connection->channel)->NewJWTSVID(&context, request, &answer);
  {
    const std::lock_guard lock(mutex_);
    in_progress_.erase(&context);
  }
  if (status.ok()) return ToJwt(answer.svid(), entry);
  // A denial is met, and dealt with, by the sync worker as it connects again.
  if (status.error_code() == grpc::UNAVAILABLE || AnswerTo(FromGrpc(status)) != DenialAnswer::kNone)
    link_.Drop(connection);
  return Fail(FromGrpc(status));
}

}  // namespace signet::agent
