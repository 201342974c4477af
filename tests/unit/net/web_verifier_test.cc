#include "net/web_verifier.h"

#include <catch2/catch.hpp>

#include "tests/support/fake_clock.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_pki.h"

namespace signet::net {
namespace {

using std::chrono::hours;

test::CertificateOptions Named(std::vector<std::string> names) {
  test::CertificateOptions options;
  options.dns_names = std::move(names);
  return options;
}

struct World {
  World() {
    test::CertificateOptions root;
    root.is_ca = true;
    root.common_name = "web root";
    authority.emplace(root);
    const std::vector<ca::Certificate> anchors = {authority->certificate()};
    roots = WebRoots::Of(anchors).value();
  }
  Result<std::shared_ptr<const PeerIdentity>> Verify(const ca::Chain& chain,
                                                     const std::string& host) const {
    return WebVerifier(roots, host, clock).Verify(chain);
  }
  bool Accepts(const ca::Chain& chain, const std::string& host) const {
    const auto verified = Verify(chain, host);
    if (!verified) CHECK(verified.error().reason == kWebPeerRefused);
    return verified.has_value();
  }

  test::FakeClock clock;
  std::optional<test::TestAuthority> authority;
  std::shared_ptr<const WebRoots> roots;
};

}  // namespace

TEST_CASE("a web server is known by a name in its certificate's SAN, and by nothing else") {
  const World world;
  const auto leaf = world.authority->Issue(Named({"a.test", "*.b.test"})).chain;
  const auto verified = world.Verify(leaf, "a.test");
  REQUIRE(verified);
  CHECK((*verified)->name == "a.test");
  CHECK((*verified)->chain == leaf);
  CHECK(world.Accepts(leaf, "A.TEST"));
  CHECK(world.Accepts(leaf, "x.b.test"));
  CHECK_FALSE(world.Accepts(leaf, "b.test"));
  CHECK_FALSE(world.Accepts(leaf, "x.y.b.test"));
  CHECK_FALSE(world.Accepts(leaf, "c.test"));
  CHECK_FALSE(world.Accepts(leaf, "127.0.0.1"));
  test::CertificateOptions by_subject;
  by_subject.common_name = "a.test";
  by_subject.uris = {"spiffe://a.test/x"};
  CHECK_FALSE(world.Accepts(world.authority->Issue(by_subject).chain, "a.test"));
}

TEST_CASE("a web server's certificate must lead to a root, be of its time and for servers") {
  World world;
  const auto below = world.authority->IssueAuthority("spiffe://below.test");
  CHECK(world.Accepts(below.Issue(Named({"a.test"})).chain, "a.test"));
  auto cut = below.Issue(Named({"a.test"})).chain;
  cut.pop_back();
  CHECK_FALSE(world.Accepts(cut, "a.test"));
  const test::TestAuthority foreign("spiffe://foreign.test");
  CHECK_FALSE(world.Accepts(foreign.Issue(Named({"a.test"})).chain, "a.test"));
  auto client = Named({"a.test"});
  client.extended_key_usage = "clientAuth";
  CHECK_FALSE(world.Accepts(world.authority->Issue(client).chain, "a.test"));
  auto short_lived = Named({"a.test"});
  short_lived.not_after = world.clock.Now() + hours(1);
  const auto leaf = world.authority->Issue(short_lived).chain;
  CHECK(world.Accepts(leaf, "a.test"));
  world.clock.Advance(hours(2));
  CHECK_FALSE(world.Accepts(leaf, "a.test"));
}

TEST_CASE("web roots come from a file with certificates in it") {
  const World world;
  const test::TempDir folder;
  const auto path = folder.File("roots.pem");
  CHECK(WebRoots::Load(path).error().reason == kWebRootsUnusable);
  REQUIRE(WriteFileAtomically(path, AsBytes("no certificate\n"), 0644));
  CHECK(WebRoots::Load(path).error().reason == kWebRootsUnusable);
  REQUIRE(WriteFileAtomically(path, AsBytes(ca::ToPem(world.authority->certificate())), 0644));
  const auto roots = WebRoots::Load(path);
  REQUIRE(roots);
  CHECK(WebVerifier(*roots, "a.test", world.clock)
            .Verify(world.authority->Issue(Named({"a.test"})).chain));
}

}  // namespace signet::net
