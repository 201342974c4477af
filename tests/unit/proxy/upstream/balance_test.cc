// Which endpoint a request goes to, what failures do to that, and how many may be sent again: with
// times that a test says.
#include <catch2/catch.hpp>
#include <map>
#include <set>

#include "proxy/upstream/backends.h"

namespace signet::proxy {
namespace {

using namespace std::chrono_literals;

const SteadyTime kStart = SteadyTime(1h);

struct Balanced {
  explicit Balanced(std::vector<std::uint32_t> weights, mesh::Backend settings = {}) {
    BackendPlan plan;
    plan.config = std::make_shared<const mesh::Backend>(std::move(settings));
    for (const std::uint32_t weight : weights) {
      auto listener = std::make_shared<ListenerPlan>();
      listener->config.forward = {"10.0.0.1",
                                  static_cast<std::uint16_t>(80 + plan.endpoints.size()), false};
      plan.endpoints.push_back({std::move(listener), weight});
    }
    backend.Follow(plan, lane, 1, kStart);
  }
  // The position of the one that is picked.
  std::size_t Pick(SteadyTime now = kStart, std::optional<std::uint64_t> key = std::nullopt,
                   std::size_t other_than = SIZE_MAX) {
    const auto& all = backend.endpoints();
    const EndpointState* other = other_than < all.size() ? all[other_than].get() : nullptr;
    const EndpointPtr picked = backend.Pick({now, key, other}, dice);
    return static_cast<std::size_t>(std::ranges::find(all, picked) - all.begin());
  }
  EndpointHealth& health(std::size_t at) { return backend.endpoints()[at]->health; }
  // One request to it, whole.
  void Ask(std::size_t at, bool well, Duration took, SteadyTime now) {
    const bool probe = health(at).Begin(now);
    health(at).Answered(probe, well, took, backend.config().outlier, now);
    health(at).End(probe);
  }

