// A server below another one, as real processes: server, agent, nested server, nested agent.
// Workloads of both levels verify each other, while the server above rotates, is killed, and
// taints.
#include <unistd.h>

#include <catch2/catch.hpp>

#include "identity/svid/x509_svid.h"
#include "spire/api/server/localauthority/v1/localauthority.grpc.pb.h"
#include "tests/support/agent_process.h"
#include "tests/support/eventually.h"
#include "tests/support/workload_client.h"

namespace signet::test {
namespace {

namespace api = spire::api::server::localauthority::v1;
using std::chrono::seconds;

constexpr const char* kTimes = "ca_ttl: 24h\ndefault_x509_svid_ttl: 1h\n";

std::string OwnUid() { return "unix:uid:" + std::to_string(getuid()); }

identity::BundleMap BundleOf(const X509SVIDResponse& answer) {
  const auto roots = ca::ParseConcatenatedDer(AsBytes(answer.svids(0).bundle()), 100).value();
  identity::Bundle bundle;
  bundle.trust_domain = *identity::TrustDomain::Parse("example.org");
  for (const auto& root : roots) bundle.x509_authorities.push_back({root, false});
  return {{bundle.trust_domain, bundle}};
}

ca::Chain ChainOf(const X509SVIDResponse& answer) {
  return ca::ParseConcatenatedDer(AsBytes(answer.svids(0).x509_svid()), 10).value();
}

// Whether who got `who` is accepted by who got `by`.
bool Accepts(const X509SVIDResponse& by, const X509SVIDResponse& who) {
  return identity::VerifyX509Svid(ChainOf(who), BundleOf(by), SystemClock().Now()).has_value();
}

// One step of an operator; throws when it is refused.
template <class Request, class Response>
Response Do(const ServerProcess& server,
            grpc::Status (api::LocalAuthority::Stub::*method)(grpc::ClientContext*, const Request&,
                                                              Response*),
            const Request& request) {
  grpc::ClientContext context;
  Response response;
  const auto stub = api::LocalAuthority::NewStub(server.Admin());
  const grpc::Status status = (*stub.*method)(&context, request, &response);
  if (!status.ok()) throw std::runtime_error(status.error_message());
  return response;
}

using Stub = api::LocalAuthority::Stub;

api::AuthorityState Rotate(const ServerProcess& server) {
  const auto prepared = Do(server, &Stub::PrepareX509Authority, api::PrepareX509AuthorityRequest());
  api::ActivateX509AuthorityRequest request;
  request.set_authority_id(prepared.prepared_authority().authority_id());
  return Do(server, &Stub::ActivateX509Authority, request).activated_authority();
}

api::AuthorityState ActiveOf(const ServerProcess& server) {
  return Do(server, &Stub::GetX509AuthorityState, api::GetX509AuthorityStateRequest()).active();
}

bool HasRoot(const ServerProcess& server, const std::string& key_id, bool tainted = false) {
  const auto bundle = GetBundle(*server.Admin());
  for (const auto& authority : bundle.x509_authorities()) {
    const auto certificate = ca::Certificate::Parse(AsBytes(authority.asn1())).value();
    if (EncodeHex(certificate.subject_key_id()) == key_id && authority.tainted() == tainted)
      return true;
  }
  return false;
}

std::size_t JwtKeys(const ServerProcess& server) {
  return static_cast<std::size_t>(GetBundle(*server.Admin()).jwt_authorities_size());
}

// Both levels, each with an agent and a workload: this process.
struct Levels {
  ServerProcess above{SIGNET_BIN, kTimes};
  std::unique_ptr<AgentProcess> agent_above;
  std::unique_ptr<ServerProcess> nested;
  std::unique_ptr<AgentProcess> agent_below;

