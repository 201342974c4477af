// What a decision costs, with 10 rules and with 10,000, over policies of several shapes:
// nanoseconds a decision (the mean of CPU time; p50 and p99 by the wall), and what share of the
// requests of a core the difference would take.
//
//   bench_policy [--decisions 200000] [--request-us 20]
#include <fmt/format.h>
#include <time.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <random>
#include <string>
#include <vector>

#include "base/check.h"
#include "mesh/request_policy.h"

namespace {

using namespace signet;        // NOLINT: a program of its own
using namespace signet::mesh;  // NOLINT
using Steady = std::chrono::steady_clock;

constexpr std::size_t kRequests = 1024;

struct Shape {
  const char* name;
  // Rule `i` of `count`, as YAML.
  std::string (*rule)(std::size_t i);
  // What a request has that rule `i` would match.
  std::string (*caller)(std::size_t i);
  std::string (*path)(std::size_t i);
  std::string (*tenant)(std::size_t i);
};

std::string Text(const char* prefix, std::size_t i) { return fmt::format("{}{}", prefix, i); }

// Every rule names its own caller, a path and a method.
const Shape kMixed = {
    "own caller, path, method, host",
    [](std::size_t i) {
      return fmt::format(
          "  - {{id: spiffe://td/ns{}/app{}, methods: [GET, POST], paths: ['/v1/app{}/{{id}}', "
          "'/v1/app{}/list/*'], hosts: [api.example.org]}}\n",
          i % 100, i, i, i);
    },
    [](std::size_t i) { return fmt::format("spiffe://td/ns{}/app{}", i % 100, i); },
    [](std::size_t i) { return fmt::format("/v1/app{}/list/a?page=2", i); },
    [](std::size_t) { return std::string("x"); }};

// One caller pattern for all, paths differ: nothing to narrow by but the path.
const Shape kPaths = {"one caller, own paths",
                      [](std::size_t i) {
                        return fmt::format(
                            "  - {{id: 'spiffe://td/*', paths: ['/v1/{{tenant}}/r{}/*']}}\n", i);
                      },
                      [](std::size_t i) { return Text("spiffe://td/a", i % 50); },
                      [](std::size_t i) { return fmt::format("/v1/t9/r{}/x", i); },
                      [](std::size_t) { return std::string("x"); }};

// One caller pattern and one path, header values differ.
const Shape kHeaders = {"one caller, one path, own header values",
                        [](std::size_t i) {
                          return fmt::format(
                              "  - {{id: 'spiffe://td/*', paths: [/v1/*], headers: [{{name: "
                              "x-tenant, value: t{}}}]}}\n",
                              i);
                        },
                        [](std::size_t i) { return Text("spiffe://td/a", i % 50); },
                        [](std::size_t) { return std::string("/v1/x"); },
                        [](std::size_t i) { return Text("t", i); }};

RequestPolicy MakePolicy(const Shape& shape, std::size_t count) {
  std::string text = "deny: [{paths: [/admin/*], methods: [DELETE]}]\nallow:\n";
  for (std::size_t i = 0; i < count; ++i) text += shape.rule(i);
  ConfigProblems problems;
  ConfigMap root = ConfigMap::Parse(text, "bench.yaml", &problems);
  RequestPolicy policy =
      RequestPolicy::Read(root, {"inbound/x", "inbound[0]", PolicyLayer::kRequest}, &problems);
  CHECK_TRUE(problems.empty());
  return policy;
}

struct Request {
  identity::SpiffeId caller;
  std::string path;
  std::string tenant;
  std::vector<NameValue> headers;
};

// Half of them match a rule, half none.
std::vector<Request> MakeRequests(const Shape& shape, std::size_t count) {
  std::mt19937 random(7);
  std::vector<Request> requests(kRequests);
  for (std::size_t k = 0; k < requests.size(); ++k) {
    const std::size_t i = random() % count;
    Request& request = requests[k];
    request.caller = *identity::SpiffeId::Parse(shape.caller(i));
    request.path = k % 2 == 0 ? shape.path(i) : "/other/path/of/some/length";
    request.tenant = shape.tenant(i);
    request.headers = {{"user-agent", "bench/1.0"},      {"accept", "*/*"},
                       {"content-type", "text/plain"},   {"x-request-id", "0123456789abcdef"},
                       {"traceparent", "00-0af7651916"}, {"cookie", "a=b; c=d"},
                       {"x-tenant", request.tenant},     {"accept-encoding", "gzip"}};
  }
  return requests;
}

struct Figures {
  double mean = 0;  // CPU time
  std::int64_t p50 = 0;
  std::int64_t p99 = 0;
  std::size_t allowed = 0;
};

// Of this thread: what else the machine does is not counted.
double CpuNanoseconds() {
  timespec spent{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
  return 1e9 * static_cast<double>(spent.tv_sec) + static_cast<double>(spent.tv_nsec);
}

Figures Measure(const RequestPolicy& policy, const std::vector<Request>& requests,
                std::size_t decisions) {
  std::vector<std::int64_t> took(decisions);
  Figures figures;
  const double before = CpuNanoseconds();
  for (std::size_t k = 0; k < decisions; ++k) {
    const Request& request = requests[k % requests.size()];
    RequestFacts facts;
    facts.caller = &request.caller;
    facts.method = "GET";
    facts.path = request.path;
    facts.host = "api.example.org";
    facts.headers = request.headers;
    const auto begun = Steady::now();
    const Decision decision = policy.Decide(facts);
    took[k] = std::chrono::nanoseconds(Steady::now() - begun).count();
    figures.allowed += decision.allowed() ? 1 : 0;
  }
  figures.mean = (CpuNanoseconds() - before) / static_cast<double>(decisions);
  std::ranges::sort(took);
  figures.p50 = took[decisions / 2];
  figures.p99 = took[decisions - decisions / 100 - 1];
  return figures;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"What a policy decision costs, with few rules and with many."};
  std::size_t decisions = 200'000;
  double request_us = 20;
  app.add_option("--decisions", decisions, "A run")->capture_default_str();
  app.add_option("--request-us", request_us, "CPU time of a whole request, for the last column")
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  fmt::print("{:<42}{:>8}{:>10}{:>9}{:>9}{:>10}{:>9}\n", "shape", "rules", "CPU ns", "p50 ns",
             "p99 ns", "allowed", "of rps");
  for (const Shape* shape : {&kMixed, &kPaths, &kHeaders}) {
    double few = 0;
    for (const std::size_t count : {std::size_t{10}, std::size_t{10'000}}) {
      const RequestPolicy policy = MakePolicy(*shape, count);
      const std::vector<Request> requests = MakeRequests(*shape, count);
      (void)Measure(policy, requests, decisions / 10);
      const Figures figures = Measure(policy, requests, decisions);
      const double more = count == 10 ? 0 : (figures.mean - few) / 1000;
      if (count == 10) few = figures.mean;
      fmt::print("{:<42}{:>8}{:>10.0f}{:>9}{:>9}{:>9}%{:>8.1f}%\n", shape->name, count,
                 figures.mean, figures.p50, figures.p99, 100 * figures.allowed / decisions,
                 -100 * more / (request_us + more));
    }
  }
  return 0;
}
