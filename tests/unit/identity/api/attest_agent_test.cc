#include "identity/api/attest_agent.h"

#include <catch2/catch.hpp>

#include "ca/x509/request.h"
#include "identity/api/authorization.h"
#include "identity/attest/join_token_attestor.h"
#include "tests/unit/identity/registry/registry_fixture.h"

namespace signet::identity {
namespace {

namespace agent = spire::api::server::agent::v1;
using std::chrono::hours;
using std::chrono::seconds;

constexpr Reason kRefusedByTest{"refused by the test"};
const TrustDomain kDomain = test::Domain();

// As many challenges as its payload has bytes, then attributes.
class CountingAttestor final : public NodeAttestor {
 public:
  std::string_view type() const override { return "counting"; }
  std::unique_ptr<Attestation> Begin() const override {
    return std::make_unique<Conversation>(*this);
  }
  bool first_use_only = false;
  bool refuses = false;

 private:
  class Conversation final : public Attestation {
   public:
    explicit Conversation(const CountingAttestor& attestor) : attestor_(attestor) {}
    Result<AttestationStep> Take(std::string_view message) override {
      if (attestor_.refuses) return Fail(Code::kPermissionDenied, kRefusedByTest, "no");
      if (left_ < 0) left_ = static_cast<int>(message.size());
      if (left_-- > 0) return Challenge{"challenge"};
      NodeAttributes node;
      node.id = *AgentId(kDomain, "counting", "node");
      node.selector_values = {"a", "b"};
      node.can_reattest = !attestor_.first_use_only;
      node.first_use_only = attestor_.first_use_only;
      return node;
    }

   private:
    const CountingAttestor& attestor_;
    int left_ = -1;
  };
};

class FakeStream final : public StreamCall {
 public:
  const CallerPtr& caller() const override { return caller_; }
  void Send(std::string message) override {
    agent::AttestAgentResponse response;
    CHECK_TRUE(ParseMessage(message, &response).has_value());
    if (!end) sent.push_back(std::move(response));
  }
  void End(grpc::Status status) override {
    if (!end) end = std::move(status);
  }
  std::vector<agent::AttestAgentResponse> sent;
  std::optional<grpc::Status> end;

 private:
  const CallerPtr caller_ = std::make_shared<Caller>();
};

class FixedAuthority final : public ActiveAuthority {
 public:
  std::shared_ptr<const ca::X509Authority> Active() const override { return authority; }
  std::shared_ptr<const ca::X509Authority> authority;
};

struct World : RegistryFixture {
  World() {
    const ca::RootProfile root{.uri_san = "spiffe://" + kDomain.name(),
                               .subject = {},
                               .not_before = clock.Now(),
                               .not_after = clock.Now() + hours(24)};
    active.authority =
        ca::X509Authority::CreateRoot(
            root, std::make_shared<ca::PrivateKey>(*ca::PrivateKey::Generate(ca::KeyType::kEcP256)),
            os_random, [](const ca::IssuanceIntent&) { return Status(); })
            .value();
    auto made = std::make_unique<CountingAttestor>();
    attestor = made.get();
    std::vector<std::unique_ptr<const NodeAttestor>> list;
    list.push_back(std::move(made));
    list.push_back(std::make_unique<JoinTokenAttestor>(kDomain));
    attestors = std::make_unique<NodeAttestors>(std::move(list));
    service = std::make_unique<AttestAgent>(
        AttestAgent::Parts{*registry, issuer, *attestors, clock, log},
        AttestAgent::Settings{.agent_id_selector = false, .limit_attestation = false});
  }
  struct Conversation {
    std::shared_ptr<FakeStream> stream = std::make_shared<FakeStream>();
    std::shared_ptr<StreamHandler> handler;
    void Respond(const std::string& text = "response") {
      agent::AttestAgentRequest request;
      request.set_challenge_response(text);
      handler->OnMessage(SerializeMessage(request));
    }
    grpc::StatusCode code() const {
      return stream->end ? stream->end->error_code() : grpc::StatusCode::DO_NOT_USE;
    }
    bool joined() const { return code() == grpc::OK && stream->sent.back().has_result(); }
  };
  Conversation Begin(const std::string& payload, const std::string& type = "counting") {
    Conversation begun;
    begun.handler = service->Open(begun.stream);
    agent::AttestAgentRequest request;
    request.mutable_params()->mutable_data()->set_type(type);
    request.mutable_params()->mutable_data()->set_payload(payload);
    request.mutable_params()->mutable_params()->set_csr(
        ToString(*ca::MakeRequest(*ca::PrivateKey::Generate(ca::KeyType::kEcP256))));
    begun.handler->OnMessage(SerializeMessage(request));
    return begun;
  }
  Conversation Join() {
    auto conversation = Begin("1");
    conversation.Respond();
    return conversation;
  }
  NodePtr TheNode() const { return registry->FindNode(*AgentId(kDomain, "counting", "node")); }

