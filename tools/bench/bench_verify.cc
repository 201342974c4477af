// What verifying a presented chain costs at the most: every chain of the x509-limbo suite, which
// was written to be hard on verifiers, is read from its bytes and held against its anchors. CPU
// time of this thread, the best of some rounds for each chain; ends with 1 when one takes longer
// than the bar.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "identity/svid/x509_svid.h"

namespace {

using namespace signet;
using nlohmann::json;

constexpr int kRounds = 5;

double ThreadMicroseconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

// "2024-04-01T00:00:00Z" or with a fraction or an offset of zero; null: now, which all that is
// meant to be valid then covers.
WallTime ReadTime(const json& time) {
  std::tm parts{};
  if (time.is_null() ||
      strptime(time.get<std::string>().c_str(), "%Y-%m-%dT%H:%M:%S", &parts) == nullptr)
    return SystemClock().Now();
  return FromUnixSeconds(timegm(&parts));
}

struct Chain {
  std::string id;
  WallTime now;
  std::string presented;  // PEM
  std::vector<ca::Certificate> anchors;
};

Chain ReadChain(const json& row) {
  Chain chain{.id = row.at("id"),
              .now = ReadTime(row.at("validation_time")),
              .presented = row.at("peer_certificate"),
              .anchors = {}};
  for (const json& pem : row.at("untrusted_intermediates")) chain.presented += pem;
  for (const json& pem : row.at("trusted_certs")) {
    if (const auto parsed = ca::ParsePem(pem.get<std::string>(), 1); parsed)
      chain.anchors.push_back(parsed->front());
  }
  return chain;
}

// Microseconds; also of a chain that is refused on the way.
double Cost(const Chain& chain) {
  double best = 1e12;
  for (int round = 0; round < kRounds; ++round) {
    const double begun = ThreadMicroseconds();
    if (const auto presented = ca::ParsePem(chain.presented, ca::kMaxChainLength); presented) {
      static_cast<void>(ca::BuildPath(*presented, chain.anchors, chain.now));
      static_cast<void>(identity::ParseX509Svid(presented->front()));
    }
    best = std::min(best, ThreadMicroseconds() - begun);
  }
  return best;
}

int Run(const std::string& path, double bar_ms) {
  std::ifstream stream(path);
  if (!stream.good()) {
    fmt::print(stderr, "cannot read {}; run in the repository, or name the file with --limbo\n",
               path);
    return 2;
  }
  std::vector<std::pair<double, std::string>> costs;
  const json suite = json::parse(stream);
  for (const json& row : suite.at("testcases")) {
    const Chain chain = ReadChain(row);
    costs.emplace_back(Cost(chain), chain.id);
  }
  if (costs.empty()) {
    fmt::print(stderr, "{} holds no cases\n", path);
    return 2;
  }
  std::ranges::sort(costs);
  const auto at = [&](double part) {
    return costs[static_cast<std::size_t>(part * static_cast<double>(costs.size() - 1))].first;
  };
  fmt::print("{} chains: median {:.0f} us, p99 {:.0f} us\n", costs.size(), at(0.5), at(0.99));
  const std::size_t shown = std::min<std::size_t>(3, costs.size());
  for (std::size_t i = 1; i <= shown; ++i) {
    const auto& [cost, id] = costs[costs.size() - i];
    fmt::print("{:>10.0f} us  {}\n", cost, id);
  }
  const bool held = costs.back().first <= bar_ms * 1e3;
  fmt::print("at most {} ms for any: {}\n", bar_ms, held ? "held" : "MISSED");
  return held ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("CPU for verifying each chain of x509-limbo, from its bytes");
  std::string path = "tests/data/limbo.json";
  double bar_ms = 10;
  app.add_option("--limbo", path, "The suite's file")->capture_default_str();
  app.add_option("--bar", bar_ms, "Milliseconds that no chain may exceed")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  return Run(path, bar_ms);
}
