// Who may call what, cell by cell through the real door: a server with its TLS front and its admin
// socket, every method it has a rule for, every kind of caller. What is expected is written down
// here on its own; a method without a row fails, and so does a row without a method.
#include <grpcpp/create_channel.h>
#include <grpcpp/create_channel_posix.h>
#include <grpcpp/generic/generic_stub.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <map>
#include <set>

#include "identity/api/authorization.h"
#include "identity/server/server.h"
#include "spire/api/server/bundle/v1/bundle.grpc.pb.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_random.h"
#include "tests/support/server_process.h"

namespace signet::identity {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

const WallTime kForever = FromUnixSeconds(4'102'444'800);  // 2100

constexpr std::array kKinds = {"anonymous", "local",    "agent",   "admin", "downstream",
                               "both",      "workload", "expired", "banned"};

// A letter for each of kKinds: y, allowed (whatever the answer); n, denied; -, there is no such
// service at this door.
struct Row {
  std::string_view cells;
  std::string_view service;
  std::vector<std::string_view> methods;
};

const std::vector<Row>& Matrix() {
  constexpr std::string_view kAnybody = "yyyyyyyyy";
  constexpr std::string_view kAdmins = "nynynynnn";
  constexpr std::string_view kAgents = "nnynnnnnn";
  constexpr std::string_view kLateAgentsToo = "nnynnnnyn";
  constexpr std::string_view kAdminsAndAgents = "nyyynynnn";
  constexpr std::string_view kDownstream = "nnnnyynnn";
  constexpr std::string_view kAdminSocket = "-y-------";
  static const std::vector<Row> kMatrix = {
      {kAnybody, "spire.api.server.agent.v1.Agent", {"AttestAgent"}},
      {kAdmins,
       "spire.api.server.agent.v1.Agent",
       {"CountAgents", "ListAgents", "GetAgent", "DeleteAgent", "BanAgent", "CreateJoinToken"}},
      {kLateAgentsToo, "spire.api.server.agent.v1.Agent", {"RenewAgent"}},
      {kAgents, "spire.api.server.agent.v1.Agent", {"PostStatus"}},
      {kAnybody, "spire.api.server.bundle.v1.Bundle", {"GetBundle"}},
      {kAdmins,
       "spire.api.server.bundle.v1.Bundle",
       {"CountBundles", "AppendBundle", "ListFederatedBundles", "BatchCreateFederatedBundle",
        "BatchUpdateFederatedBundle", "BatchSetFederatedBundle", "BatchDeleteFederatedBundle"}},
      {kAdminsAndAgents, "spire.api.server.bundle.v1.Bundle", {"GetFederatedBundle"}},
      {kDownstream,
       "spire.api.server.bundle.v1.Bundle",
       {"PublishJWTAuthority", "PublishWITAuthority"}},
      {kAdmins,
       "spire.api.server.entry.v1.Entry",
       {"CountEntries", "ListEntries", "GetEntry", "BatchCreateEntry", "BatchUpdateEntry",
        "BatchDeleteEntry"}},
      {kAgents,
       "spire.api.server.entry.v1.Entry",
       {"GetAuthorizedEntries", "SyncAuthorizedEntries"}},
      {kAdmins, "spire.api.server.svid.v1.SVID", {"MintX509SVID", "MintJWTSVID", "MintWITSVID"}},
      {kAgents,
       "spire.api.server.svid.v1.SVID",
       {"BatchNewX509SVID", "NewJWTSVID", "BatchNewWITSVID"}},
      {kDownstream, "spire.api.server.svid.v1.SVID", {"NewDownstreamX509CA"}},
      {kAdmins,
       "spire.api.server.trustdomain.v1.TrustDomain",
       {"ListFederationRelationships", "GetFederationRelationship",
        "BatchCreateFederationRelationship", "BatchUpdateFederationRelationship",
        "BatchDeleteFederationRelationship", "RefreshBundle"}},
      {kAdmins,
       "spire.api.server.localauthority.v1.LocalAuthority",
       {"GetJWTAuthorityState", "PrepareJWTAuthority", "ActivateJWTAuthority", "TaintJWTAuthority",
        "RevokeJWTAuthority", "GetX509AuthorityState", "PrepareX509Authority",
        "ActivateX509Authority", "TaintX509Authority", "RevokeX509Authority",
        "TaintX509UpstreamAuthority", "RevokeX509UpstreamAuthority", "GetWITAuthorityState",
        "PrepareWITAuthority", "ActivateWITAuthority", "TaintWITAuthority", "RevokeWITAuthority"}},
      {kAdminSocket, "spire.api.server.debug.v1.Debug", {"GetInfo"}},
      {kAdminSocket,
       "spire.api.server.logger.v1.Logger",
       {"GetLogger", "SetLogLevel", "ResetLogLevel"}},
      {kAdminSocket, "grpc.health.v1.Health", {"Check", "Watch", "List"}},
      {kAdmins, "signet.audit.v1.Audit", {"ListRecords", "GetCheckpoint", "Prune"}},
      {kAdmins, "signet.entries.v1.Entries", {"Apply", "List"}},
      {kDownstream, "signet.nested.v1.Nested", {"ReportHeld"}},
      {kAdmins, "signet.revocation.v1.Revocation", {"Revoke", "ListDenials", "RemoveDenial"}},
      {kAdmins, "signet.status.v1.Status", {"GetStatus", "GetRotation"}},
      {kAgents, "signet.sync.v1.Sync", {"Subscribe"}},
  };
  return kMatrix;
}

std::map<std::string, std::string_view> Expected() {
  std::map<std::string, std::string_view> expected;
  for (const Row& row : Matrix()) {
    for (const auto method : row.methods) {
      const auto path = "/" + std::string(row.service) + "/" + std::string(method);
      REQUIRE(expected.emplace(path, row.cells).second);
    }
  }
  return expected;
}

// The server's certificates are of the test's time; the dialer cuts by the system's.
class AnyServer final : public net::PeerVerifier {
 public:
  Result<std::shared_ptr<const net::PeerIdentity>> Verify(
      std::span<const ca::Certificate> presented) const override {
    return std::make_shared<const net::PeerIdentity>(
        net::PeerIdentity{"", ca::Chain(presented.begin(), presented.end()), kForever});
  }
};

// A server in this process, so that its time is the test's, and its callers.
struct World {
  World() {
    ConfigProblems problems;
    const auto config =
        ParseServerConfig("trust_domain: example.org\ndata_dir: " + folder.File("data") +
                              "\nlisten: 127.0.0.1:0\nadmin_socket: " + socket +
                              "\nratelimit: {attestation: false}\n",
                          "server.yaml", &problems);
    REQUIRE(problems.empty());
    auto started = Server::Start(config, clock, random, log);
    if (!started) FAIL(started.error().Message());
    server = *std::move(started);
    dialer = net::TlsDialer::Start(system_clock).value();
    callers["local"] = grpc::CreateChannel("unix:" + socket, grpc::InsecureChannelCredentials());
    callers["anonymous"] = Connect(nullptr);
    callers["agent"] = Attest();
    AddSvid("admin", true, false);
    AddSvid("downstream", false, true);
    AddSvid("both", true, true);
    AddSvid("workload", false, false);
  }

  std::shared_ptr<grpc::Channel> Connect(const test::TestIdentity* identity) {
    net::TlsOptions options;
    options.role = net::TlsRole::kClient;
    options.alpn = {"h2"};
    std::optional<net::TlsIdentity> shown;
    if (identity != nullptr) shown = net::TlsIdentity{identity->chain, identity->key};
    auto context = net::TlsContext::Create(options, shown, std::make_shared<AnyServer>());
    REQUIRE(context);
    auto dialed =
        dialer->Dial(net::Address::Parse(server->listen_address()).value(), *context, seconds(20));
    if (!dialed) FAIL(dialed.error().Message());
    auto channel = grpc::CreateInsecureChannelFromFd("localhost", dialed->plain.Release());
    // Used before the test's time goes on: who says nothing for half a minute is closed.
    grpc::ClientContext call;
    call.set_deadline(std::chrono::system_clock::now() + seconds(20));
    spire::api::types::Bundle bundle;
    REQUIRE(spire::api::server::bundle::v1::Bundle::NewStub(channel)
                ->GetBundle(&call, {}, &bundle)
                .ok());
    return channel;
  }
  std::shared_ptr<grpc::Channel> Attest() {
    last_agent =
        test::AttestAgent(*callers.at("anonymous"), test::CreateJoinToken(*callers.at("local")));
    return Connect(&last_agent);
  }
  void AddSvid(const std::string& kind, bool admin, bool downstream) {
    auto entry = test::MakeEntry(kind, "/" + kind, "/some/parent", "test:" + kind);
    entry.set_admin(admin);
    entry.set_downstream(downstream);
    test::CreateEntry(*callers.at("local"), entry);
    const auto svid =
        test::MintSvid(*callers.at("local"), "spiffe://example.org/" + kind, 48 * 3600);
    callers[kind] = Connect(&svid);
  }

  test::TempDir folder;
  // Short: the system bounds the path of a socket.
  const std::string socket = folder.File("s");
  test::FakeClock clock;
  OsRandom random;
  SystemClock system_clock;
  Logger log = Logger::Null();
  std::unique_ptr<net::TlsDialer> dialer;
  std::unique_ptr<Server> server;
  std::map<std::string, std::shared_ptr<grpc::Channel>> callers;
  test::TestIdentity last_agent;
};

// Sends one empty message, as a unary call and as a stream alike, and reads the first answer or the
// status.
char CellOf(const std::shared_ptr<grpc::Channel>& channel, const std::string& method) {
  grpc::GenericStub stub(channel);
  grpc::CompletionQueue queue;
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + seconds(20));
  const auto call = stub.PrepareCall(&context, method, &queue);
  void* tag = nullptr;
  bool ok = false;
  const auto wait = [&] {
    REQUIRE(queue.Next(&tag, &ok));
    return ok;
  };
  const grpc::Slice nothing;
  const grpc::ByteBuffer request(&nothing, 1);
  call->StartCall(nullptr);
  if (wait()) {
    call->WriteLast(request, grpc::WriteOptions(), nullptr);
    wait();
  }
  grpc::ByteBuffer answer;
  call->Read(&answer, nullptr);
  if (wait()) {
    context.TryCancel();
    grpc::Status cancelled;
    call->Finish(&cancelled, nullptr);
    wait();
    return 'y';
  }
  grpc::Status status;
  call->Finish(&status, nullptr);
  wait();
  const std::string& text = status.error_message();
  INFO(method << " " << status.error_code() << " " << text);
  CHECK(status.error_code() != grpc::StatusCode::UNAVAILABLE);
  CHECK(status.error_code() != grpc::StatusCode::DEADLINE_EXCEEDED);
  if (status.error_code() == grpc::PERMISSION_DENIED &&
      text == "authorization denied for method " + method)
    return 'n';
  if (status.error_code() == grpc::UNIMPLEMENTED && text.starts_with("unknown ")) return '-';
  return 'y';
}

}  // namespace

