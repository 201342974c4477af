#include "proxy/identity/workload_client.h"

#include <catch2/catch.hpp>
#include <condition_variable>

#include "identity/workload/workload_response.h"
#include "spiffe/workload.pb.h"
#include "tests/support/fake_workload_api.h"
#include "tests/support/temp_dir.h"

namespace signet::proxy {
namespace {

using namespace std::chrono_literals;
using identity::kWorkloadAnswerRefused;
using identity::ReadX509SvidResponse;
using test::FakeWorkloadApi;
using test::TestAuthority;

constexpr const char* kWeb = "spiffe://example.org/web";

// Remembers what it was told; each wait ends after 20 s.
class Witness final : public IdentityObserver {
 public:
  void OnIdentity(IdentityPtr snapshot) override {
    Note([&] { identities.push_back(std::move(snapshot)); });
  }
  void OnIdentityWithdrawn(const Error& why) override {
    Note([&] { withdrawn.push_back(why.reason); });
  }
  void OnAgentTrouble(const Error& why) override {
    Note([&] { troubles.push_back(why.reason); });
  }
  void OnAgentBack() override {
    Note([&] { ++back; });
  }
  template <class Condition>
  bool WaitFor(Condition condition) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, 20s, condition);
  }

  std::vector<IdentityPtr> identities;
  std::vector<Reason> withdrawn;
  std::vector<Reason> troubles;
  int back = 0;

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

struct Agent {
  Agent() : api(directory.File("api.sock")) {}
  std::unique_ptr<WorkloadClient> Start() {
    return WorkloadClient::Start({directory.File("api.sock"), 10ms, 50ms}, witness, clock, random,
                                 metrics);
  }
  test::WorkloadAnswer Answer() const { return {kWeb, root.Issue(kWeb), {root.certificate()}, {}}; }

