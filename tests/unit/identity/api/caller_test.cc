#include "identity/api/caller.h"

#include <catch2/catch.hpp>

#include "tests/support/test_certificates.h"

namespace signet::identity {
namespace {

TEST_CASE("callers: a verified SVID gives ID, serial and end; no certificate is anonymous") {
  net::PeerIdentity peer;
  peer.name = "spiffe://example.org/w";
  const auto leaf = test::MakeCertificate(test::LeafSpec(peer.name)).Parsed();
  peer.chain = {leaf};
  const auto caller = CallerOfTls(&peer, "127.0.0.1:1");
  CHECK(caller.kind == CallerKind::kCertificate);
  CHECK(caller.Name() == peer.name);
  CHECK(caller.serial == leaf.SerialDecimal());
  CHECK(caller.valid_until == leaf.not_after());
  CHECK(CallerOfTls(nullptr, "127.0.0.1:1").kind == CallerKind::kAnonymous);
}

TEST_CASE("callers: a peer without a sound ID or a chain is unknown") {
  net::PeerIdentity peer;
  peer.name = "spiffe://example.org/w";
  CHECK(CallerOfTls(&peer, "").kind == CallerKind::kUnknown);
  peer.name = "example.org";
  peer.chain = {test::MakeCertificate(test::LeafSpec("spiffe://example.org/w")).Parsed()};
  CHECK(CallerOfTls(&peer, "").kind == CallerKind::kUnknown);
}

}  // namespace
}  // namespace signet::identity
