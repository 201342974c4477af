// Revocation through real programs: the CLI, signet-server, signet-agent, and who watches the
// agent's mesh stream as a proxy does.

#include <unistd.h>

#include <catch2/catch.hpp>

#include "signet/mesh/v1/mesh.grpc.pb.h"
#include "tests/support/agent_process.h"
#include "tests/support/workload_client.h"

namespace signet::test {
namespace {

using std::chrono::seconds;
using Ids = std::vector<std::string>;
namespace mesh_api = signet::mesh::v1;

const std::string kMine = "unix:uid:" + std::to_string(geteuid());

struct World {
  World() : server(SIGNET_BIN) {
    server.Start();
    PinPort(server);
    agent = std::make_unique<AgentProcess>(SIGNET_BIN, server);
    agent->Start(CreateJoinToken(*server.Admin()));
    const std::string id = agent->AgentId();
    parent = id.substr(id.find('/', std::string("spiffe://").size()));
  }
  void Put(const std::string& id, const std::string& path, const std::string& selector = kMine) {
    CreateEntry(*server.Admin(), MakeEntry(id, path, parent, selector));
  }
  // Runs the CLI; answers its exit code.
  int Signet(std::vector<std::string> arguments, std::string* output = nullptr) {
    arguments.insert(arguments.begin(),
                     {SIGNET_BIN + std::string("/signet"), "--socket", server.admin_socket()});
    return RunProcess(arguments, server.folder() + "/cli.log", output).code;
  }
  // Asks again until the answer has this code; false after ten seconds.
  bool IsAnswered(grpc::StatusCode code) {
    for (const auto end = std::chrono::steady_clock::now() + seconds(10);
         std::chrono::steady_clock::now() < end;)
      if (FetchOnce(agent->socket()).status.error_code() == code) return true;
    return false;
  }

  ServerProcess server;
  std::unique_ptr<AgentProcess> agent;
  std::string parent;
};

// The proxies' stream, its messages taken one by one.
class MeshWatch {
 public:
  explicit MeshWatch(const std::string& socket) : channel_(WorkloadChannel(socket)) {
    AddSecurityHeader(&context_);
    context_.set_deadline(std::chrono::system_clock::now() + seconds(20));
    stream_ = mesh_api::Mesh::NewStub(channel_)->Watch(&context_, {});
  }
  ~MeshWatch() {
    context_.TryCancel();
    Finish();
  }
  std::optional<mesh_api::WatchResponse> Next() {
    mesh_api::WatchResponse response;
    if (!stream_->Read(&response)) return std::nullopt;
    return response;
  }
  grpc::Status Finish() {
    if (!finished_) status_ = stream_->Finish();
    finished_ = true;
    return status_;
  }

 private:
  std::shared_ptr<grpc::Channel> channel_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<mesh_api::WatchResponse>> stream_;
  bool finished_ = false;
  grpc::Status status_;
};

TEST_CASE("an identity is revoked: its workload and the proxies hear of it, over restarts too") {
  World world;
  CHECK(MeshWatch(world.agent->socket()).Finish().error_code() == grpc::PERMISSION_DENIED);
  world.Put("web", "/web");
  world.Put("side", "/side");
  REQUIRE(world.IsAnswered(grpc::OK));  // the entries have reached the agent
  SvidStream workload(world.agent->socket());
  std::optional<X509SVIDResponse> first;
  do first = workload.Next();
  while (first && first->svids_size() < 2);
  REQUIRE(first);
  MeshWatch proxy(world.agent->socket());
  const auto before = proxy.Next();
  REQUIRE(before);
  CHECK(before->denials_size() == 0);

  std::string output;
  REQUIRE(world.Signet({"revoke", "spiffe://example.org/web", "--reason", "test"}, &output) == 0);
  const auto told = proxy.Next();
  REQUIRE(told);
  REQUIRE(told->denials_size() == 1);
  CHECK(told->denials(0).subject() == "spiffe://example.org/web");
  CHECK(told->revision() > 0);
  const auto left = workload.Next();
  REQUIRE(left);
  CHECK(IdsOf(*left) == Ids{"spiffe://example.org/side"});

  // Nothing is minted either.
  CHECK_THROWS(MintSvid(*world.server.Admin(), "spiffe://example.org/web"));
  world.Put("web-2", "/web", "unix:gid:" + std::to_string(getegid()));
  // The server is away, and the agent starts again: what was denied stays so.
  world.server.Kill();
  world.agent->Stop();  // so that the SVID is kept too
  world.agent->Start();
  const auto again = FetchOnce(world.agent->socket());
  REQUIRE(again.status.ok());
  CHECK(IdsOf(again.response) == Ids{"spiffe://example.org/side"});
  MeshWatch restarted(world.agent->socket());
  const auto kept = restarted.Next();
  REQUIRE(kept);
  CHECK(kept->denials_size() == 1);
  // The server as well.
  world.server.Start();
  CHECK_THROWS(MintSvid(*world.server.Admin(), "spiffe://example.org/web"));
  REQUIRE(world.Signet({"revoke", "list", "-o", "json"}, &output) == 0);
  CHECK_THAT(output, Catch::Contains("spiffe://example.org/web"));
  REQUIRE(world.Signet({"revoke", "remove", kept->denials(0).id()}, &output) == 0);
  const auto forgiven = restarted.Next();
  REQUIRE(forgiven);
  CHECK(forgiven->denials_size() == 0);
}

TEST_CASE("a certificate is revoked by its serial: the workload gets another one") {
  World world;
  world.Put("web", "/web");
  REQUIRE(world.IsAnswered(grpc::OK));
  SvidStream workload(world.agent->socket());
  const auto first = workload.Next();
  REQUIRE(first);
  const auto serial = [](const X509SVIDResponse& response) {
    return ca::ParseConcatenatedDer(AsBytes(response.svids(0).x509_svid()), 10)
        ->front()
        .SerialHex();
  };
  const std::string leaked = serial(*first);
  REQUIRE(world.Signet({"revoke", leaked}) == 0);
  const auto next = workload.Next();
  REQUIRE(next);
  CHECK(serial(*next) != leaked);
}

TEST_CASE("an agent is revoked: it erases what it holds and cannot join again") {
  World world;
  world.Put("web", "/web");
  REQUIRE(world.IsAnswered(grpc::OK));
  const std::string agent_id = world.agent->AgentId();
  std::string output;
  CHECK(world.Signet({"revoke", agent_id}, &output) == 2);  // says to use --agent
  REQUIRE(world.Signet({"revoke", "--agent", agent_id, "-o", "json"}, &output) == 0);
  CHECK_THAT(output, Catch::Contains("serial"));
  const auto end = world.agent->process().Wait(seconds(10));
  REQUIRE(end);
  CHECK(end->code == 4);  // denied
}

TEST_CASE("what cannot be revoked is said, with the exit code for it") {
  World world;
  CHECK(world.Signet({"revoke"}) == 2);
  CHECK(world.Signet({"revoke", "zz"}) == 2);
  CHECK(world.Signet({"revoke", "spiffe://example.org/a", "--until", "yesterday"}) == 2);
  CHECK(world.Signet({"revoke", "remove", "none"}) == 4);
  CHECK(world.Signet({"revoke", "list"}) == 0);
}

}  // namespace
}  // namespace signet::test
