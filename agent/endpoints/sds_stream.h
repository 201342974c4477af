// StreamSecrets: one proxy's subscription in the state-of-the-world form. An answer holds all the
// secrets asked for; it is sent when the names change, and when what they stand for does.
//
// A request that answers another nonce than the last one is stale and ignored; one with
// error_detail (a NACK) is logged and changes nothing but the names, so a rejected secret is not
// sent again until it is another one.
#pragma once

#include "agent/endpoints/sds_answers.h"
#include "agent/endpoints/subscription_stream.h"
#include "base/log.h"
#include "base/log_limit.h"
#include "base/random.h"
#include "envoy/service/discovery/v3/discovery.pb.h"

namespace signet::agent {

// What subscriptions share; outlives them.
struct SdsContext {
  StreamContext& streams;
  const SdsOptions& options;
  Random& random;
  const Logger& log;
  LogLimiter& nack_lines;  // any local user can cause them
};

// Says what a proxy did not take.
void LogNack(const SdsContext& context, const Caller& caller, const std::string& text);

class SecretStream final
    : public SubscriptionStream<envoy::service::discovery::v3::DiscoveryRequest,
                                envoy::service::discovery::v3::DiscoveryResponse> {
 public:
  SecretStream(const SdsContext& context, CallerGate::Admission admission);

 private:
  using Request = envoy::service::discovery::v3::DiscoveryRequest;
  using Response = envoy::service::discovery::v3::DiscoveryResponse;

  grpc::Status Take(const Request& request) override;
  Answer<Response> Compose(const Snapshot& snapshot, WallTime now) override;
  void Stamp(Response* response) override;

  const SdsContext& context_;

  // Under mutex():
  std::optional<std::set<std::string>> names_;  // set by the first request
  envoy::config::core::v3::Node node_;          // of the last request that had one
  std::string type_url_;
  std::string nonce_;  // of the last answer
  std::uint64_t version_ = 0;
  std::optional<ca::Sha256Digest> view_;       // what version_ stands for
  std::optional<ca::Sha256Digest> next_view_;  // of the answer composed last
  std::optional<ca::Sha256Digest> seen_;       // of the last one composed whole
  bool asked_anew_ = false;                    // names or node changed since
};

// What one request is answered with: FetchSecrets.
Answer<envoy::service::discovery::v3::DiscoveryResponse> AnswerSecrets(
    const WorkloadView& view, const envoy::service::discovery::v3::DiscoveryRequest& request,
    const SdsOptions& options);

// The names of a request, without empty ones; absent when there are too many.
std::optional<std::set<std::string>> ReadNames(
    const google::protobuf::RepeatedPtrField<std::string>& names);

}  // namespace signet::agent
