// Random changes on a real server while the agents' streams are cut at random: no stream goes back
// a step, none holds other entries than it was sent, and at every standstill each agent holds
// exactly what it should.
//
// SIGNET_CHURN_CHANGES: how many (2,000); SIGNET_CHURN_SEED: of what is random (1).

#include <atomic>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <map>
#include <mutex>
#include <random>
#include <thread>

#include "ca/crypto/digest.h"
#include "signet/sync/v1/sync.grpc.pb.h"
#include "tests/support/eventually.h"
#include "tests/support/server_process.h"

namespace signet::test {
namespace {

namespace bundle_api = spire::api::server::bundle::v1;
namespace entry_api = spire::api::server::entry::v1;
namespace sync_api = signet::sync::v1;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::size_t kAgents = 12;
constexpr std::size_t kMostEntries = 2000;
constexpr int kMostInOne = 20;        // changes of one call
constexpr int kStandstillEach = 500;  // changes
constexpr std::size_t kFederated = 3;

std::string FederatedName(std::size_t i) { return "fed" + std::to_string(i) + ".test"; }

int FromEnvironment(const char* name, int otherwise) {
  const char* const text = std::getenv(name);
  return text == nullptr ? otherwise : std::atoi(text);
}

// What an agent holds, or should.
struct Holding {
  struct Version {
    std::int64_t revision = 0, created_at = 0;
    std::string hint;
    friend bool operator==(const Version&, const Version&) = default;
  };
  std::map<std::string, Version> entries;
  std::map<std::string, std::uint64_t> bundles;  // federated ones, their sequence numbers
  friend bool operator==(const Holding&, const Holding&) = default;

  void Put(const spire::api::types::Entry& entry) {
    entries[entry.id()] = {entry.revision_number(), entry.created_at(), entry.hint()};
  }
  // As signet/sync/v1/sync.proto defines it.
  std::string Digest() const {
    ca::Sha256Hasher hasher;
    const auto number = [&](std::uint64_t value, int bytes) {
      Bytes text;
      for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8)
        text.push_back(static_cast<std::uint8_t>(value >> shift));
      hasher.Update(text);
    };
    for (const auto& [id, version] : entries) {
      number(id.size(), 4);
      hasher.Update(AsBytes(id));
      number(static_cast<std::uint64_t>(version.revision), 8);
      number(static_cast<std::uint64_t>(version.created_at), 8);
    }
    return ToString(hasher.Finish());
  }
};

// An agent as the protocol wants it: it applies whole revisions, says what it applied, and when its
// stream is cut it subscribes again with what it holds.
//
// Threads: one of its own; everything public is safe from any thread.
class SimulatedAgent {
 public:
  SimulatedAgent(const ServerProcess& server, TestIdentity identity)
      : server_(server), identity_(std::move(identity)), thread_([this] { Run(); }) {}
  ~SimulatedAgent() {
    stopping_ = true;
    Cut(false);
    thread_.join();
  }
  SimulatedAgent(const SimulatedAgent&) = delete;

  const TestIdentity& identity() const { return identity_; }
  // Ends its stream, wherever it is; also the connection.
  void Cut(bool connection) {
    const std::lock_guard lock(mutex_);
    if (connection) channel_ = nullptr;
    if (context_ != nullptr) context_->TryCancel();
  }
  Holding held() const {
    const std::lock_guard lock(mutex_);
    return held_;
  }
  std::string trouble() const {
    const std::lock_guard lock(mutex_);
    return trouble_;
  }
  int streams() const { return streams_; }
  int continued() const { return continued_; }

