// Attestors side by side: deadlines, failures that are named, callers that go away meanwhile.
#include "agent/workload/attestor_set.h"

#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <functional>
#include <future>

using namespace signet;
using namespace signet::agent;
using namespace std::chrono_literals;

namespace {

using Answer = Result<std::vector<identity::Selector>>;
using Ask = std::function<Answer(const net::PeerCredentials&)>;

class ScriptedAttestor final : public WorkloadAttestor {
 public:
  ScriptedAttestor(std::string name, Ask ask) : name_(std::move(name)), ask_(std::move(ask)) {}
  std::string_view name() const override { return name_; }
  Answer Attest(const net::PeerCredentials& peer, SteadyTime) override { return ask_(peer); }

 private:
  const std::string name_;
  const Ask ask_;
};

struct World {
  std::unique_ptr<AttestorSet> Make(std::vector<std::pair<std::string, Ask>> scripts,
                                    Duration timeout = 20s) {
    std::vector<std::unique_ptr<WorkloadAttestor>> others;
    for (auto& [name, ask] : scripts)
      others.push_back(std::make_unique<ScriptedAttestor>(name, std::move(ask)));
    return std::make_unique<AttestorSet>(unix_attestor, std::move(others), timeout, clock, log,
                                         metrics);
  }
  bool Counts(const std::string& line) const {
    return metrics.Text().find(line + "\n") != std::string::npos;
  }

  SystemClock clock;
  const Logger log = Logger::Null();
  Metrics metrics;
  UnixAttestor unix_attestor{{}, metrics};
};

const std::string kUid = "unix:uid:" + std::to_string(geteuid());

bool Has(const identity::SelectorSet& set, const std::string& text) {
  return identity::IsSubset({*identity::Selector::Parse(text)}, set);
}

Ask Says(const std::string& text) {
  return [text](const auto&) { return Answer({*identity::Selector::Parse(text)}); };
}

Answer Broken(const net::PeerCredentials&) {
  return Fail(Code::kUnavailable, Reason{"engine away"}, "no such socket");
}

net::PeerCredentials Myself() { return *net::ReadProcessCredentials(getpid()); }

}  // namespace

TEST_CASE("what all attestors say counts together") {
  World world;
  const auto set = world.Make({{"one", Says("one:a")}, {"two", Says("two:b")}});
  const auto selectors = set->Attest(Myself());
  REQUIRE(selectors);
  for (const std::string& text : {kUid, std::string("one:a"), std::string("two:b")})
    CHECK(Has(*selectors, text));
  for (const AttestorRecord& record : set->Records()) CHECK(record.failures == 0);
  CHECK(world.Counts("signet_agent_attestation_seconds_count{attestor=\"two\"} 1"));
}

TEST_CASE("attestors work at the same time") {
  World world;
  std::promise<void> one_came, two_came;
  // Each waits for the other: one after the other they would never end.
  const auto meets = [](std::promise<void>& mine, std::promise<void>& other) {
    return [&mine, &other](const auto&) {
      mine.set_value();
      other.get_future().wait();
      return Answer(std::vector<identity::Selector>());
    };
  };
  const auto set =
      world.Make({{"one", meets(one_came, two_came)}, {"two", meets(two_came, one_came)}});
  CHECK(set->Attest(Myself()));
  for (const AttestorRecord& record : set->Records()) CHECK(record.failures == 0);
}

TEST_CASE("an attestor that fails is named and takes nothing from the others") {
  World world;
  bool works = false;
  const auto set = world.Make(
      {{"bad", [&](const auto& peer) { return works ? Says("bad:x")(peer) : Broken(peer); }},
       {"good", Says("good:b")}});
  for (int i = 0; i < 2; ++i) {
    const auto selectors = set->Attest(Myself());
    REQUIRE(selectors);
    CHECK(Has(*selectors, kUid));
    CHECK(Has(*selectors, "good:b"));
  }
  const auto records = set->Records();
  REQUIRE(records.size() == 3);
  CHECK(records[0].name == "unix");
  CHECK(records[1].name == "bad");
  CHECK(records[1].failures == 2);
  CHECK(records[1].error == "engine away: no such socket");
  CHECK(records[2].failures == 0);
  CHECK(world.Counts("signet_agent_attestor_failures_total{attestor=\"bad\"} 2"));
  works = true;
  CHECK(Has(*set->Attest(Myself()), "bad:x"));
  CHECK(set->Records()[1].failures == 0);
  CHECK(set->Records()[1].error.empty());
}

TEST_CASE("an attestor that hangs is waited for no longer than the deadline") {
  World world;
  std::promise<void> go;
  const auto gone = go.get_future().share();
  {
    const auto set = world.Make({{"slow",
                                  [gone](const auto&) {
                                    gone.wait();
                                    return Answer(std::vector<identity::Selector>());
                                  }}},
                                20ms);
    const auto selectors = set->Attest(Myself());
    REQUIRE(selectors);
    CHECK(Has(*selectors, kUid));
    CHECK(set->Records()[1].failures == 1);
    CHECK(set->Records()[1].error.starts_with("no answer in time"));
    go.set_value();
  }
}

TEST_CASE("a caller that ends while it is attested gets nothing, and nobody is blamed") {
  World world;
  const pid_t child = fork();
  if (child == 0) {
    pause();
    _exit(0);
  }
  const auto peer = net::ReadProcessCredentials(child);
  REQUIRE(peer);
  const auto kills = [child](const auto&) {
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    return Answer({*identity::Selector::Parse("one:a")});
  };
  const auto set = world.Make({{"kills", kills}, {"fails", Broken}});
  const auto selectors = set->Attest(*peer);
  REQUIRE_FALSE(selectors);
  CHECK((selectors.error().reason == kCallerGone || selectors.error().reason == kCallerUnreadable));
}
