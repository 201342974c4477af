// The SPIFFE Workload API over gRPC's callback API. Streams are answered by UpdateStream; tokens
// are fetched on threads that may wait for the server. WIT profiles answer UNIMPLEMENTED.
//
// Threads: gRPC's.
#pragma once

#include "agent/endpoints/caller_gate.h"
#include "agent/endpoints/endpoint_options.h"
#include "agent/endpoints/pending_call.h"
#include "agent/endpoints/workload_answers.h"
#include "agent/jwt/jwt_source.h"
#include "spiffe/workload.grpc.pb.h"

namespace signet::agent {

class WorkloadService final : public SpiffeWorkloadAPI::CallbackService {
 public:
  WorkloadService(StreamContext& streams, CallerGate& gate, JwtSource& jwts,
                  AttestationPool& jwt_pool, const EndpointOptions& options);

  grpc::ServerWriteReactor<X509SVIDResponse>* FetchX509SVID(
      grpc::CallbackServerContext* context, const X509SVIDRequest* request) override;
  grpc::ServerWriteReactor<X509BundlesResponse>* FetchX509Bundles(
      grpc::CallbackServerContext* context, const X509BundlesRequest* request) override;
  grpc::ServerUnaryReactor* FetchJWTSVID(grpc::CallbackServerContext* context,
                                         const JWTSVIDRequest* request,
                                         JWTSVIDResponse* response) override;
  grpc::ServerWriteReactor<JWTBundlesResponse>* FetchJWTBundles(
      grpc::CallbackServerContext* context, const JWTBundlesRequest* request) override;
  grpc::ServerUnaryReactor* ValidateJWTSVID(grpc::CallbackServerContext* context,
                                            const ValidateJWTSVIDRequest* request,
                                            ValidateJWTSVIDResponse* response) override;
  grpc::ServerWriteReactor<WITSVIDResponse>* FetchWITSVID(grpc::CallbackServerContext* context,
                                                          const WITSVIDRequest* request) override;
  grpc::ServerWriteReactor<WITBundlesResponse>* FetchWITBundles(
      grpc::CallbackServerContext* context, const WITBundlesRequest* request) override;

  // For MeshService: the denials, to a caller that is attested as a workload.
  grpc::ServerWriteReactor<signet::mesh::v1::WatchResponse>* WatchDenials(
      grpc::CallbackServerContext* context);

 private:
  template <class Response>
  using ViewEncoder = std::function<Answer<Response>(const WorkloadView&)>;
  template <class Response>
  grpc::ServerWriteReactor<Response>* Open(grpc::CallbackServerContext* context,
                                           ViewEncoder<Response> encode);
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
