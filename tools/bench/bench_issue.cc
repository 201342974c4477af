// What one leaf costs in the issuing process, beside the floor no issuer gets below: verifying the
// request's signature and making the certificate's. One thread, P-256, no journal and no network.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "base/check.h"
#include "ca/authority/x509_authority.h"
#include "ca/x509/request.h"

namespace {

using namespace signet;

constexpr int kRounds = 15;
constexpr int kOperationsPerRound = 400;
constexpr int kScaleRounds = 6;

// Microseconds per operation: the fastest of some rounds, as the machine's other work only adds.
double Measure(const std::function<void()>& operation) {
  double best = 1e9;
  for (int round = 0; round < kRounds; ++round) {
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < kOperationsPerRound; ++i) operation();
    const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - begin;
    best = std::min(best, took.count() / kOperationsPerRound);
  }
  return best;
}

// Operations a second of `threads` threads at once, for a while of wall time.
double Throughput(int threads, const std::function<void()>& operation) {
  constexpr auto kWhile = std::chrono::milliseconds(400);
  double best = 0;
  for (int round = 0; round < kScaleRounds; ++round) {
    std::atomic<long> done = 0;
    const auto begin = std::chrono::steady_clock::now();
    std::vector<std::thread> running;
    for (int i = 0; i < threads; ++i) {
      running.emplace_back([&] {
        long mine = 0;
        for (; std::chrono::steady_clock::now() - begin < kWhile; ++mine) operation();
        done += mine;
      });
    }
    for (std::thread& thread : running) thread.join();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    best = std::max(best, static_cast<double>(done) / took.count());
  }
  return best;
}

struct Bench {
  OsRandom random;
  WallTime now = SystemClock().Now();
  std::shared_ptr<const ca::PrivateKey> root_key =
      std::make_shared<ca::PrivateKey>(ca::PrivateKey::Generate(ca::KeyType::kEcP256).value());
  ca::PrivateKey leaf_key = ca::PrivateKey::Generate(ca::KeyType::kEcP256).value();
  Bytes request = ca::MakeRequest(leaf_key, "spiffe://example.org/workload").value();
  std::shared_ptr<const ca::X509Authority> authority;
  ca::LeafProfile profile;

  Bench() {
    const ca::RootProfile root{.uri_san = "spiffe://example.org",
                               .subject = {},
                               .not_before = now,
                               .not_after = now + std::chrono::hours(24)};
    authority =
        ca::X509Authority::CreateRoot(root, root_key, random, [](const ca::IssuanceIntent&) {
          return Status();
        }).value();
    profile = {.purpose = ca::Purpose::kWorkload,
               .uri_san = "spiffe://example.org/workload",
               .dns_sans = {},
               .subject = {},
               .not_before = now,
               .not_after = now + std::chrono::hours(1)};
  }
};

void Print(const std::string& what, double microseconds, double floor) {
  fmt::print("{:<44} {:8.1f} us {:10.0f} /s {:6.2f} x floor\n", what, microseconds,
             1e6 / microseconds, microseconds / floor);
}

}  // namespace

int main() {
  Bench bench;
  const auto algorithm = ca::SignatureAlgorithm::kEcdsaSha256;
  const Bytes message(450, 0x5a);
  const Bytes signature = bench.leaf_key.Sign(algorithm, message).value();
  const auto& public_key = bench.leaf_key.public_key();
  const double verify =
      Measure([&] { CHECK_TRUE(public_key.Verify(algorithm, message, signature).has_value()); });
  const double sign =
      Measure([&] { CHECK_TRUE(bench.root_key->Sign(algorithm, message).has_value()); });
  const double floor = verify + sign;
  const double read = Measure([&] { CHECK_TRUE(ca::ParseRequest(bench.request).has_value()); });
  const double prepare = Measure([&] {
    CHECK_TRUE(
        bench.authority->Prepare(public_key, bench.profile, bench.random, bench.now).has_value());
  });
  const auto prepared =
      bench.authority->Prepare(public_key, bench.profile, bench.random, bench.now).value();
  const double finish = Measure([&] { CHECK_TRUE(bench.authority->Sign(prepared).has_value()); });
  const auto issue = [&] {
    const auto request = ca::ParseRequest(bench.request);
    const auto leaf =
        bench.authority->Prepare(request->public_key, bench.profile, bench.random, bench.now);
    CHECK_TRUE(bench.authority->Sign(*leaf).has_value());
  };
  const double whole = Measure(issue);
  const auto verify_and_sign = [&] {
    CHECK_TRUE(public_key.Verify(algorithm, message, signature).has_value());
    CHECK_TRUE(bench.root_key->Sign(algorithm, message).has_value());
  };
  Print("floor: verify one signature", verify, floor);
  Print("floor: make one signature", sign, floor);
  Print("floor: both", floor, floor);
  Print("read a request, verify it", read, floor);
  Print("lay out and lint a leaf", prepare, floor);
  Print("sign it", finish, floor);
  Print("request to certificate", whole, floor);
  // What two threads give over one; the floor's own figure says what the machine lets anybody have.
  fmt::print("{:<44} {:8.2f} x, the floor's {:.2f} x\n", "two threads over one",
             Throughput(2, issue) / Throughput(1, issue),
             Throughput(2, verify_and_sign) / Throughput(1, verify_and_sign));
  return 0;
}