 private:
  void Run() {
    while (!stopping_) {
      grpc::ClientContext context;
      std::shared_ptr<grpc::Channel> channel;
      {
        const std::lock_guard lock(mutex_);
        channel = channel_;
      }
      if (!channel) channel = server_.Tls(&identity_);
      {
        const std::lock_guard lock(mutex_);
        channel_ = channel;
        context_ = &context;
      }
      if (stopping_) context.TryCancel();
      const grpc::Status end = Follow(channel, &context);
      const std::lock_guard lock(mutex_);
      context_ = nullptr;
      if (end.error_code() != grpc::CANCELLED) channel_ = nullptr;
      if (end.error_code() != grpc::CANCELLED && end.error_code() != grpc::UNAVAILABLE)
        Complain("the stream ended: " + end.error_message());
    }
  }

  grpc::Status Follow(const std::shared_ptr<grpc::Channel>& channel, grpc::ClientContext* context) {
    if (!channel) return {grpc::StatusCode::UNAVAILABLE, ""};
    const auto stub = sync_api::Sync::NewStub(channel);
    const auto stream = stub->Subscribe(context);
    sync_api::SubscribeRequest hello;
    hello.mutable_hello()->set_agent_version("churn");
    hello.mutable_hello()->set_last_revision(revision_);
    if (revision_ != 0) hello.mutable_hello()->set_last_digest(held().Digest());
    stream->Write(hello);
    ++streams_;
    std::vector<sync_api::Batch> parts;
    bool is_first = true;
    sync_api::SubscribeResponse response;
    while (stream->Read(&response)) {
      if (!response.has_batch()) continue;
      parts.push_back(response.batch());
      if (!response.batch().last()) continue;
      Apply(parts, is_first);
      is_first = false;
      parts.clear();
      sync_api::SubscribeRequest applied;
      applied.mutable_applied()->set_revision(revision_);
      applied.mutable_applied()->set_digest(held().Digest());
      stream->Write(applied);
    }
    return stream->Finish();
  }

  void Apply(const std::vector<sync_api::Batch>& parts, bool is_first) {
    const std::lock_guard lock(mutex_);
    const auto revision = parts.front().revision();
    const bool full = parts.front().full();
    if (revision < revision_ || (!is_first && revision == revision_))
      Complain("a step backwards: " + std::to_string(revision) + " after " +
               std::to_string(revision_));
    // The server's answer to a digest that is not its own.
    if (full && !is_first) Complain("the digests differed at " + std::to_string(revision_));
    if (!full && is_first) ++continued_;
    if (full) held_ = {};
    for (const auto& part : parts) {
      if (part.revision() != revision) Complain("a revision changed in its middle");
      for (const auto& entry : part.upserts()) held_.Put(entry);
      for (const auto& id : part.removed_entry_ids()) held_.entries.erase(id);
      for (const auto& bundle : part.bundles())
        if (bundle.trust_domain() != "example.org")
          held_.bundles[bundle.trust_domain()] = bundle.sequence_number();
      for (const auto& name : part.removed_bundles()) held_.bundles.erase(name);
    }
    revision_ = revision;
  }
  void Complain(const std::string& what) {
    if (trouble_.empty()) trouble_ = what;
  }

  const ServerProcess& server_;
  const TestIdentity identity_;
  std::atomic<bool> stopping_ = false;
  std::atomic<int> streams_ = 0, continued_ = 0;
  std::uint64_t revision_ = 0;  // the thread's
  mutable std::mutex mutex_;
  std::shared_ptr<grpc::Channel> channel_;
  grpc::ClientContext* context_ = nullptr;
  Holding held_;
  std::string trouble_;
  std::thread thread_;
};

// Who changes things, and knows how they are.
class Admin {
 public:
  Admin(const ServerProcess& server, std::vector<std::string> parents, unsigned seed)
      : channel_(server.Admin()),
        entries_(entry_api::Entry::NewStub(channel_)),
        bundles_(bundle_api::Bundle::NewStub(channel_)),
        parents_(std::move(parents)),
        random_(seed) {
    bundle_ = GetBundle(*channel_);
  }
  std::mt19937& random() { return random_; }

