// Real servers of three trust domains: two that federate over their bundle endpoints, so that their
// proxies talk, and a third that nobody federates with.

#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <thread>

#include "base/file.h"
#include "ca/x509/request.h"
#include "identity/bundle/bundle.h"
#include "spire/api/server/localauthority/v1/localauthority.grpc.pb.h"
#include "spire/api/server/trustdomain/v1/trustdomain.grpc.pb.h"
#include "tests/support/agent_proxy.h"
#include "tests/support/workload_client.h"

namespace signet::test {
namespace {

using namespace std::chrono_literals;
namespace trustdomain = spire::api::server::trustdomain::v1;

const std::string kEndpoint =
    "  bundle_endpoint: {listen: '127.0.0.1:0', profile: https_spiffe, refresh_hint: 1m}\n";

// A server of a trust domain, with an agent and one workload: this process.
struct Domain {
  Domain(std::string trust_domain, const std::string& settings)
      : name(std::move(trust_domain)), server(SIGNET_BIN) {
    server.Configure(settings, name);
    server.Start();
    PinPort(server);
  }
  std::string EndpointUrl() const {
    const std::string address = Logged(server.Output(), "bundle endpoint serves", "address=");
    INFO(server.Output());
    REQUIRE_FALSE(address.empty());
    return "https://" + address + "/";
  }
  std::string RootDigest() const {
    const auto root =
        ca::Certificate::Parse(AsBytes(GetBundle(*server.Admin()).x509_authorities(0).asn1()));
    return EncodeHex(root->fingerprint());
  }
  // The bundle that it holds of another trust domain; empty: none.
  spire::api::types::Bundle Holds(const std::string& other) const {
    spire::api::server::bundle::v1::GetFederatedBundleRequest request;
    request.set_trust_domain(other);
    spire::api::types::Bundle bundle;
    grpc::ClientContext context;
    if (!spire::api::server::bundle::v1::Bundle::NewStub(server.Admin())
             ->GetFederatedBundle(&context, request, &bundle)
             .ok())
      bundle.Clear();
    return bundle;
  }
  void StartAgent() {
    agent = std::make_unique<AgentProcess>(SIGNET_BIN, server);
    agent->Start(CreateJoinToken(*server.Admin()));
  }
  void AddEntry(const std::string& path, const std::vector<std::string>& federates_with) {
    const std::string id = agent->AgentId();
    auto entry = MakeEntry("entry", path, id.substr(("spiffe://" + name).size()),
                           "unix:uid:" + std::to_string(geteuid()));
    entry.mutable_spiffe_id()->set_trust_domain(name);
    entry.mutable_parent_id()->set_trust_domain(name);
    for (const auto& other : federates_with) entry.add_federates_with(other);
    CreateEntry(*server.Admin(), entry);
  }
  grpc::Status Refresh(const std::string& other) const {
    trustdomain::RefreshBundleRequest request;
    request.set_trust_domain(other);
    grpc::ClientContext context;
    google::protobuf::Empty nothing;
    return trustdomain::TrustDomain::NewStub(server.Admin())
        ->RefreshBundle(&context, request, &nothing);
  }

