#include "proxy/identity/mesh_client.h"

#include <grpcpp/grpcpp.h>

#include <catch2/catch.hpp>
#include <condition_variable>
#include <deque>
#include <optional>

#include "signet/mesh/v1/mesh.grpc.pb.h"
#include "spiffe/workload.grpc.pb.h"
#include "tests/support/temp_dir.h"

namespace signet::proxy {
namespace {

using namespace std::chrono_literals;
namespace mesh_api = signet::mesh::v1;

// Remembers what it was told; each wait ends after 20 s.
class Witness final : public DenialObserver {
 public:
  void OnDenials(identity::DenialSetPtr denials) override {
    Note([&] { heard.push_back(std::move(denials)); });
  }
  void OnNoDenials() override {
    Note([&] { ++unknown; });
  }
  void OnDenialTrouble(const Error& why) override {
    Note([&] { troubles.push_back(why.reason); });
  }
  template <class Condition>
  bool WaitFor(Condition condition) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, 20s, condition);
  }
  std::vector<Reason> Troubles() {
    const std::lock_guard lock(mutex_);
    return troubles;
  }

  std::vector<identity::DenialSetPtr> heard;
  std::vector<Reason> troubles;
  int unknown = 0;

 private:
  template <class Action>
  void Note(Action action) {
    {
      const std::lock_guard lock(mutex_);
      action();
    }
    changed_.notify_all();
  }
  std::mutex mutex_;
  std::condition_variable changed_;
};

// The agent's end: the stream that was opened last sends what is in the queue.
class FakeMesh final : public mesh_api::Mesh::Service {
 public:
  grpc::Status Watch(grpc::ServerContext* context, const mesh_api::WatchRequest*,
                     grpc::ServerWriter<mesh_api::WatchResponse>* writer) override {
    const auto& sent = context->client_metadata();
    if (sent.count("workload.spiffe.io") != 1)
      return {grpc::StatusCode::INVALID_ARGUMENT, "security header missing from request"};
    std::unique_lock lock(mutex_);
    const int mine = ++opened_;
    changed_.notify_all();
    while (mine == opened_ && !context->IsCancelled()) {
      if (end_) return *std::exchange(end_, std::nullopt);
      if (queue_.empty()) {
        changed_.wait_for(lock, 5ms);
        continue;
      }
      const mesh_api::WatchResponse next = std::move(queue_.front());
      queue_.pop_front();
      lock.unlock();
      writer->Write(next);
      lock.lock();
    }
    return grpc::Status::CANCELLED;
  }
  void Say(mesh_api::WatchResponse response) {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(response));
    changed_.notify_all();
  }
  bool WaitForStream(int count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, 20s, [&] { return opened_ >= count; });
  }
  void EndStream(grpc::Status status) {
    const std::lock_guard lock(mutex_);
    end_ = std::move(status);
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<mesh_api::WatchResponse> queue_;
  std::optional<grpc::Status> end_;
  int opened_ = 0;
};

struct Agent {
  explicit Agent(bool knows_denials = true) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("unix:" + directory.File("api.sock"),
                             grpc::InsecureServerCredentials());
    if (knows_denials) builder.RegisterService(&mesh);
    if (!knows_denials) builder.RegisterService(&workload_api);
    server = builder.BuildAndStart();
    REQUIRE(server);
    client = MeshClient::Start({directory.File("api.sock"), 10ms, 50ms}, witness, random, metrics);
  }
  ~Agent() {
    client.reset();
    server->Shutdown();
  }
  bool Heard(std::size_t count) {
    return witness.WaitFor([&] { return witness.heard.size() >= count; });
  }

  test::TempDir directory;
  FakeMesh mesh;
  SpiffeWorkloadAPI::Service workload_api;
  std::unique_ptr<grpc::Server> server;
  Witness witness;
  OsRandom random;
  Metrics metrics;
  std::unique_ptr<MeshClient> client;
};

mesh_api::WatchResponse Denying(std::uint32_t kind, const std::string& subject,
                                std::int64_t until = 0) {
  mesh_api::WatchResponse response;
  auto* denial = response.add_denials();
  denial->set_id("1");
  denial->set_kind(kind);
  denial->set_subject(subject);
  denial->set_until(until);
  return response;
}