  // One call; answers how many changes it made.
  int Change() {
    const auto dice = random_() % 100;
    if (dice < 2) return ChangeBundle();
    if (ids_.empty() || (dice < 45 && ids_.size() < kMostEntries)) return Create();
    return dice < 75 ? Update() : Delete();
  }
  // What the agent should hold now.
  std::map<std::string, Holding> Truth() {
    std::map<std::string, Holding> truth;
    entry_api::ListEntriesRequest request;
    request.set_page_size(1000);
    do {
      grpc::ClientContext context;
      entry_api::ListEntriesResponse page;
      REQUIRE(entries_->ListEntries(&context, request, &page).ok());
      for (const auto& entry : page.entries()) {
        Holding& holding = truth["spiffe://example.org" + entry.parent_id().path()];
        holding.Put(entry);
        for (const auto& name : entry.federates_with())
          if (const auto found = sequences_.find(name); found != sequences_.end())
            holding.bundles[name] = found->second;
      }
      request.set_page_token(page.next_page_token());
    } while (!request.page_token().empty());
    return truth;
  }

 private:
  int Size() { return 1 + static_cast<int>(random_() % kMostInOne); }
  const std::string& AnyParent() { return parents_[random_() % parents_.size()]; }
  void Randomize(spire::api::types::Entry* entry) {
    entry->set_hint("h" + std::to_string(random_() % 1000));
    entry->clear_federates_with();
    // One that has no bundle now is refused, also by a change of the entry.
    if (random_() % 4 == 0 && !sequences_.empty())
      entry->add_federates_with(
          std::next(sequences_.begin(), static_cast<long>(random_() % sequences_.size()))->first);
  }
  int Create() {
    entry_api::BatchCreateEntryRequest request;
    for (int i = Size(); i > 0; --i) {
      auto* entry = request.add_entries();
      const auto number = std::to_string(++named_);
      *entry = MakeEntry("", "/w" + number, AnyParent(), "unix:uid:" + number);
      Randomize(entry);
    }
    grpc::ClientContext context;
    entry_api::BatchCreateEntryResponse response;
    REQUIRE(entries_->BatchCreateEntry(&context, request, &response).ok());
    for (const auto& result : response.results()) {
      INFO(result.status().message());
      REQUIRE(result.status().code() == 0);
      ids_.push_back(result.entry().id());
    }
    return response.results_size();
  }
  // Some of them move to another agent.
  int Update() {
    entry_api::BatchUpdateEntryRequest request;
    auto* mask = request.mutable_input_mask();
    mask->set_hint(true);
    mask->set_parent_id(true);
    mask->set_federates_with(true);
    std::set<std::string> chosen;
    for (int i = Size(); i > 0; --i) chosen.insert(ids_[random_() % ids_.size()]);
    for (const std::string& id : chosen) {
      auto* entry = request.add_entries();
      *entry = MakeEntry(id, "/ignored", AnyParent(), "unix:uid:1");
      Randomize(entry);
    }
    grpc::ClientContext context;
    entry_api::BatchUpdateEntryResponse response;
    REQUIRE(entries_->BatchUpdateEntry(&context, request, &response).ok());
    for (const auto& result : response.results()) {
      INFO(result.status().message());
      REQUIRE(result.status().code() == 0);
    }
    return response.results_size();
  }
  int Delete() {
    entry_api::BatchDeleteEntryRequest request;
    for (int i = Size(); i > 0 && !ids_.empty(); --i) {
      std::swap(ids_[random_() % ids_.size()], ids_.back());
      request.add_ids(ids_.back());
      ids_.pop_back();
    }
    grpc::ClientContext context;
    entry_api::BatchDeleteEntryResponse response;
    REQUIRE(entries_->BatchDeleteEntry(&context, request, &response).ok());
    return response.results_size();
  }
  int ChangeBundle() {
    const std::string name = FederatedName(random_() % kFederated);
    grpc::ClientContext context;
    if (sequences_.contains(name) && random_() % 3 == 0) {
      bundle_api::BatchDeleteFederatedBundleRequest request;
      bundle_api::BatchDeleteFederatedBundleResponse response;
      request.add_trust_domains(name);
      request.set_mode(bundle_api::BatchDeleteFederatedBundleRequest::DISSOCIATE);
      REQUIRE(bundles_->BatchDeleteFederatedBundle(&context, request, &response).ok());
      REQUIRE(response.results(0).status().code() == 0);
      sequences_.erase(name);
      return 1;
    }
    bundle_api::BatchSetFederatedBundleRequest request;
    bundle_api::BatchSetFederatedBundleResponse response;
    auto* bundle = request.add_bundle();
    *bundle = bundle_;
    bundle->set_trust_domain(name);
    bundle->set_sequence_number(++sequence_);
    REQUIRE(bundles_->BatchSetFederatedBundle(&context, request, &response).ok());
    REQUIRE(response.results(0).status().code() == 0);
    sequences_[name] = sequence_;
    return 1;
  }

  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<entry_api::Entry::Stub> entries_;
  const std::unique_ptr<bundle_api::Bundle::Stub> bundles_;
  const std::vector<std::string> parents_;
  std::mt19937 random_;
  spire::api::types::Bundle bundle_;
  std::vector<std::string> ids_;
  std::map<std::string, std::uint64_t> sequences_;  // of the federated bundles there are
  std::uint64_t sequence_ = 0;
  int named_ = 0;
};

using Agents = std::vector<std::unique_ptr<SimulatedAgent>>;

// Nobody subscribes again now: what was lost stays lost.
void CheckStandstill(Admin& admin, const Agents& agents) {
  auto truth = admin.Truth();
  for (const auto& agent : agents) {
    const Holding& wanted = truth[agent->identity().id];
    const bool came = Eventually([&] { return agent->held() == wanted; });
    const Holding held = agent->held();
    CHECK(agent->trouble().empty());
    CHECK(held.Digest() == wanted.Digest());
    CHECK(held.entries.size() == wanted.entries.size());
    CHECK(held.bundles == wanted.bundles);
    REQUIRE(came);
  }
}

TEST_CASE("random changes with streams cut at random: nothing is lost, no step goes backwards") {
  const int wanted = FromEnvironment("SIGNET_CHURN_CHANGES", 2000);
  const auto seed = static_cast<unsigned>(FromEnvironment("SIGNET_CHURN_SEED", 1));
  INFO("seed " << seed);
  ServerProcess server(SIGNET_BIN, "ratelimit: {attestation: false}\n");
  server.Start();
  Agents agents;
  std::vector<std::string> parents;
  for (std::size_t i = 0; i < kAgents; ++i) {
    auto identity = MakeAgent(server);
    parents.push_back(identity.id);
    agents.push_back(std::make_unique<SimulatedAgent>(server, std::move(identity)));
  }
  Admin admin(server, parents, seed);
  int cuts = 0;
  const auto begun = std::chrono::steady_clock::now();
  for (int changes = 0, next = kStandstillEach; changes < wanted;) {
    changes += admin.Change();
    if (admin.random()() % 3 == 0) {
      agents[admin.random()() % agents.size()]->Cut(admin.random()() % 4 == 0);
      ++cuts;
    }
    if (changes < next && changes < wanted) continue;
    next += kStandstillEach;
    CheckStandstill(admin, agents);
  }
  int streams = 0, continued = 0;
  for (const auto& agent : agents) {
    streams += agent->streams();
    continued += agent->continued();
  }
  CHECK(streams > cuts / 2);  // the cuts fell on streams
  CHECK(continued > 0);       // and some went on where they were
  const auto took =
      std::chrono::duration_cast<seconds>(std::chrono::steady_clock::now() - begun).count();
  WARN(wanted << " changes in " << took << " s, " << cuts << " cuts, " << streams << " streams, "
              << continued << " went on where they were");
}

}  // namespace
}  // namespace signet::test