  OsRandom os_random;
  Metrics metrics;
  const Logger log = Logger::Null();
  FixedAuthority active;
  WorkerPool signers{1, QueueLimits::Of(100)};
  Journal journal{*store, signers};
  Issuer issuer{active, journal,   IssuerSettings{.agent_ttl = seconds(1800)},
                clock,  os_random, metrics};
  CountingAttestor* attestor = nullptr;
  std::unique_ptr<NodeAttestors> attestors;
  std::unique_ptr<AttestAgent> service;
};

}  // namespace

TEST_CASE_METHOD(World, "attestation: challenges go back and forth, then the node is stored") {
  auto conversation = Begin("12");
  REQUIRE(conversation.stream->sent.size() == 1);
  CHECK(conversation.stream->sent[0].challenge() == "challenge");
  CHECK(TheNode() == nullptr);
  conversation.Respond();
  conversation.Respond();
  REQUIRE(conversation.joined());
  const auto& result = conversation.stream->sent.back().result();
  CHECK(result.reattestable());
  CHECK(result.svid().id().path() == "/spire/agent/counting/node");
  const auto node = TheNode();
  REQUIRE(node);
  CHECK(node->attestation_type == "counting");
  CHECK(node->can_reattest);
  CHECK(node->selectors == SelectorSet{{"counting", "a"}, {"counting", "b"}});
  CHECK(node->serial_expires_at == UnixSeconds(clock.Now()) + 1800);
}

TEST_CASE_METHOD(World, "attestation: who attests again keeps its SVID until the new one is used") {
  REQUIRE(Join().joined());
  const auto first = TheNode();
  clock.Advance(seconds(60));
  REQUIRE(Join().joined());
  CHECK(TheNode()->serial == first->serial);
  CHECK_FALSE(TheNode()->new_serial.empty());
  // Once that has ended there is nothing to keep.
  clock.Advance(seconds(3600));
  REQUIRE(Join().joined());
  CHECK(TheNode()->serial != first->serial);
  CHECK(TheNode()->new_serial.empty());
}

TEST_CASE_METHOD(World,
                 "attestation: a banned node stays out; one that was evicted may come back") {
  REQUIRE(Join().joined());
  REQUIRE(registry->BanNode(TheNode()->id));
  CHECK(Join().code() == grpc::PERMISSION_DENIED);
  CHECK(TheNode()->banned());
  REQUIRE(registry->DeleteNode(TheNode()->id));
  CHECK(Join().joined());
}

TEST_CASE_METHOD(World,
                 "attestation: a proof for first use counts once, until the node is evicted") {
  attestor->first_use_only = true;
  // Two at once: both are challenged, one joins.
  auto one = Begin("1");
  auto other = Begin("1");
  one.Respond();
  other.Respond();
  CHECK(one.joined());
  CHECK(other.code() == grpc::PERMISSION_DENIED);
  CHECK_FALSE(TheNode()->can_reattest);
  CHECK(Join().code() == grpc::PERMISSION_DENIED);
  REQUIRE(registry->DeleteNode(TheNode()->id));
  CHECK(Join().joined());
}

TEST_CASE_METHOD(World, "attestation: an ID is of one attestor's as long as it is known") {
  Node node;
  node.id = *AgentId(kDomain, "counting", "node");
  node.attestation_type = "another";
  node.serial = "1";
  PutNode(node);
  CHECK(Join().code() == grpc::PERMISSION_DENIED);
  CHECK(TheNode()->attestation_type == "another");
}

TEST_CASE_METHOD(World, "A10: an attestation has an end, however a node drags it out") {
  SECTION("in challenges") {
    auto conversation = Begin(std::string(kMaxChallenges + 1, 'x'));
    for (std::size_t i = 0; i < kMaxChallenges; ++i) conversation.Respond();
    CHECK(conversation.code() == grpc::INTERNAL);
  }
  SECTION("in time, when it says nothing") {
    auto silent = Begin("1");
    clock.Advance(kAttestationTimeout);
    service->EndOverdue();
    CHECK_FALSE(silent.stream->end);
    clock.Advance(seconds(1));
    service->EndOverdue();
    CHECK(silent.code() == grpc::DEADLINE_EXCEEDED);
  }
  SECTION("in time, when it says something too late") {
    auto late = Begin("1");
    clock.Advance(kAttestationTimeout + seconds(1));
    late.Respond();
    CHECK(late.code() == grpc::DEADLINE_EXCEEDED);
    CHECK(TheNode() == nullptr);
  }
  SECTION("in bytes") {
    CHECK(Begin(std::string(kMaxProofBytes + 1, 'x')).code() == grpc::INVALID_ARGUMENT);
    auto large = Begin("1");
    large.Respond(std::string(kMaxProofBytes + 1, 'x'));
    CHECK(large.code() == grpc::INVALID_ARGUMENT);
  }
  SECTION("in number, and the next finds room when one is over") {
    std::vector<Conversation> waiting;
    for (std::size_t i = 0; i < kMaxWaitingAttestations; ++i) waiting.push_back(Begin("1"));
    CHECK(Begin("1").code() == grpc::RESOURCE_EXHAUSTED);
    waiting.back().handler->OnOver();
    CHECK_FALSE(Begin("1").stream->end);
  }
}

TEST_CASE_METHOD(World, "attestation: what is out of turn is refused") {
  auto twice = Begin("1");
  agent::AttestAgentRequest again;
  again.mutable_params()->mutable_data()->set_type("counting");
  twice.handler->OnMessage(SerializeMessage(again));
  CHECK(twice.code() == grpc::INVALID_ARGUMENT);

  auto hung_up = Begin("1");
  hung_up.handler->OnHalfClose();
  CHECK(hung_up.code() == grpc::INTERNAL);

  CHECK(Begin("x", "no_such_type").code() == grpc::FAILED_PRECONDITION);
  attestor->refuses = true;
  const auto refused = Begin("x");
  CHECK(refused.code() == grpc::PERMISSION_DENIED);
  CHECK(refused.stream->end->error_message().find("failed to attest") != std::string::npos);
}

TEST_CASE_METHOD(World, "attestation: a join token is spent with the node it lets in") {
  REQUIRE(registry->AddJoinToken({JoinTokenDigest("secret"), UnixSeconds(clock.Now()) + 60, ""}));
  const auto joined = Begin("secret", "join_token");
  REQUIRE(joined.joined());
  CHECK_FALSE(joined.stream->sent.back().result().reattestable());
  const auto leaf =
      ca::Certificate::Parse(AsBytes(joined.stream->sent.back().result().svid().cert_chain(0)));
  REQUIRE(leaf);
  const auto node = registry->FindNode(*JoinTokenAgentId(kDomain, "secret"));
  REQUIRE(node);
  CHECK(node->serial == leaf->SerialDecimal());
  CHECK(node->serial_expires_at == UnixSeconds(leaf->not_after()));
  CHECK(node->new_serial.empty());
  CHECK(Begin("secret", "join_token").code() == grpc::INVALID_ARGUMENT);
  CHECK(registry->CountNodes({}) == 1);
}

}  // namespace signet::identity