  test::TempDir directory;
  FakeWorkloadApi api;
  TestAuthority root{"spiffe://example.org"};
  Witness witness;
  SystemClock clock;
  OsRandom random;
  Metrics metrics;
};

TEST_CASE("the stream's answers become identities, with federated bundles") {
  Agent agent;
  const TestAuthority partner("spiffe://partner.org");
  test::WorkloadAnswer answer = agent.Answer();
  answer.federated["spiffe://partner.org"] = {partner.certificate()};
  agent.api.Answer(answer);
  const auto client = agent.Start();
  REQUIRE(agent.witness.WaitFor([&] { return agent.witness.identities.size() == 1; }));
  const IdentitySnapshot& first = *agent.witness.identities[0];
  CHECK(first.id.ToString() == kWeb);
  CHECK(first.generation == 1);
  CHECK(first.bundles.size() == 2);
  CHECK(first.valid_until == answer.svid.chain.front().not_after());
  agent.api.Answer(agent.Answer());
  REQUIRE(agent.witness.WaitFor([&] { return agent.witness.identities.size() == 2; }));
  CHECK(agent.witness.identities[1]->generation == 2);
  CHECK(agent.witness.identities[1]->bundles.size() == 1);
  CHECK(agent.api.refused_calls() == 0);
}

TEST_CASE("an answer that changes nothing is no change") {
  Agent agent;
  const test::WorkloadAnswer answer = agent.Answer();
  agent.api.Answer(answer);
  const auto client = agent.Start();
  REQUIRE(agent.witness.WaitFor([&] { return agent.witness.identities.size() == 1; }));
  agent.api.Answer(answer);
  REQUIRE(agent.witness.WaitFor([&] { return agent.witness.back == 1; }));
  CHECK(agent.witness.identities.size() == 1);
}

TEST_CASE("an agent that goes away is waited for, and its return noticed") {
  Agent agent;
  const test::WorkloadAnswer answer = agent.Answer();
  agent.api.Answer(answer);
  const auto client = agent.Start();
  REQUIRE(agent.witness.WaitFor([&] { return agent.witness.identities.size() == 1; }));
  agent.api.GoAway();
  REQUIRE(agent.witness.WaitFor([&] { return agent.witness.troubles.size() > 2; }));
  CHECK(agent.witness.troubles[0] == kAgentAway);
  CHECK(agent.witness.withdrawn.empty());
  agent.api.ComeBack();
  REQUIRE(agent.witness.WaitFor([&] { return agent.witness.back > 0; }));
  CHECK(agent.witness.identities.size() == 1);
}

TEST_CASE("PermissionDenied withdraws the identity; a later grant brings it back") {
  Agent agent;
  const test::WorkloadAnswer answer = agent.Answer();
  agent.api.Answer(answer);
  const auto client = agent.Start();
  REQUIRE(agent.witness.WaitFor([&] { return agent.witness.identities.size() == 1; }));
  agent.api.Deny();
  REQUIRE(agent.witness.WaitFor([&] { return !agent.witness.withdrawn.empty(); }));
  CHECK(agent.witness.withdrawn[0] == kIdentityDenied);
  agent.api.Answer(answer);
  REQUIRE(agent.witness.WaitFor([&] { return agent.witness.identities.size() == 2; }));
  CHECK(agent.witness.identities[1]->generation == 2);
}

TEST_CASE("an unusable answer keeps the last identity and is asked for again") {
  Agent agent;
  agent.api.Answer(agent.Answer());
  const auto client = agent.Start();
  REQUIRE(agent.witness.WaitFor([&] { return agent.witness.identities.size() == 1; }));
  test::WorkloadAnswer bad = agent.Answer();
  bad.svid.key = agent.root.Issue(kWeb).key;
  agent.api.Answer(bad);
  REQUIRE(agent.witness.WaitFor([&] { return agent.witness.troubles.size() > 1; }));
  CHECK(agent.witness.troubles[0] == kWorkloadAnswerRefused);
  CHECK(agent.witness.identities.size() == 1);
  agent.api.Answer(agent.Answer());
  CHECK(agent.witness.WaitFor([&] { return agent.witness.identities.size() == 2; }));
}

TEST_CASE("a client may be ended while its agent is silent, or absent") {
  Agent agent;
  {
    const auto client = agent.Start();
  }
  agent.api.GoAway();
  {
    const auto client = agent.Start();
  }
  CHECK(agent.witness.identities.empty());
}

// ---- answers that must be refused

X509SVIDResponse Encode(const TestAuthority& root, const test::CertifiedKey& svid,
                        const std::string& id) {
  X509SVIDResponse response;
  X509SVID& out = *response.add_svids();
  out.set_spiffe_id(id);
  out.set_x509_svid(ToString(ca::ConcatenateDer(svid.chain)));
  out.set_x509_svid_key(ToString(svid.key->ToPkcs8().view()));
  out.set_bundle(ToString(root.certificate().der()));
  return response;
}

bool Refused(X509SVIDResponse response) {
  const auto read = ReadX509SvidResponse(&response, SystemClock().Now());
  return !read && read.error().reason == kWorkloadAnswerRefused;
}

TEST_CASE("attack 35: an answer is taken only when all of it fits together") {
  const TestAuthority root("spiffe://example.org");
  const auto svid = root.Issue(kWeb);
  X509SVIDResponse good = Encode(root, svid, kWeb);
  CHECK(ReadX509SvidResponse(&good, SystemClock().Now()));
  CHECK(Refused({}));
  CHECK(Refused(Encode(root, svid, "spiffe://example.org/admin")));
  CHECK(Refused(Encode(root, {svid.chain, root.Issue(kWeb).key}, kWeb)));
  X509SVIDResponse no_bundle = Encode(root, svid, kWeb);
  no_bundle.mutable_svids(0)->clear_bundle();
  CHECK(Refused(no_bundle));
  X509SVIDResponse no_chain = Encode(root, svid, kWeb);
  no_chain.mutable_svids(0)->clear_x509_svid();
  CHECK(Refused(no_chain));
  X509SVIDResponse trailing = Encode(root, svid, kWeb);
  trailing.mutable_svids(0)->mutable_x509_svid()->append("x");
  CHECK(Refused(trailing));
  X509SVIDResponse bad_domain = Encode(root, svid, kWeb);
  (*bad_domain.mutable_federated_bundles())["spiffe://Partner.org"] =
      ToString(root.certificate().der());
  CHECK(Refused(bad_domain));
  test::CertificateOptions ended;
  ended.uris = {kWeb};
  ended.not_after = SystemClock().Now() - 1s;
  CHECK(Refused(Encode(root, root.Issue(ended), kWeb)));
}

TEST_CASE("a federated bundle cannot stand in for the own trust domain's") {
  const TestAuthority root("spiffe://example.org");
  const TestAuthority other("spiffe://example.org");
  X509SVIDResponse response = Encode(root, root.Issue(kWeb), kWeb);
  (*response.mutable_federated_bundles())["spiffe://example.org"] =
      ToString(other.certificate().der());
  const auto read = ReadX509SvidResponse(&response, SystemClock().Now());
  REQUIRE(read);
  REQUIRE(read->bundles.size() == 1);
  CHECK(read->bundles.begin()->second.X509Roots() ==
        std::vector<ca::Certificate>{root.certificate()});
}

TEST_CASE("private keys do not stay in the answer's memory") {
  const TestAuthority root("spiffe://example.org");
  X509SVIDResponse response = Encode(root, root.Issue(kWeb), kWeb);
  REQUIRE(ReadX509SvidResponse(&response, SystemClock().Now()));
  for (const char byte : response.svids(0).x509_svid_key()) REQUIRE(byte == '\0');
}

}  // namespace
}  // namespace signet::proxy
