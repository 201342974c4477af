// The SPIFFE Workload API. Streams are answered by UpdateStream; tokens are fetched on threads that
// may wait for the server. WIT profiles answer UNIMPLEMENTED. Also signet.mesh.v1.Mesh: what
// proxies are told beside it, attested, limited and counted in the same way.
//
// Threads: calls begin on the socket's loop.
#pragma once

#include "agent/endpoints/call_table.h"
#include "agent/endpoints/caller_gate.h"
#include "agent/endpoints/endpoint_options.h"
#include "agent/endpoints/pending_call.h"
#include "agent/endpoints/workload_answers.h"
#include "agent/jwt/jwt_source.h"
#include "spiffe/workload.pb.h"

namespace signet::agent {

class WorkloadService {
 public:
  WorkloadService(StreamContext& streams, CallerGate& gate, JwtSource& jwts,
                  AttestationPool& jwt_pool, const EndpointOptions& options);
  void Register(CallTable* calls);

 private:
  using Handler = std::shared_ptr<net::RpcHandler>;
  template <class Response>
  using ViewEncoder = std::function<Answer<Response>(const WorkloadView&)>;
  template <class Request, class Response>
  Handler Open(const Arrival& arrival, ViewEncoder<Response> encode);
  Handler FetchJwtSvid(const Arrival& arrival);
  Handler ValidateJwtSvid(const Arrival& arrival);
  // Where a profile is not there; only those with the header are told.
  Handler Unimplemented(const Arrival& arrival, const char* message);
  void AnswerJwt(const std::shared_ptr<PendingCall<JWTSVIDResponse>>& call,
                 const JwtQuestion& question, const identity::SelectorSet& selectors);

  StreamContext& streams_;
  CallerGate& gate_;
  JwtSource& jwts_;
  AttestationPool& jwt_pool_;
  const UnregisteredCallers unregistered_;
  const std::set<std::string, std::less<>> foreign_claims_;
};

}  // namespace signet::agent
