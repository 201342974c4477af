// The SPIFFE Workload API over gRPC's callback API: who calls is looked up, attested away from
// gRPC's threads, and answered by an UpdateStream. JWT and WIT profiles answer UNIMPLEMENTED.
//
// Threads: gRPC's.
#pragma once

#include <functional>
#include <map>

#include "agent/endpoints/update_stream.h"
#include "agent/workload/attestation_pool.h"
#include "base/log.h"
#include "base/log_limit.h"
#include "base/metrics.h"
#include "spiffe/workload.grpc.pb.h"

namespace signet::agent {

using CallerAttestor = std::function<Result<identity::SelectorSet>(const net::PeerCredentials&)>;

// Counts refusals by their code.
class RefusalCounters {
 public:
  explicit RefusalCounters(Metrics& metrics);
  void Count(const grpc::Status& status);

 private:
  std::map<int, Counter*> by_code_;
};

class WorkloadService final : public SpiffeWorkloadAPI::CallbackService {
 public:
  WorkloadService(StreamContext& streams, CallerTable& callers, AttestationPool& pool,
                  CallerAttestor attest, const Logger& log, Metrics& metrics,
                  RefusalCounters& refusals);

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

 private:
  template <class Response>
  grpc::ServerWriteReactor<Response>* Open(grpc::CallbackServerContext* context,
                                           typename UpdateStream<Response>::Encoder encode);
  template <class Response>
  grpc::ServerWriteReactor<Response>* RefuseStream(const grpc::Status& status);
  grpc::ServerUnaryReactor* RefuseUnary(grpc::CallbackServerContext* context,
                                        const grpc::Status& status);
  Result<identity::SelectorSet> Attest(const Caller& caller);

  StreamContext& streams_;
  CallerTable& callers_;
  AttestationPool& pool_;
  const CallerAttestor attest_;
  const Logger& log_;
  LogLimiter failure_lines_;
  Counter& attestation_failures_;
  RefusalCounters& refusals_;
};

}  // namespace signet::agent
