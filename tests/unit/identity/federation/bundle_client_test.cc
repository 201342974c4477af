#include "identity/federation/bundle_client.h"

#include <catch2/catch.hpp>

#include "identity/svid/x509_svid.h"
#include "net/web_verifier.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temp_dir.h"
#include "tests/support/web_endpoint.h"

namespace signet::identity {
namespace {

TrustDomain Domain(std::string_view name) { return TrustDomain::Parse(name).value(); }

std::shared_ptr<const Bundle> BundleOf(const test::TestAuthority& authority,
                                       std::uint64_t sequence = 1) {
  Bundle bundle;
  bundle.trust_domain = Domain("one.test");
  bundle.x509_authorities.push_back({authority.certificate(), false});
  bundle.sequence_number = sequence;
  return std::make_shared<const Bundle>(std::move(bundle));
}

// An endpoint of one.test, over https_spiffe unless a test says otherwise.
struct World {
  World() {
    endpoint.Publish(FormatSpiffeBundle(*BundleOf(authority)), "\"1\"");
    query.relationship.trust_domain = Domain("one.test");
    query.relationship.profile = EndpointProfile::kHttpsSpiffe;
    query.relationship.endpoint_id = SpiffeId::Parse("spiffe://one.test/endpoint").value();
    query.relationship.url = net::HttpsUrl::Parse(endpoint.Url("127.0.0.1")).value();
    query.endpoint_bundle = BundleOf(authority);
  }
  Reason Refusal() const {
    const auto answer = client.Fetch(query);
    REQUIRE_FALSE(answer);
    return answer.error().reason;
  }
  // The verifier's own reason stands in the text of a failed handshake.
  bool IsRefusedFor(Reason reason) const {
    const auto answer = client.Fetch(query);
    REQUIRE_FALSE(answer);
    INFO(answer.error().Message());
    return answer.error().reason == net::kTlsPeerRefused &&
           answer.error().detail.find(reason.text) != std::string::npos;
  }

  test::FakeClock clock;
  test::TempDir folder;
  test::TestAuthority authority{"spiffe://one.test"};
  test::WebEndpoint endpoint{authority.Issue("spiffe://one.test/endpoint")};
  BundleClient client{folder.File("roots.pem"), clock};
  BundleQuery query;
};

}  // namespace

TEST_CASE("https_spiffe: a bundle is fetched from the endpoint that has the configured ID") {
  World world;
  const auto answer = world.client.Fetch(world.query);
  if (!answer) FAIL(answer.error().Message());
  CHECK_FALSE(answer->unchanged);
  CHECK(answer->parsed.bundle == *BundleOf(world.authority));
  CHECK(answer->etag == "\"1\"");
  world.query.etag = answer->etag;
  const auto again = world.client.Fetch(world.query);
  REQUIRE(again);
  CHECK(again->unchanged);
}

TEST_CASE("https_spiffe: another ID, another authority and an SVID of another domain are refused") {
  World world;
  world.query.relationship.endpoint_id = SpiffeId::Parse("spiffe://one.test/other").value();
  CHECK(world.IsRefusedFor(kEndpointNotItself));
  world.query.relationship.endpoint_id = SpiffeId::Parse("spiffe://one.test/endpoint").value();
  const test::TestAuthority other("spiffe://one.test");
  world.query.endpoint_bundle = BundleOf(other);
  CHECK(world.IsRefusedFor(ca::kPathUntrusted));
  world.query.relationship.endpoint_id = SpiffeId::Parse("spiffe://two.test/endpoint").value();
  world.query.endpoint_bundle = BundleOf(world.authority);
  CHECK(world.IsRefusedFor(kNoBundleForTrustDomain));
  CHECK(world.endpoint.LastRequest().empty());
}

TEST_CASE("https_spiffe: without a bundle to verify against nobody is asked") {
  World world;
  world.query.endpoint_bundle = nullptr;
  CHECK(world.Refusal() == kEndpointUnverifiable);
  // A pin is of the endpoint's own trust domain.
  world.query.pin = world.authority.certificate().fingerprint();
  world.query.relationship.endpoint_id = SpiffeId::Parse("spiffe://two.test/endpoint").value();
  CHECK(world.Refusal() == kEndpointUnverifiable);
  CHECK(world.endpoint.requests() == 0);
}

TEST_CASE(
    "https_spiffe: a pinned authority is enough for the first fetch, and only the right one") {
  World world;
  world.query.endpoint_bundle = nullptr;
  world.query.pin = world.authority.certificate().fingerprint();
  const auto answer = world.client.Fetch(world.query);
  if (!answer) FAIL(answer.error().Message());
  CHECK(answer->parsed.bundle == *BundleOf(world.authority));

  // Served, but the endpoint does not stand under it.
  const test::TestAuthority other("spiffe://one.test");
  Bundle both = *BundleOf(world.authority);
  both.x509_authorities.push_back({other.certificate(), false});
  world.endpoint.Publish(FormatSpiffeBundle(both));
  CHECK(world.client.Fetch(world.query));
  world.query.pin = other.certificate().fingerprint();
  CHECK(world.Refusal() == ca::kPathUntrusted);
  // Not served at all.
  world.query.pin = test::TestAuthority("spiffe://one.test").certificate().fingerprint();
  CHECK(world.Refusal() == kPinNotServed);
  // Under the pin, but another ID.
  world.query.pin = world.authority.certificate().fingerprint();
  world.query.relationship.endpoint_id = SpiffeId::Parse("spiffe://one.test/other").value();
  CHECK(world.Refusal() == kEndpointNotItself);
}

TEST_CASE("https_web: the endpoint is who the web's authorities say, and an SVID is not enough") {
  World world;
  world.query.relationship.profile = EndpointProfile::kHttpsWeb;
  world.query.endpoint_bundle = nullptr;
  CHECK(world.Refusal() == net::kWebRootsUnusable);
  const auto roots = world.folder.File("roots.pem");
  REQUIRE(WriteFileAtomically(roots, AsBytes(ca::ToPem(world.authority.certificate())), 0644));
  CHECK(world.IsRefusedFor(net::kWebPeerRefused));
  test::CertificateOptions named;
  named.dns_names = {"localhost"};
  test::WebEndpoint web(world.authority.Issue(named));
  web.Publish(FormatSpiffeBundle(*BundleOf(world.authority)));
  world.query.relationship.url = net::HttpsUrl::Parse(web.Url("localhost")).value();
  const auto answer = world.client.Fetch(world.query);
  if (!answer) FAIL(answer.error().Message());
  CHECK(answer->parsed.bundle.x509_authorities.size() == 1);
}

TEST_CASE("what is no SPIFFE bundle is refused, and nothing of it comes back") {
  World world;
  for (const char* body : {"secret", "{}", "{\"secret\":1}", "{\"keys\":\"secret\"}"}) {
    world.endpoint.Publish(body);
    const auto answer = world.client.Fetch(world.query);
    REQUIRE_FALSE(answer);
    CHECK(answer.error().reason == kBundleMalformed);
    CHECK(answer.error().Message().find("secret") == std::string::npos);
  }
  world.endpoint.Answer("HTTP/1.1 304 Not Modified\r\n\r\n");
  CHECK(world.Refusal() == net::kFetchRefused);
}

}  // namespace signet::identity