  const std::string name;
  ServerProcess server;
  std::unique_ptr<AgentProcess> agent;
};

// The server `domain` federates with `other`, whose bundle it is given.
void Federate(const Domain& domain, const Domain& other) {
  trustdomain::BatchCreateFederationRelationshipRequest request;
  auto* relationship = request.add_federation_relationships();
  relationship->set_trust_domain(other.name);
  relationship->set_bundle_endpoint_url(other.EndpointUrl());
  relationship->mutable_https_spiffe()->set_endpoint_spiffe_id("spiffe://" + other.name +
                                                               "/spire/server");
  *relationship->mutable_trust_domain_bundle() = GetBundle(*other.server.Admin());
  relationship->mutable_trust_domain_bundle()->set_sequence_number(0);
  trustdomain::BatchCreateFederationRelationshipResponse response;
  grpc::ClientContext context;
  REQUIRE(trustdomain::TrustDomain::NewStub(domain.server.Admin())
              ->BatchCreateFederationRelationship(&context, request, &response)
              .ok());
  REQUIRE(response.results(0).status().code() == 0);
}

}  // namespace

TEST_CASE("proxies of two federated trust domains talk, and one of a third is refused") {
  Domain one("one.test", "federation:\n" + kEndpoint + "  allowed_networks: [127.0.0.0/8]\n");
  // Bootstrapped by nothing but the digest of an authority.
  Domain two("two.test", "federation:\n" + kEndpoint +
                             "  federates_with:\n    - trust_domain: one.test\n"
                             "      bundle_endpoint_url: " +
                             one.EndpointUrl() +
                             "\n      profile: https_spiffe\n"
                             "      endpoint_spiffe_id: spiffe://one.test/spire/server\n"
                             "      bundle_sha256: '" +
                             one.RootDigest() + "'\n");
  Domain three("three.test", "");
  Federate(one, two);
  REQUIRE(Eventually([&] {
    return two.Holds("one.test").sequence_number() > 0 &&
           one.Holds("two.test").sequence_number() > 0;
  }));
  for (Domain* domain : {&one, &two, &three}) domain->StartAgent();
  one.AddEntry("/web", {"two.test"});
  two.AddEntry("/shop", {"one.test"});
  three.AddEntry("/shop", {});

  TestBackend backend(TestBackend::Echo);
  const AgentProxy inbound(
      *one.agent, "inbound: [{name: web, listen: '127.0.0.1:0', forward: '" +
                      backend.address().ToString() +
                      "', allow: [{ids: ['spiffe://two.test/shop', 'spiffe://three.test/*']}]}]\n");
  REQUIRE(inbound.BecomesReady());
  const auto outbound = [&](const Domain& domain) {
    return AgentProxy(*domain.agent, "outbound: [{name: out, listen: '127.0.0.1:0', forward: '" +
                                         inbound.Listener("web").ToString() +
                                         "', expect: [{id: 'spiffe://one.test/web'}]}]\n");
  };
  const AgentProxy friendly = outbound(two);
  REQUIRE(friendly.BecomesReady());
  CHECK(Eventually([&] {
    auto stream = StreamClient::Connect(friendly.Listener("out"));
    return Talks(stream);
  }));
  const auto served = backend.accepted();
  CHECK(served > 0);
  const AgentProxy stranger = outbound(three);
  REQUIRE(stranger.BecomesReady());
  auto refused = StreamClient::Connect(stranger.Listener("out"));
  CHECK_FALSE(Talks(refused));
  CHECK(backend.accepted() == served);
}

TEST_CASE(
    "a rotated authority reaches the other trust domain, also under a bundle that changed since") {
  Domain one("one.test", "federation:\n" + kEndpoint);
  Domain two("two.test", "federation: {allowed_networks: [127.0.0.0/8]}\n");
  Federate(two, one);
  REQUIRE(Eventually([&] { return two.Holds("one.test").sequence_number() > 0; }));
  const auto before = two.Holds("one.test");
  namespace local = spire::api::server::localauthority::v1;
  const auto stub = local::LocalAuthority::NewStub(one.server.Admin());
  for (int turn = 1; turn <= 2; ++turn) {
    local::PrepareX509AuthorityResponse prepared;
    grpc::ClientContext first;
    REQUIRE(stub->PrepareX509Authority(&first, {}, &prepared).ok());
    // Fetched with the authority before, and then shown by the new one.
    REQUIRE(two.Refresh("one.test").ok());
    CHECK(two.Holds("one.test").x509_authorities_size() == 1 + turn);
    local::ActivateX509AuthorityRequest activate;
    activate.set_authority_id(prepared.prepared_authority().authority_id());
    local::ActivateX509AuthorityResponse activated;
    grpc::ClientContext second;
    REQUIRE(stub->ActivateX509Authority(&second, activate, &activated).ok());
    REQUIRE(two.Refresh("one.test").ok());
  }
  CHECK(two.Holds("one.test").sequence_number() > before.sequence_number());

  // The last bundle is kept while the endpoint is away, and over a restart.
  one.server.Kill();
  CHECK(two.Refresh("one.test").error_code() == grpc::INTERNAL);
  two.server.Stop();
  two.server.Start();
  CHECK(two.Holds("one.test").x509_authorities_size() == 3);
}

TEST_CASE("a bundle endpoint on loopback is not reached for an administrator's word alone") {
  Domain one("one.test", "federation:\n" + kEndpoint);
  Domain two("two.test", "");
  Federate(two, one);
  const auto refused = two.Refresh("one.test");
  CHECK(refused.error_code() == grpc::INTERNAL);
  CHECK(refused.error_message().find("internal address") != std::string::npos);
  CHECK(two.Holds("one.test").sequence_number() == 0);
  CHECK(two.Refresh("none.test").error_code() == grpc::NOT_FOUND);
}

}  // namespace signet::test
