// Envoy's secret discovery, v3: StreamSecrets, DeltaSecrets and FetchSecrets. The caller is
// attested like any other; the Workload API's header is not asked for, as Envoy does not send it.
//
// Threads: gRPC's.
#pragma once

#include "agent/endpoints/caller_gate.h"
#include "agent/endpoints/pending_call.h"
#include "agent/endpoints/sds_delta_stream.h"
#include "agent/endpoints/sds_stream.h"
#include "envoy/service/secret/v3/sds.grpc.pb.h"

namespace signet::agent {

class SdsService final
    : public envoy::service::secret::v3::SecretDiscoveryService::CallbackService {
 public:
  SdsService(StreamContext& streams, CallerGate& gate, const SdsOptions& options, Random& random,
             const Logger& log);

  SecretReactor* StreamSecrets(grpc::CallbackServerContext* context) override;
  DeltaSecretReactor* DeltaSecrets(grpc::CallbackServerContext* context) override;
  grpc::ServerUnaryReactor* FetchSecrets(
      grpc::CallbackServerContext* context,
      const envoy::service::discovery::v3::DiscoveryRequest* request,
      envoy::service::discovery::v3::DiscoveryResponse* response) override;

 private:
  template <class Stream, class Reactor>
  Reactor* Open(grpc::CallbackServerContext* context);

  CallerGate& gate_;
  const SdsOptions options_;
  LogLimiter nack_lines_;
  const SdsContext context_;
};

}  // namespace signet::agent
