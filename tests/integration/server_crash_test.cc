// kill -9 at any moment of a loop of entries and mints: nothing that was acknowledged is lost, and
// the server is back within two seconds.

#include <catch2/catch.hpp>
#include <condition_variable>
#include <mutex>
#include <random>
#include <set>
#include <thread>

#include "identity/svid/x509_svid.h"
#include "tests/support/server_process.h"

namespace signet::test {
namespace {

using std::chrono::seconds;

constexpr int kRounds = 10;

// What the server said yes to.
struct Acknowledged {
  std::mutex mutex;
  std::condition_variable changed;
  std::size_t calls = 0;
  std::vector<std::string> entries;
  std::vector<TestIdentity> svids;
};

void Work(const ServerProcess& server, const std::string& prefix, Acknowledged* acknowledged) {
  const auto channel = server.Admin();
  try {
    for (int i = 0;; ++i) {
      const auto id = prefix + std::to_string(i);
      CreateEntry(*channel, MakeEntry(id, "/" + id, "/parent", "unix:uid:1"));
      {
        const std::lock_guard lock(acknowledged->mutex);
        acknowledged->entries.push_back(id);
        ++acknowledged->calls;
      }
      auto svid = MintSvid(*channel, "spiffe://example.org/" + id);
      const std::lock_guard lock(acknowledged->mutex);
      acknowledged->svids.push_back(std::move(svid));
      ++acknowledged->calls;
      acknowledged->changed.notify_all();
    }
  } catch (const std::exception&) {
    // The server is gone.
  }
}

identity::BundleMap BundleOf(const ServerProcess& server) {
  identity::Bundle bundle;
  bundle.trust_domain = *identity::TrustDomain::Parse("example.org");
  const auto held = GetBundle(*server.Admin());
  for (const auto& authority : held.x509_authorities())
    bundle.x509_authorities.push_back({*ca::Certificate::Parse(AsBytes(authority.asn1())), false});
  return {{bundle.trust_domain, bundle}};
}

TEST_CASE("kill -9 in a loop of entries and mints loses nothing that was acknowledged") {
  ServerProcess server(SIGNET_BIN);
  server.Start();
  Acknowledged acknowledged;
  std::mt19937 random(7);
  for (int round = 0; round < kRounds; ++round) {
    const auto prefix = "r" + std::to_string(round) + "-";
    std::vector<std::thread> threads;
    for (int worker = 0; worker < 3; ++worker) {
      threads.emplace_back(Work, std::cref(server), prefix + std::to_string(worker) + "-",
                           &acknowledged);
    }
    {
      std::unique_lock lock(acknowledged.mutex);
      const auto until = acknowledged.calls + 5 + random() % 40;
      CHECK(acknowledged.changed.wait_for(lock, seconds(30),
                                          [&] { return acknowledged.calls >= until; }));
    }
    server.Kill();
    for (auto& thread : threads) thread.join();
    const auto started = std::chrono::steady_clock::now();
    server.Start();
    CHECK(std::chrono::steady_clock::now() - started < seconds(2));
  }
  spire::api::server::entry::v1::ListEntriesResponse listed;
  grpc::ClientContext context;
  REQUIRE(spire::api::server::entry::v1::Entry::NewStub(server.Admin())
              ->ListEntries(&context, {}, &listed)
              .ok());
  std::set<std::string> ids;
  for (const auto& entry : listed.entries()) ids.insert(entry.id());
  for (const auto& id : acknowledged.entries) {
    INFO(id);
    CHECK(ids.contains(id));
  }
  const auto bundles = BundleOf(server);
  const SystemClock clock;
  std::set<std::string> serials;
  for (const auto& svid : acknowledged.svids) {
    CHECK(identity::VerifyX509Svid(svid.chain, bundles, clock.Now()));
    CHECK(serials.insert(svid.chain.front().SerialHex()).second);
  }
  CHECK(acknowledged.svids.size() > 10);
}

TEST_CASE(
    "kill -9 while agents attest and renew leaves each agent able to go on or to be told why not") {
  ServerProcess server(SIGNET_BIN, "ratelimit: {attestation: false}\n");
  server.Start();
  const auto agent = MakeAgent(server);
  const auto token = CreateJoinToken(*server.Admin());
  server.Kill();
  server.Start();
  const auto anonymous = server.Tls();
  REQUIRE(anonymous);
  // The token was acknowledged, so it is there; once used it is gone, also after the next crash.
  CHECK_FALSE(AttestAgent(*anonymous, token).id.empty());
  server.Kill();
  server.Start();
  const auto again = server.Tls();
  REQUIRE(again);
  grpc::Status status;
  AttestAgent(*again, token, &status);
  CHECK(status.error_code() == grpc::INVALID_ARGUMENT);
  CHECK(server.Tls(&agent));
}

}  // namespace
}  // namespace signet::test