TEST_CASE("roles: the matrix has a row for each method the server speaks, and for no other") {
  const auto expected = Expected();
  std::set<std::string> methods;
  for (const MethodRule& rule : AllRules()) methods.emplace(rule.method);
  std::set<std::string> rows;
  for (const auto& [method, cells] : expected) {
    CHECK(cells.size() == kKinds.size());
    rows.insert(method);
  }
  CHECK(rows == methods);
}

TEST_CASE("roles: every method by every kind of caller, through the real door") {
  World world;
  // The agent "expired" comes back with the SVID it had, late; the others have fresh ones.
  const test::TestIdentity late = world.last_agent;
  world.clock.Advance(minutes(61));
  world.callers["anonymous"] = world.Connect(nullptr);
  world.callers["expired"] = world.Connect(&late);
  world.callers["agent"] = world.Attest();
  world.callers["banned"] = world.Attest();
  spire::api::server::agent::v1::BanAgentRequest ban;
  ban.mutable_id()->set_trust_domain("example.org");
  ban.mutable_id()->set_path(
      world.last_agent.id.substr(std::string("spiffe://example.org").size()));
  grpc::ClientContext context;
  google::protobuf::Empty nothing;
  REQUIRE(spire::api::server::agent::v1::Agent::NewStub(world.callers.at("local"))
              ->BanAgent(&context, ban, &nothing)
              .ok());
  const auto expected = Expected();
  std::size_t cells = 0;
  for (std::size_t kind = 0; kind < kKinds.size(); ++kind) {
    const auto& channel = world.callers.at(kKinds[kind]);
    for (const auto& [method, row] : expected) {
      INFO(kKinds[kind] << " " << method);
      CHECK(CellOf(channel, method) == row[kind]);
      ++cells;
    }
  }
  CHECK(cells == kKinds.size() * AllRules().size());
}

TEST_CASE("roles: what no rule names is answered as unknown to every kind of caller") {
  World world;
  for (const char* kind : {"anonymous", "local", "agent", "admin"}) {
    for (const char* method : {"/spire.api.server.entry.v1.Entry/NoSuch", "/no.such.Service/X"})
      CHECK(CellOf(world.callers.at(kind), method) == '-');
  }
}

}  // namespace signet::identity
