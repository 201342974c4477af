// SPIRE's delegated identity API, on the admin socket: a trusted process of this node obtains SVIDs
// and bundles for others, named by their selectors or as a process, which is attested then.
//
// The caller is attested itself, and one of its identities must be a configured delegate: at each
// call, and again before each message of a stream. SVIDs of admin and downstream entries are kept
// back: who may act for workloads may not administer the trust domain.
//
// Threads: calls begin on the socket's loop.
#pragma once

#include "agent/cache/workload_view.h"
#include "agent/endpoints/call_table.h"
#include "agent/endpoints/caller_gate.h"
#include "agent/endpoints/pending_call.h"
#include "agent/jwt/jwt_source.h"
#include "spire/api/agent/delegatedidentity/v1/delegatedidentity.pb.h"

namespace signet::agent {

// What delegates are told. Pure.
namespace delegated {

namespace api = spire::api::agent::delegatedidentity::v1;
using Delegates = std::set<identity::SpiffeId>;

// OK when an entry of a delegate is for a caller with these selectors. PERMISSION_DENIED else.
grpc::Status Authorize(const Snapshot& snapshot, const identity::SelectorSet& caller,
                       const Delegates& delegates, WallTime now);
// INVALID_ARGUMENT for a selector without type or value, or whose type holds a colon.
tl::expected<identity::SelectorSet, grpc::Status> ReadSelectors(
    const google::protobuf::RepeatedPtrField<spire::api::types::Selector>& selectors);
// `view` with all equal hints, granted or not.
Answer<api::SubscribeToX509SVIDsResponse> AnswerX509Svids(const WorkloadView& view);
Answer<api::SubscribeToX509BundlesResponse> AnswerX509Bundles(const Snapshot& snapshot);
Answer<api::SubscribeToJWTBundlesResponse> AnswerJwtBundles(const Snapshot& snapshot);

}  // namespace delegated

class DelegatedService {
 public:
  DelegatedService(StreamContext& streams, CallerGate& gate, JwtSource& jwts,
                   AttestationPool& jwt_pool, delegated::Delegates delegates);
  void Register(CallTable* calls);

 private:
  using Handler = std::shared_ptr<net::RpcHandler>;
  using JwtCall = PendingCall<delegated::api::FetchJWTSVIDsResponse>;
  // What a stream says, and the workload whose SVIDs it is about, if it is about any.
  template <class Response>
  struct Subject {
    Encoder<Response> encode;
    identity::SelectorSet used;
  };
  template <class Request, class Response>
  using Prepare = std::function<tl::expected<Subject<Response>, grpc::Status>(const Request&)>;
  // `prepare` runs once the caller is authorized, on the attestation's thread; it answers the
  // subject, or why there is none.
  template <class Request, class Response>
  Handler Open(const Arrival& arrival, Prepare<Request, Response> prepare);
  template <class Request, class Response>
  void BeginIfAuthorized(UpdateStream<Response>& stream, const identity::SelectorSet& caller,
                         const Request& request, const Prepare<Request, Response>& prepare);
  Handler SubscribeToX509Svids(const Arrival& arrival);
  Handler SubscribeToX509Bundles(const Arrival& arrival);
  Handler SubscribeToJwtBundles(const Arrival& arrival);
  Handler FetchJwtSvids(const Arrival& arrival);
  // The workload that is meant: by its selectors or by its process, but not both.
  tl::expected<identity::SelectorSet, grpc::Status> WorkloadOf(
      const google::protobuf::RepeatedPtrField<spire::api::types::Selector>& selectors,
      std::int32_t pid);
  grpc::Status Authorize(const identity::SelectorSet& caller) const;
  void AskForJwt(const std::shared_ptr<JwtCall>& call, const identity::SelectorSet& caller,
                 const delegated::api::FetchJWTSVIDsRequest& request);
  void AnswerJwt(const std::shared_ptr<JwtCall>& call, const std::vector<std::string>& audience,
                 const identity::SelectorSet& workload);

  StreamContext& streams_;
  CallerGate& gate_;
  JwtSource& jwts_;
  AttestationPool& jwt_pool_;
  const delegated::Delegates delegates_;
};

}  // namespace signet::agent