identity::SpiffeId Id(const std::string& path) {
  return *identity::SpiffeId::Parse("spiffe://example.org" + path);
}

TEST_CASE("each word of the agent's replaces what was said before") {
  Agent agent;
  agent.mesh.Say({});
  REQUIRE(agent.Heard(1));
  CHECK(agent.witness.heard[0]->empty());
  agent.mesh.Say(Denying(1, "spiffe://example.org/a", 100));
  REQUIRE(agent.Heard(2));
  CHECK(agent.witness.heard[1]->Find(Id("/a"), {}, FromUnixSeconds(99)) != nullptr);
  CHECK(agent.witness.heard[1]->Find(Id("/a"), {}, FromUnixSeconds(100)) == nullptr);
  agent.mesh.Say(Denying(2, "ab"));
  REQUIRE(agent.Heard(3));
  CHECK(agent.witness.heard[2]->Find(Id("/a"), {}, FromUnixSeconds(0)) == nullptr);
  CHECK(agent.witness.heard[2]->Find(Id("/x"), "0AB", FromUnixSeconds(0)) != nullptr);
  CHECK(agent.witness.Troubles().empty());
}

TEST_CASE("a denial of an unknown kind matches nobody and spoils nothing") {
  Agent agent;
  mesh_api::WatchResponse response = Denying(1, "spiffe://example.org/a");
  for (const std::uint32_t kind : {7U, 70000U}) {
    auto* later = response.add_denials();
    later->set_id(std::to_string(kind));
    later->set_kind(kind);
    later->set_subject("spiffe://example.org/b");
  }
  agent.mesh.Say(response);
  REQUIRE(agent.Heard(1));
  CHECK(agent.witness.heard[0]->all().size() == 3);
  CHECK(agent.witness.heard[0]->Find(Id("/a"), {}, FromUnixSeconds(0)) != nullptr);
  CHECK(agent.witness.heard[0]->Find(Id("/b"), {}, FromUnixSeconds(0)) == nullptr);
}

TEST_CASE("attack 47: what does not parse is trouble, counts for nothing, and is asked for again") {
  Agent agent;
  const bool too_many = GENERATE(false, true);
  mesh_api::WatchResponse bad = Denying(1, "example.org/a");
  if (too_many) {
    bad = {};
    for (std::size_t i = 0; i <= identity::kMaxDenials; ++i) {
      bad.add_denials()->set_id(std::to_string(i));
    }
  }
  agent.mesh.Say(bad);
  REQUIRE(agent.witness.WaitFor([&] { return !agent.witness.troubles.empty(); }));
  CHECK(agent.witness.Troubles().front() == kDenialsUnusable);
  REQUIRE(agent.mesh.WaitForStream(2));
  agent.mesh.Say(Denying(1, "spiffe://example.org/a"));
  REQUIRE(agent.Heard(1));
  CHECK(agent.witness.heard[0]->all().size() == 1);
}

TEST_CASE("attack 47: a stream that ends in any way is trouble, and opened again") {
  Agent agent;
  agent.mesh.Say({});
  REQUIRE(agent.Heard(1));
  std::size_t heard = 1;
  for (const grpc::Status& end :
       {grpc::Status::OK, grpc::Status(grpc::StatusCode::UNAVAILABLE, "going"),
        grpc::Status(grpc::StatusCode::PERMISSION_DENIED, "no identity issued")}) {
    agent.mesh.EndStream(end);
    REQUIRE(agent.witness.WaitFor([&] { return agent.witness.troubles.size() >= heard; }));
    CHECK(agent.witness.Troubles().back() == kDenialsAway);
    agent.mesh.Say({});
    REQUIRE(agent.Heard(++heard));
  }
  CHECK(agent.witness.unknown == 0);
}

TEST_CASE("an agent without denials is told from one that is away") {
  Agent agent(false);
  REQUIRE(agent.witness.WaitFor([&] { return agent.witness.unknown > 0; }));
  CHECK(agent.witness.Troubles().empty());
}

}  // namespace
}  // namespace signet::proxy