  explicit Levels(bool downstream = true) {
    above.Start();
    PinPort(above);
    agent_above = StartAgent(above);
    auto entry = MakeEntry("nested", "/nested-server", agent_above->AgentId(), OwnUid());
    entry.set_downstream(downstream);
    CreateEntry(*above.Admin(), entry);
    nested = std::make_unique<ServerProcess>(
        SIGNET_BIN, std::string(kTimes) + "upstream_authority:\n  type: signet\n  server: " +
                        above.address().ToString() +
                        "\n  workload_api_socket: " + agent_above->socket() + "\n");
  }
  void StartNested() {
    nested->Start();
    PinPort(*nested);
    agent_below = StartAgent(*nested);
    CreateEntry(*nested->Admin(), MakeEntry("lower", "/lower", agent_below->AgentId(), OwnUid()));
  }
  static std::unique_ptr<AgentProcess> StartAgent(const ServerProcess& server) {
    auto agent = std::make_unique<AgentProcess>(SIGNET_BIN, server);
    agent->Start(CreateJoinToken(*server.Admin()));
    agent->AgentId();
    return agent;
  }
};

std::optional<X509SVIDResponse> Fetch(const AgentProcess& agent) {
  X509SVIDResponse answer;
  const bool found = Eventually([&] {
    auto first = FetchOnce(agent.socket());
    answer = first.response;
    return first.status.ok() && answer.svids_size() > 0;
  });
  if (!found) return std::nullopt;
  return answer;
}

TEST_CASE(
    "workloads below and above verify each other, and follow a rotation above and its taint") {
  Levels levels;
  levels.StartNested();
  const auto upper = Fetch(*levels.agent_above);
  const auto lower = Fetch(*levels.agent_below);
  REQUIRE(upper);
  REQUIRE(lower);
  CHECK(ChainOf(*lower).size() == 2);  // the SVID and the nested server's certificate
  CHECK(Accepts(*upper, *lower));
  CHECK(Accepts(*lower, *upper));
  // JWT authorities of both are known at both levels.
  CHECK(JwtKeys(*levels.nested) == 2);
  CHECK(JwtKeys(levels.above) == 2);

  const std::string first = ActiveOf(*levels.nested).upstream_authority_subject_key_id();
  CHECK(ActiveOf(levels.above).authority_id() == first);
  const auto second = Rotate(levels.above);
  REQUIRE(Eventually([&] { return HasRoot(*levels.nested, second.authority_id()); }));
  CHECK(Accepts(*Fetch(*levels.agent_above), *lower));

  // The worst day: the nested server leaves the tainted root, and all below it renew.
  api::TaintX509AuthorityRequest taint;
  taint.set_authority_id(first);
  Do(levels.above, &Stub::TaintX509Authority, taint);
  REQUIRE(Eventually([&] { return HasRoot(*levels.nested, first, true); }, seconds(60)));
  CHECK(ActiveOf(*levels.nested).upstream_authority_subject_key_id() == second.authority_id());
  const auto is_below_second = [&](const AgentProcess& agent) {
    const auto answer = Fetch(agent);
    return answer && EncodeHex(ChainOf(*answer).back().authority_key_id()) == second.authority_id();
  };
  CHECK(Eventually([&] { return is_below_second(*levels.agent_below); }, seconds(60)));
  CHECK(Eventually([&] { return is_below_second(*levels.agent_above); }, seconds(60)));
  api::RevokeX509AuthorityRequest revoke;
  revoke.set_authority_id(first);
  Do(levels.above, &Stub::RevokeX509Authority, revoke);
  REQUIRE(Eventually(
      [&] {
        return !HasRoot(*levels.nested, first, true) && !HasRoot(*levels.nested, first, false);
      },
      seconds(60)));
  CHECK(Accepts(*Fetch(*levels.agent_above), *Fetch(*levels.agent_below)));
  CHECK(Accepts(*Fetch(*levels.agent_below), *Fetch(*levels.agent_above)));
}

int Signet(const ServerProcess& server, std::vector<std::string> arguments, std::string* output) {
  arguments.insert(arguments.begin(),
                   {SIGNET_BIN + std::string("/signet"), "--socket", server.admin_socket()});
  return RunProcess(arguments, server.folder() + "/cli.log", output).code;
}

TEST_CASE("a rotation above waits for the agents below the nested server, and names that server") {
  Levels levels;
  levels.StartNested();
  REQUIRE(Fetch(*levels.agent_below));
  const std::string first = ActiveOf(levels.above).authority_id();
  levels.agent_below->Stop();  // its workloads go on with what they have
  std::string output;
  CHECK(Signet(levels.above, {"authority", "rotate", "--timeout", "12s"}, &output) != 0);
  CHECK_THAT(output, Catch::Contains("spiffe://example.org/nested-server"));
  CHECK(ActiveOf(levels.above).authority_id() == first);
  levels.agent_below->Start();
  CHECK(Signet(levels.above, {"authority", "rotate", "--timeout", "60s"}, &output) == 0);
  CHECK(ActiveOf(levels.above).authority_id() != first);
}

TEST_CASE(
    "while the server above is away the nested one issues, restarts and says who is missing") {
  Levels levels;
  levels.StartNested();
  REQUIRE(Fetch(*levels.agent_below));
  levels.above.Kill();
  CHECK_FALSE(MintSvid(*levels.nested->Admin(), "spiffe://example.org/m").chain.empty());
  levels.nested->Stop();
  levels.nested->Start();
  CHECK_FALSE(MintSvid(*levels.nested->Admin(), "spiffe://example.org/m").chain.empty());
  REQUIRE(Eventually([&] {
    return levels.nested->Output().find("the authority above does not answer") != std::string::npos;
  }));
  std::string status;
  CHECK(Signet(*levels.nested, {"status"}, &status) == 1);
  CHECK_THAT(status, Catch::Contains("has not answered since"));
  levels.above.Start();
  REQUIRE(Eventually(
      [&] {
        return levels.nested->Output().find("the authority above answers again") !=
               std::string::npos;
      },
      seconds(60)));
  const auto prepared = Rotate(*levels.nested);
  CHECK(ActiveOf(*levels.nested).authority_id() == prepared.authority_id());
}

TEST_CASE("a nested server whose entry is not marked as downstream does not start, and says why") {
  Levels levels(false);
  const auto end = levels.nested->StartRefused();
  CHECK(end.code == 4);
  CHECK(levels.nested->Output().find("marked as downstream") != std::string::npos);
}

}  // namespace
}  // namespace signet::test