  Lane lane;
  BackendState backend;
  Dice dice{7};
};

mesh::Backend By(mesh::LbPolicy policy) {
  mesh::Backend settings;
  settings.lb_policy = policy;
  return settings;
}

TEST_CASE("round robin is smooth and goes by weight") {
  Balanced balanced({3, 1}, By(mesh::LbPolicy::kRoundRobin));
  std::string turns;
  for (int i = 0; i < 8; ++i) turns += balanced.Pick() == 0 ? 'a' : 'b';
  CHECK(turns == "aabaaaba");
}

TEST_CASE("of two the one that answers sooner is asked, unless more wait for it") {
  Balanced balanced({1, 1});
  balanced.Ask(0, true, 10ms, kStart);
  balanced.Ask(1, true, 100ms, kStart);
  for (int i = 0; i < 20; ++i) CHECK(balanced.Pick() == 0);
  for (int i = 0; i < 10; ++i) balanced.health(0).Begin(kStart);
  CHECK(balanced.Pick() == 1);
}

TEST_CASE("a peak is felt at once and forgotten slowly") {
  PeakLatency latency(kStart);
  latency.Observe(10ms, kStart);
  latency.Observe(1s, kStart + 1s);
  CHECK(latency.Expected(kStart + 1s) == Approx(1));
  latency.Observe(10ms, kStart + 2s);
  CHECK(latency.Expected(kStart + 2s) > 0.8);
  CHECK(latency.Expected(kStart + 60s) < 0.01);
}

TEST_CASE("attack 44: what fails fast does not attract what comes next") {
  Balanced balanced({1, 1});
  balanced.Ask(0, false, 1ms, kStart);
  balanced.Ask(1, true, 50ms, kStart);
  for (int i = 0; i < 20; ++i) CHECK(balanced.Pick() == 1);
}

TEST_CASE("attack 44: what was never asked is not flooded, and not forgotten") {
  Balanced balanced({1, 1});
  balanced.Ask(0, true, 1ms, kStart);
  CHECK(balanced.Pick() == 0);
  balanced.Ask(0, true, 1ms, kStart + 60s);
  CHECK(balanced.Pick(kStart + 60s) == 1);
}

TEST_CASE("after failures in a row one is left out, and returns by one request alone") {
  Balanced balanced({1, 1, 1});
  for (int i = 0; i < 4; ++i) balanced.Ask(0, false, 1ms, kStart);
  balanced.Ask(0, true, 1ms, kStart);  // the row is broken
  for (int i = 0; i < 4; ++i) balanced.Ask(0, false, 1ms, kStart);
  CHECK(balanced.health(0).state() == EndpointHealth::State::kIn);
  balanced.Ask(0, false, 1ms, kStart);
  CHECK(balanced.health(0).state() == EndpointHealth::State::kEjected);
  for (int i = 0; i < 50; ++i) CHECK(balanced.Pick(kStart + 29s) != 0);
  // Its time is over: the next request is the probe, and no other one goes there beside it.
  CHECK(balanced.Pick(kStart + 30s) == 0);
  CHECK(balanced.health(0).Begin(kStart + 30s));
  for (int i = 0; i < 50; ++i) CHECK(balanced.Pick(kStart + 30s) != 0);
  // Not well yet: out for twice as long.
  balanced.health(0).Answered(true, false, 1ms, balanced.backend.config().outlier, kStart + 30s);
  balanced.health(0).End(true);
  CHECK(balanced.Pick(kStart + 89s) != 0);
  CHECK(balanced.Pick(kStart + 90s) == 0);
  balanced.Ask(0, true, 1ms, kStart + 90s);
  CHECK(balanced.health(0).state() == EndpointHealth::State::kIn);
}

TEST_CASE("a probe that says nothing leaves the decision to the next one") {
  Balanced balanced({1, 1});
  for (int i = 0; i < 5; ++i) balanced.Ask(0, false, 1ms, kStart);
  CHECK(balanced.health(0).Begin(kStart + 30s));
  balanced.health(0).End(true);
  CHECK(balanced.Pick(kStart + 30s) == 0);
  // What was on its way when it was left out decides nothing.
  balanced.health(0).Begin(kStart + 30s);
  CHECK_FALSE(balanced.health(0).Begin(kStart + 30s));
  balanced.health(0).Answered(false, true, 1ms, balanced.backend.config().outlier, kStart + 30s);
  CHECK(balanced.health(0).state() == EndpointHealth::State::kProbing);
}

TEST_CASE("attack 44: when too few are well all are asked") {
  Balanced balanced({1, 1, 1}, By(mesh::LbPolicy::kRoundRobin));
  for (std::size_t at : {0U, 1U})
    for (int i = 0; i < 5; ++i) balanced.Ask(at, false, 1ms, kStart);
  std::set<std::size_t> seen;
  for (int i = 0; i < 9; ++i) seen.insert(balanced.Pick(kStart + 1s));
  CHECK(seen.size() == 3);
}

TEST_CASE("a retry goes elsewhere where there is an elsewhere") {
  Balanced balanced({1, 1});
  for (int i = 0; i < 20; ++i) CHECK(balanced.Pick(kStart, std::nullopt, 0) == 1);
  CHECK(Balanced({1}).Pick(kStart, std::nullopt, 0) == 0);
}

TEST_CASE("keys stay where they are when an endpoint goes, and follow weights") {
  const auto places = [](std::vector<std::uint32_t> weights) {
    Balanced balanced(std::move(weights), By(mesh::LbPolicy::kRingHash));
    std::vector<std::size_t> found;
    for (std::uint64_t i = 0; i < 10'000; ++i)
      found.push_back(balanced.Pick(kStart, HashKey(std::to_string(i))));
    return found;
  };
  const auto four = places({1, 1, 1, 1});
  const auto three = places({1, 1, 1});
  std::map<std::size_t, int> counts;
  int moved = 0;
  for (std::size_t i = 0; i < four.size(); ++i) {
    ++counts[four[i]];
    moved += four[i] != 3 && four[i] != three[i] ? 1 : 0;
  }
  for (const auto& [at, count] : counts) CHECK(std::abs(count - 2500) < 800);
  CHECK(moved < 500);
  const auto weighted = places({3, 1});
  const auto first = std::ranges::count(weighted, 0U);
  CHECK(std::abs(first - 7500) < 1000);
}

TEST_CASE("circuit breakers count what is in progress and what waits") {
  mesh::Backend settings;
  settings.circuit = {2, 1};
  Balanced balanced({1}, settings);
  CHECK(balanced.backend.Enter());
  CHECK(balanced.backend.Enter());
  CHECK_FALSE(balanced.backend.Enter());
  balanced.backend.Leave();
  CHECK(balanced.backend.Enter());
  CHECK(balanced.backend.Wait());
  CHECK_FALSE(balanced.backend.Wait());
  balanced.backend.Served();
  CHECK(balanced.backend.Wait());
}

TEST_CASE("retries are a share of requests and a few a second, in a window that moves") {
  RetryBudget budget;
  const mesh::RetryBudget limits{20, 0};
  for (int i = 0; i < 100; ++i) budget.OnRequest(kStart);
  int granted = 0;
  while (budget.TryRetry(limits, kStart + 1s)) ++granted;
  CHECK(granted == 20);
  CHECK_FALSE(budget.TryRetry(limits, kStart + 9s));
  // The requests are forgotten before the retries are.
  CHECK_FALSE(budget.TryRetry(limits, kStart + 10s));
  granted = 0;
  while (budget.TryRetry({20, 3}, kStart + 30s)) ++granted;
  CHECK(granted == 30);
}

}  // namespace
}  // namespace signet::proxy
