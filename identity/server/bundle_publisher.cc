#include "identity/server/bundle_publisher.h"

#include "net/web_identity.h"

namespace signet::identity {

struct BundlePublisher::State {
  BundleEndpoint endpoint;
  std::unique_ptr<net::WebIdentity> web;  // null: https_spiffe
  std::unique_ptr<net::HttpsServer> server;
};

BundlePublisher::BundlePublisher(std::unique_ptr<State> state) : state_(std::move(state)) {}
BundlePublisher::~BundlePublisher() { state_->server.reset(); }

Result<std::unique_ptr<BundlePublisher>> BundlePublisher::Start(const BundleEndpointConfig& config,
                                                                const PublisherParts& parts) {
  auto state = std::make_unique<State>(
      State{BundleEndpoint(parts.registry, config.documents), nullptr, nullptr});
  if (config.profile == EndpointProfile::kHttpsWeb) {
    SIGNET_TRY(state->web, net::WebIdentity::Open({config.certificate_file, config.key_file},
                                                  parts.clock, parts.log));
  }
  SIGNET_TRY(
      state->server,
      net::HttpsServer::Start(
          config.listen,
          [raw = state.get(), &identity = parts.identity] {
            return raw->web == nullptr ? identity.DocumentContext() : raw->web->Context();
          },
          [raw = state.get()](const std::string& path) { return raw->endpoint.DocumentAt(path); },
          {}, parts.clock, parts.metrics));
  parts.log.Info("bundle endpoint serves",
                 {{"address", state->server->address()},
                  {"profile", state->web == nullptr ? "https_spiffe" : "https_web"},
                  {"oidc_issuer", config.documents.issuer}});
  return std::unique_ptr<BundlePublisher>(new BundlePublisher(std::move(state)));
}

}  // namespace signet::identity
