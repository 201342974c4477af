// The authority, the host's key and its certificate are ssh-keygen's; signatures are the openssl
// program's where it knows the key.

#include "identity/attest/sshpop_attestor.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <type_traits>

#include "ca/crypto/digest.h"
#include "ca/ssh/private_key.h"
#include "identity/proof/sshpop.h"
#include "tests/support/fake_clock.h"
#include "tests/support/tools.h"

using namespace signet;
using namespace signet::identity;
using nlohmann::json;
using signet::test::FakeClock;
using signet::test::Openssl;
using signet::test::ReadText;
using signet::test::SshKeygen;
using signet::test::TempDir;
using signet::test::WriteText;

namespace {

const TrustDomain kDomain = *TrustDomain::Parse("example.org");

struct World {
  World() {
    SshKeygen(dir, {"-q", "-N", "", "-t", "ed25519", "-f", dir.File("ca")});
    SshKeygen(dir, {"-q", "-N", "", "-t", "ecdsa", "-m", "PEM", "-f", dir.File("host")});
    settings.path = *PathTemplate::Parse(kSshPopDefaultTemplate, SshPopFields());
    Certify("web1.example.org");
  }
  void Certify(const std::string& principal) {
    SshKeygen(dir, {"-q", "-s", dir.File("ca"), "-I", "web", "-h", "-n", principal,
                    dir.File("host.pub")});
    std::string type;
    certificate = *ca::ParseSshLine(ReadText(dir.File("host-cert.pub")), &type);
  }
  SshPopAttestor Attestor() const {
    auto trusted = std::make_shared<const std::vector<ca::SshPublicKey>>(
        std::vector<ca::SshPublicKey>{*ca::SshPublicKey::ParseLine(ReadText(dir.File("ca.pub")))});
    return {kDomain, settings, [trusted] { return trusted; }, clock, random};
  }
  std::string Payload() const { return json{{"Certificate", EncodeBase64(certificate)}}.dump(); }
  // As a SPIRE agent writes it, signed by the openssl program.
  std::string Response(const std::string& challenge) const {
    const Bytes nonce(32, 5);
    auto joined = *DecodeBase64(json::parse(challenge).at("Nonce").get<std::string>());
    joined.insert(joined.end(), nonce.begin(), nonce.end());
    WriteText(dir.File("message"), AsText(ca::Sha256(joined)));
    Openssl(dir, {"dgst", "-sha256", "-sign", dir.File("host"), "-out", dir.File("signature"),
                  dir.File("message")});
    const std::string der = ReadText(dir.File("signature"));
    // ECDSA-Sig-Value to two mpints: the same integers behind four bytes of length.
    std::string blob;
    for (std::size_t at = 2; at < der.size();) {
      const auto size = static_cast<std::size_t>(der[at + 1]);
      blob += std::string(3, '\0') + der[at + 1] + der.substr(at + 2, size);
      at += 2 + size;
    }
    return json{{"Nonce", EncodeBase64(nonce)},
                {"Signature",
                 {{"Format", "ecdsa-sha2-nistp256"},
                  {"Blob", EncodeBase64(AsBytes(blob))},
                  {"Rest", nullptr}}}}
        .dump();
  }
  Result<NodeAttributes> Attest() const {
    const auto attestor = Attestor();
    const auto conversation = attestor.Begin();
    SIGNET_TRY(auto step, conversation->Take(Payload()));
    SIGNET_TRY(auto done, conversation->Take(Response(std::get<Challenge>(step).message)));
    return std::get<NodeAttributes>(done);
  }

  TempDir dir;
  FakeClock clock{FromUnixSeconds(4'000'000'000)};  // what ssh-keygen makes here has no end
  mutable OsRandom random;
  SshPopSettings settings;
  Bytes certificate;
};

}  // namespace

TEST_CASE("sshpop: a host gets the ID that SPIRE gives it, and no selectors") {
  World world;
  const auto attributes = world.Attest();
  REQUIRE(attributes);
  CHECK(attributes->id.ToString() == "spiffe://example.org/spire/agent/sshpop/" +
                                         EncodeBase64Url(ca::Sha256(world.certificate)));
  CHECK(attributes->can_reattest);
  CHECK(attributes->selector_values.empty());
}

TEST_CASE("sshpop: the canonical domain is asked for and cut off") {
  World world;
  world.settings.path = *PathTemplate::Parse("/sshpop/{{ .Hostname }}", SshPopFields());
  CHECK(world.Attest()->id.path() == "/spire/agent/sshpop/web1.example.org");
  world.settings.canonical_domain = "example.org";
  CHECK(world.Attest()->id.path() == "/spire/agent/sshpop/web1");
  world.Certify("web1.example.org.evil.test");
  CHECK(world.Attest().error().reason == kProofInvalid);
  world.Certify("notexample.org");
  CHECK(world.Attest().error().reason == kProofInvalid);
  world.Certify("a/../b.example.org");
  CHECK_FALSE(world.Attest());
}

TEST_CASE("A4: sshpop takes a response for this challenge by the certified key alone") {
  using Proven = SshPopVerifier::Proven;
  STATIC_REQUIRE_FALSE(std::is_default_constructible_v<Proven>);
  STATIC_REQUIRE_FALSE(std::is_constructible_v<Proven, SshPopVerifier::ProvenHost>);
  World world;
  const auto attestor = world.Attestor();
  const auto first = attestor.Begin();
  const auto second = attestor.Begin();
  const auto challenge = std::get<Challenge>(*first->Take(world.Payload())).message;
  REQUIRE(second->Take(world.Payload()));
  const std::string good = world.Response(challenge);
  CHECK(second->Take(good).error().reason == kProofInvalid);  // replayed
  json other = json::parse(good);
  other["Nonce"] = EncodeBase64(Bytes(32, 6));
  CHECK(first->Take(other.dump()).error().reason == kProofInvalid);
  other = json::parse(good);
  other["Signature"]["Format"] = "ssh-ed25519";
  CHECK(first->Take(other.dump()).error().reason == kProofInvalid);
  other.erase("Signature");
  CHECK(first->Take(other.dump()).error().reason == kProofMalformed);
  CHECK(first->Take(good));
}

TEST_CASE("sshpop: the agent's side answers what the attestor accepts, with each kind of key") {
  const auto kind = GENERATE("ed25519", "ecdsa", "rsa");
  World world;
  std::filesystem::remove(world.dir.File("host"));
  SshKeygen(world.dir, {"-q", "-N", "", "-t", kind, "-f", world.dir.File("host")});
  world.Certify("web1.example.org");
  const auto key = *ca::ParseSshPrivateKey(SecretBytes(AsBytes(ReadText(world.dir.File("host")))));
  const auto attestor = world.Attestor();
  const auto conversation = attestor.Begin();
  const auto step = conversation->Take(WriteSshPopPayload(world.certificate));
  REQUIRE(step);
  const auto answer = AnswerSshPopChallenge(key, std::get<Challenge>(*step).message, world.random);
  REQUIRE(answer);
  CHECK(conversation->Take(*answer));
}
