// Every kind of certificate the server gives out passes another program's strict checks:
// `openssl verify -x509_strict`, for authorities of each key type.

#include <catch2/catch.hpp>
#include <fstream>

#include "tests/support/server_process.h"

namespace signet::test {
namespace {

constexpr const char* kOpenSsl = "/usr/bin/openssl";

void WriteChain(const std::string& path, std::span<const ca::Certificate> chain) {
  std::ofstream(path) << ca::ToPem(chain);
}

// Answers openssl's exit code; its words are in the test's message when that is not 0.
int VerifyStrictly(const std::string& folder, const ca::Chain& chain, const std::string& usage) {
  WriteChain(folder + "/leaf.pem", std::span(chain).first(1));
  WriteChain(folder + "/chain.pem", chain);  // the leaf in it does no harm, and it is never empty
  std::string output;
  const auto end =
      RunProcess({kOpenSsl, "verify", "-x509_strict", "-purpose", usage, "-CAfile",
                  folder + "/root.pem", "-untrusted", folder + "/chain.pem", folder + "/leaf.pem"},
                 folder + "/openssl", &output);
  if (end.code != 0) WARN(output);
  return end.code;
}

TEST_CASE("roots, agents', workloads' and the server's certificates pass openssl's strict checks") {
  for (const std::string type : {"ec-p256", "ec-p384", "rsa-2048"}) {
    CAPTURE(type);
    ServerProcess server(SIGNET_BIN, "ca_key_type: " + type + "\n");
    server.Start();
    const std::string& folder = server.folder();
    ca::Chain roots;
    const auto bundle = GetBundle(*server.Admin());
    for (const auto& authority : bundle.x509_authorities())
      roots.push_back(*ca::Certificate::Parse(AsBytes(authority.asn1())));
    REQUIRE(roots.size() == 1);
    WriteChain(folder + "/root.pem", roots);
    const auto agent = MakeAgent(server);
    auto entry = MakeEntry("e", "/w", agent.id, "unix:uid:1");
    entry.add_dns_names("w.example.org");
    CreateEntry(*server.Admin(), entry);
    for (const char* usage : {"sslserver", "sslclient"}) {
      CHECK(VerifyStrictly(folder, agent.chain, usage) == 0);
      CHECK(VerifyStrictly(folder, server.ServerChain(), usage) == 0);
      CHECK(VerifyStrictly(folder, NewSvid(*server.Tls(&agent), "e").chain, usage) == 0);
      CHECK(VerifyStrictly(folder, MintSvid(*server.Admin(), "spiffe://example.org/m").chain,
                           usage) == 0);
    }
    CHECK(VerifyStrictly(folder, roots, "any") == 0);
    // So that it can say no: another domain's root did not sign this.
    ServerProcess other(SIGNET_BIN);
    other.Start();
    const auto stranger = MintSvid(*other.Admin(), "spiffe://example.org/m");
    CHECK(RunProcess({kOpenSsl, "verify", "-x509_strict", "-CAfile", folder + "/root.pem",
                      (WriteChain(folder + "/leaf.pem", stranger.chain), folder + "/leaf.pem")},
                     folder + "/openssl")
              .code != 0);
  }
}

}  // namespace
}  // namespace signet::test
