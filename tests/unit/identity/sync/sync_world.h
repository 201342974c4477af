// What the tests of the sync hub share: a registry with its hub, agents, and the far ends of their
// streams.
//
// Threads: FakeStream is safe from any thread; SyncWorld is the test's.
#pragma once

#include <algorithm>
#include <catch2/catch.hpp>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "identity/api/convert.h"
#include "identity/api/sync_hub.h"
#include "tests/unit/identity/registry/registry_fixture.h"

namespace signet::identity {

namespace sync_api = signet::sync::v1;

// The far end of a stream: what was sent, in order; nothing counts as sent before Flush() unless
// told so.
class FakeStream final : public StreamCall {
 public:
  explicit FakeStream(CallerPtr caller) : caller_(std::move(caller)) {}
  const CallerPtr& caller() const override { return caller_; }
  void Send(std::string message) override {
    sync_api::SubscribeResponse response;
    CHECK_TRUE(ParseMessage(message, &response).has_value());
    const std::lock_guard lock(mutex_);
    if (!end_) messages_.push_back(std::move(response));
    changed_.notify_all();
  }
  void End(grpc::Status status) override {
    const std::lock_guard lock(mutex_);
    if (!end_) end_ = std::move(status);
    changed_.notify_all();
  }

  // The next message, waiting for it.
  sync_api::SubscribeResponse Next() {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, std::chrono::seconds(20), [this] { return !messages_.empty(); }))
      FAIL("no message came");
    auto message = std::move(messages_.front());
    messages_.pop_front();
    return message;
  }
  bool Comes(std::chrono::milliseconds within) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, within, [this] { return !messages_.empty(); });
  }
  sync_api::Batch NextBatch() {
    auto message = Next();
    REQUIRE(message.has_batch());
    return message.batch();
  }
  grpc::Status WaitEnd() {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, std::chrono::seconds(20), [this] { return end_.has_value(); }))
      FAIL("the stream did not end");
    return *end_;
  }
  bool Idle() const {
    const std::lock_guard lock(mutex_);
    return messages_.empty() && !end_;
  }

 private:
  const CallerPtr caller_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<sync_api::SubscribeResponse> messages_;
  std::optional<grpc::Status> end_;
};

struct SyncWorld : RegistryFixture {
  SyncWorld() {
    REQUIRE(registry->ChangeOwnBundle([](Bundle& bundle) -> Status {
      bundle.refresh_hint = 1;
      return {};
    }));
    Start();
  }
  ~SyncWorld() { Stop(); }

  void Start() {
    metrics = std::make_unique<Metrics>();
    acknowledgements = std::make_unique<Acknowledgements>(*registry, clock);
    authorizer = std::make_unique<Authorizer>(*registry, clock, AuthorizationSettings{});
    hub =
        std::make_unique<SyncHub>(*registry, *authorizer, *acknowledgements, clock, log, *metrics);
  }
  void Stop() {
    hub->Stop();
    hub.reset();
  }

  // An attested agent: the number names it.
  Node Agent(int number) {
    Node node = test::MakeNode(number);
    node.serial = "7";
    node.new_serial.clear();
    node.new_serial_expires_at = 0;
    node.serial_expires_at = UnixSeconds(clock.Now()) + 3600;
    PutNode(node);
    return node;
  }
  EntryPtr CreateFor(const Node& agent, int number) {
    return Create(test::MakeEntry(number, agent.id.path()));
  }

  // A stream of an agent's, as the router makes one.
  struct Stream {
    std::shared_ptr<FakeStream> call;
    std::shared_ptr<SyncSession> session;

    void Receive(const sync_api::SubscribeRequest& request) const {
      session->OnMessage(SerializeMessage(request));
    }
    void Hello(Revision revision = 0, const std::string& digest = {}) const {
      sync_api::SubscribeRequest request;
      request.mutable_hello()->set_last_revision(revision);
      request.mutable_hello()->set_last_digest(digest);
      Receive(request);
    }
    void Applied(Revision revision, const std::string& digest) const {
      sync_api::SubscribeRequest request;
      request.mutable_applied()->set_revision(revision);
      request.mutable_applied()->set_digest(digest);
      Receive(request);
    }
    void Flush() const { session->OnSent(); }
    // Receives a whole revision of one part.
    sync_api::Batch Take() const {
      auto batch = call->NextBatch();
      Flush();
      return batch;
    }
  };
  Stream Open(const Node& agent) {
    auto caller = std::make_shared<Caller>();
    caller->kind = CallerKind::kCertificate;
    caller->id = agent.id;
    caller->serial = agent.serial;
    caller->valid_until = clock.Now() + std::chrono::hours(1);
    Stream stream;
    stream.call = std::make_shared<FakeStream>(caller);
    stream.session = hub->Open(stream.call);
    return stream;
  }
  std::string DigestOf(const Node& agent) const {
    auto entries = registry->AuthorizedEntries(agent.id);
    std::sort(entries.begin(), entries.end(),
              [](const EntryPtr& a, const EntryPtr& b) { return a->id < b->id; });
    return ToString(EntriesDigest(entries));
  }

  Logger log = Logger::Null();
  std::unique_ptr<Metrics> metrics;
  std::unique_ptr<Acknowledgements> acknowledgements;
  std::unique_ptr<Authorizer> authorizer;
  std::unique_ptr<SyncHub> hub;
};

}  // namespace signet::identity
