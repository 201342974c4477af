// A real server below a CA in files: another program verifies what it signs by the CA's root alone,
// and the CA may be replaced while it runs.
#include <catch2/catch.hpp>
#include <fstream>

#include "tests/support/file_authority.h"
#include "tests/support/server_process.h"

namespace signet::test {
namespace {

using std::chrono::seconds;

std::string Below(const FileAuthority& above) {
  return "upstream_authority:\n  type: disk\n  certificate_file: " + above.certificate_file() +
         "\n  key_file: " + above.key_file() + "\n  bundle_file: " + above.bundle_file() + "\n";
}

ca::Chain Roots(grpc::Channel& channel) {
  ca::Chain roots;
  const auto bundle = GetBundle(channel);
  for (const auto& authority : bundle.x509_authorities())
    roots.push_back(*ca::Certificate::Parse(AsBytes(authority.asn1())));
  return roots;
}

// Whether openssl takes the chain for one below `root`, strictly read.
bool IsBelow(const TempDir& folder, const ca::Chain& chain, const ca::Certificate& root) {
  std::ofstream(folder.File("root.pem")) << ca::ToPem(std::span(&root, 1));
  std::ofstream(folder.File("leaf.pem")) << ca::ToPem(std::span(chain).first(1));
  std::ofstream(folder.File("chain.pem")) << ca::ToPem(chain);
  return RunProcess({"/usr/bin/openssl", "verify", "-x509_strict", "-purpose", "sslserver",
                     "-CAfile", folder.File("root.pem"), "-untrusted", folder.File("chain.pem"),
                     folder.File("leaf.pem")},
                    folder.File("openssl"))
             .code == 0;
}

TEST_CASE("every kind of SVID below a CA in files verifies by the CA's root, over restarts too") {
  const TempDir folder;
  const FileAuthority above;
  ServerProcess server(SIGNET_BIN, Below(above));
  server.Start();
  CHECK(Roots(*server.Admin()) == ca::Chain{above.root()});
  const auto check = [&] {
    const auto agent = MakeAgent(server);
    CHECK(IsBelow(folder, agent.chain, above.root()));
    CHECK(IsBelow(folder, server.ServerChain(), above.root()));
    const auto minted = MintSvid(*server.Admin(), "spiffe://example.org/m").chain;
    CHECK(minted.size() == 3);
    CHECK(IsBelow(folder, minted, above.root()));
  };
  check();
  server.Stop();
  server.Start();
  check();
  // So that it can say no.
  const FileAuthority stranger;
  CHECK_FALSE(IsBelow(folder, server.ServerChain(), stranger.root()));
}

TEST_CASE("a CA that is replaced is taken by the next rotation; nothing is refused meanwhile") {
  const TempDir folder;
  FileAuthority above;
  ServerProcess server(SIGNET_BIN, Below(above) + "ca_ttl: 12s\ndefault_x509_svid_ttl: 2s\n");
  server.Start();
  const auto before = above.root();
  WriteText(above.certificate_file(), "half written");
  CHECK(IsBelow(folder, MintSvid(*server.Admin(), "spiffe://example.org/m").chain, before));
  above.Replace();
  const SystemClock clock;
  const auto deadline = clock.SteadyNow() + seconds(60);
  bool below_next = false;
  while (!below_next && clock.SteadyNow() < deadline) {
    const auto chain = MintSvid(*server.Admin(), "spiffe://example.org/m").chain;
    below_next = IsBelow(folder, chain, above.root());
    if (!below_next) CHECK(IsBelow(folder, chain, before));
    const auto roots = Roots(*server.Admin());
    CHECK(std::ranges::find(roots, before) != roots.end());
    if (below_next) CHECK(std::ranges::find(roots, above.root()) != roots.end());
  }
  REQUIRE(below_next);

  // What was replaced is tainted, then taken out of the bundle; what is in use is not.
  std::string output;
  const auto signet = [&](const char* command, const ca::Certificate& root) {
    return RunProcess({SIGNET_BIN + std::string("/signet"), "--socket", server.admin_socket(),
                       "authority", command, EncodeHex(root.subject_key_id())},
                      folder.File("signet"), &output)
        .code;
  };
  CHECK(signet("revoke-upstream", before) != 0);
  CHECK_THAT(output, Catch::Contains("taint"));
  CHECK(signet("taint-upstream", above.root()) != 0);
  CHECK(signet("taint-upstream", before) == 0);
  CHECK(signet("revoke-upstream", before) == 0);
  CHECK_THAT(output, Catch::Contains(EncodeHex(before.subject_key_id())));
  CHECK(Roots(*server.Admin()) == ca::Chain{above.root()});
}

TEST_CASE("a CA that cannot be used stops the start, and the message names the file") {
  const FileAuthority above;
  const FileAuthority stranger;
  ServerProcess server(SIGNET_BIN, "upstream_authority:\n  type: disk\n  certificate_file: " +
                                       above.certificate_file() +
                                       "\n  key_file: " + stranger.key_file() +
                                       "\n  bundle_file: " + above.bundle_file() + "\n");
  CHECK(server.StartRefused().code != 0);
  CHECK(server.Output().find(above.certificate_file()) != std::string::npos);
}

}  // namespace
}  // namespace signet::test
