// Three generations of the authority while minting goes on.

#include <catch2/catch.hpp>
#include <set>

#include "identity/svid/x509_svid.h"
#include "tests/support/server_process.h"

namespace signet::test {
namespace {

using std::chrono::seconds;

identity::BundleMap ReadBundle(grpc::Channel& channel) {
  identity::Bundle bundle;
  bundle.trust_domain = *identity::TrustDomain::Parse("example.org");
  const auto held = GetBundle(channel);
  for (const auto& authority : held.x509_authorities())
    bundle.x509_authorities.push_back({*ca::Certificate::Parse(AsBytes(authority.asn1())), false});
  return {{bundle.trust_domain, bundle}};
}

TEST_CASE(
    "authorities rotate while minting goes on; each SVID verifies against the bundle of its time") {
  ServerProcess server(SIGNET_BIN, "ca_ttl: 12s\ndefault_x509_svid_ttl: 2s\n");
  server.Start();
  const SystemClock clock;
  const auto admin = server.Admin();
  std::set<Bytes> signers;
  std::set<Bytes> server_signers;
  std::size_t minted = 0;
  const auto deadline = clock.SteadyNow() + seconds(60);
  while ((signers.size() < 3 || server_signers.size() < 3) && clock.SteadyNow() < deadline) {
    // The bundle read before: what signs was published before it signed.
    const auto bundles = ReadBundle(*admin);
    const auto asked = clock.Now();
    const auto svid = MintSvid(*admin, "spiffe://example.org/w");
    const auto verified = identity::VerifyX509Svid(svid.chain, ReadBundle(*admin), asked);
    if (!verified) FAIL(verified.error().Message());
    // No SVID outlives what signed it.
    CHECK(svid.chain.front().not_after() <= verified->path.back().not_after());
    const auto& held = bundles.begin()->second.x509_authorities;
    CHECK(std::any_of(held.begin(), held.end(), [&](const auto& authority) {
      return authority.certificate == verified->path.back();
    }));
    signers.insert(svid.chain.front().authority_key_id());
    const auto shown = server.ServerChain();
    REQUIRE_FALSE(shown.empty());
    const auto own = identity::VerifyX509Svid(shown, ReadBundle(*admin), clock.Now());
    if (!own) FAIL(own.error().Message());
    server_signers.insert(shown.front().authority_key_id());
    ++minted;
  }
  CHECK(signers.size() >= 3);
  CHECK(server_signers.size() >= 3);
  CHECK(minted > 50);
}

}  // namespace
}  // namespace signet::test
