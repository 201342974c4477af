// DeltaSecrets: one proxy's subscription in the incremental form. Only what changed is sent, each
// secret with a version of its own; a name that stands for nothing, or not any longer, is told as
// removed. SPIRE's agent has no such method; the rules are those of the xDS protocol.
//
// Subscribing always gets an answer, also to a name held already. Requests change the
// subscription whatever nonce they carry; a NACK changes nothing else.
#pragma once

#include "agent/endpoints/sds_stream.h"

namespace signet::agent {

// What is subscribed to, and what the proxy holds. Pure.
class DeltaSubscription {
 public:
  using Request = envoy::service::discovery::v3::DeltaDiscoveryRequest;
  using Response = envoy::service::discovery::v3::DeltaDiscoveryResponse;

  // False: the request asks for too much.
  bool Take(const Request& request);

  // Everything under its SPIFFE ID: the first request named nothing, or "*".
  bool is_wildcard() const { return wildcard_; }
  const std::set<std::string>& names() const { return names_; }

  // What `selection` has that the proxy has not, and what it holds that is gone. Absent: nothing.
  std::optional<Response> Changes(const SecretSelection& selection) const;
  // `response` is on its way.
  void NoteSent(const Response& response);

 private:
  bool started_ = false;
  bool wildcard_ = false;
  bool owes_answer_ = false;
  std::set<std::string> names_;              // subscribed to by name
  std::map<std::string, std::string> held_;  // name -> version the proxy has
  std::set<std::string> told_removed_;       // names the proxy was told to be nothing
};

class DeltaSecretStream final
    : public SubscriptionStream<DeltaSubscription::Request, DeltaSubscription::Response> {
 public:
  DeltaSecretStream(const SdsContext& context, CallerGate::Admission admission);

 private:
  using Request = DeltaSubscription::Request;
  using Response = DeltaSubscription::Response;

  grpc::Status Take(const Request& request) override;
  Answer<Response> Compose(const Snapshot& snapshot, WallTime now) override;
  void Stamp(Response* response) override;

  const SdsContext& context_;

  // Under mutex():
  std::optional<DeltaSubscription> subscription_;  // set by the first request
  envoy::config::core::v3::Node node_;
  std::string type_url_;
  std::uint64_t version_ = 0;
};

}  // namespace signet::agent
