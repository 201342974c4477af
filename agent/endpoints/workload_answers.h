// What a caller is told: a WorkloadView as messages of the SPIFFE Workload API. Pure.
#pragma once

#include <set>
#include <string>
#include <string_view>

#include "agent/cache/workload_view.h"
#include "agent/endpoints/answer.h"
#include "identity/svid/jwt_svid.h"
#include "signet/mesh/v1/mesh.pb.h"
#include "spiffe/workload.pb.h"

namespace signet::agent {

// Whether callers whom no entry is for may have the own trust domain's bundle, to verify others.
enum class UnregisteredCallers { kRefused, kOwnBundle };

Answer<X509SVIDResponse> AnswerX509Svid(const WorkloadView& view);
Answer<X509BundlesResponse> AnswerX509Bundles(const WorkloadView& view,
                                              UnregisteredCallers unregistered);
Answer<JWTBundlesResponse> AnswerJwtBundles(const WorkloadView& view,
                                            UnregisteredCallers unregistered);
// For a proxy: signet.mesh.v1.
Answer<signet::mesh::v1::WatchResponse> AnswerDenials(const WorkloadView& view);

// Whether there is an answer to be made out of `view` at all; else `kind` and `status` are set.
bool IsGranted(const WorkloadView& view, AnswerKind* kind, grpc::Status* status);

// What FetchJWTSVID is asked for.
struct JwtQuestion {
  std::vector<std::string> audience;              // at least one, none empty
  std::optional<identity::SpiffeId> spiffe_id{};  // absent: every identity of the caller
};
inline constexpr int kMaxAudiences = 64;
// INVALID_ARGUMENT when no audience is left after empty ones, which SPIRE ignores too, are dropped;
// or when the ID is none.
tl::expected<JwtQuestion, grpc::Status> ReadQuestion(const JWTSVIDRequest& request);
tl::expected<std::vector<std::string>, grpc::Status> ReadAudience(
    const google::protobuf::RepeatedPtrField<std::string>& audience);

// ValidateJWTSVID, for anybody: the own trust domain's tokens, and those of trust domains the
// caller is federated with. Of a foreign token's claims only sub, aud, exp and `foreign_claims` are
// told. The status is INVALID_ARGUMENT for what is wrong with request or token, UNAVAILABLE when
// the own bundle is not known yet.
tl::expected<ValidateJWTSVIDResponse, grpc::Status> ValidateJwt(
    const WorkloadView& view, const ValidateJWTSVIDRequest& request, WallTime now,
    const std::set<std::string, std::less<>>& foreign_claims);

}  // namespace signet::agent
