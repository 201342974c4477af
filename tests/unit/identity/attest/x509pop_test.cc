// Certificates come from OpenSSL (TestAuthority), the node's signatures from its command line, and
// messages are written by hand: nothing here is made by the code under test.

#include <openssl/param_build.h>
#include <openssl/x509.h>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <type_traits>

#include "ca/crypto/pem_key.h"
#include "ca/crypto/proof.h"
#include "ca/x509/path.h"
#include "identity/attest/x509pop_attestor.h"
#include "identity/proof/x509pop.h"
#include "tests/support/fake_clock.h"
#include "tests/support/test_pki.h"
#include "tests/support/tools.h"

using namespace signet;
using namespace signet::identity;
using nlohmann::json;
using signet::test::CertificateOptions;
using signet::test::FakeClock;
using signet::test::Openssl;
using signet::test::ReadText;
using signet::test::TempDir;
using signet::test::TestAuthority;
using signet::test::WriteText;

namespace {

const TrustDomain kDomain = *TrustDomain::Parse("example.org");

// Options with some of them changed.
template <class Change>
CertificateOptions With(Change change) {
  CertificateOptions options;
  change(options);
  return options;
}
const CertificateOptions kAuthority = With([](auto& o) { o.is_ca = true; });

CertificateOptions Named(const std::string& name, bool rsa = false) {
  return With([&](auto& o) {
    o.common_name = name;
    o.rsa = rsa;
  });
}

std::string Base64(ByteView bytes) { return EncodeBase64(bytes); }

std::string Payload(const ca::Chain& chain) {
  json list = json::array();
  for (const auto& certificate : chain) list.push_back(Base64(certificate.der()));
  return json{{"certificates", list}}.dump();
}

// A node that has its key in a file and signs with the openssl program.
class CommandLineNode {
 public:
  CommandLineNode(const TempDir& dir, const ca::PrivateKey& key) : dir_(dir) {
    const auto der = key.ToPkcs8();
    WriteText(dir.File("key.der"), AsText(der.view()));
    Openssl(dir, {"pkey", "-inform", "DER", "-in", dir.File("key.der"), "-out", File()});
  }
  std::string File() const { return dir_.File("key.pem"); }

  std::string Response(const std::string& challenge, const Bytes& nonce = Bytes(32, 7)) const {
    const json posed = json::parse(challenge);
    const bool rsa = posed.at("rsa_signature").is_object();
    const char* member = rsa ? "rsa_signature" : "ecdsa_signature";
    std::string message = ToString(*DecodeBase64(posed.at(member).at("nonce").get<std::string>()));
    message += AsText(nonce);
    WriteText(dir_.File("message"), message);
    std::vector<std::string> arguments = {"dgst", "-sha256", "-sign",
                                          File(), "-out",    dir_.File("signature")};
    if (rsa)
      for (const char* option :
           {"-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:max"})
        arguments.emplace_back(option);
    arguments.push_back(dir_.File("message"));
    Openssl(dir_, arguments);
    const std::string signature = ReadText(dir_.File("signature"));
    json answer = {{"nonce", Base64(nonce)}};
    if (rsa) {
      answer["signature"] = Base64(AsBytes(signature));
    } else {
      const auto size = static_cast<std::size_t>(signature[3]);
      answer["r"] = Base64(AsBytes(signature).subspan(4, size));
      answer["s"] = Base64(AsBytes(signature).subspan(4 + size + 2));
    }
    return json{{member, answer}}.dump();
  }

 private:
  const TempDir& dir_;
};

struct World {
  X509PopSettings settings = [] {
    X509PopSettings made;
    made.path =
        *PathTemplate::Parse(X509PopDefaultTemplate(X509PopMode::kExternalPki), X509PopFields());
    return made;
  }();
  FakeClock clock;
  OsRandom random;
  TempDir dir;
  TestAuthority authority{kAuthority};

  X509PopAttestor Attestor() {
    auto anchors = std::make_shared<const std::vector<ca::Certificate>>(
        std::vector<ca::Certificate>{authority.certificate()});
    return {kDomain, settings, [anchors] { return anchors; }, clock, random};
  }
  // The whole conversation, or where it ended.
  Result<NodeAttributes> Attest(const test::CertifiedKey& node) {
    const auto attestor = Attestor();
    const auto conversation = attestor.Begin();
    SIGNET_TRY(auto step, conversation->Take(Payload(node.chain)));
    const auto response =
        CommandLineNode(dir, *node.key).Response(std::get<Challenge>(step).message);
    SIGNET_TRY(auto done, conversation->Take(response));
    return std::get<NodeAttributes>(done);
  }
  Error Refusal(const ca::Chain& chain) {
    const auto attestor = Attestor();
    const auto step = attestor.Begin()->Take(Payload(chain));
    REQUIRE_FALSE(step);
    return step.error();
  }
};

std::string Sha1Of(const World& world, const ca::Certificate& certificate) {
  WriteText(world.dir.File("certificate.der"), AsText(certificate.der()));
  std::string text = Openssl(world.dir, {"dgst", "-sha1", "-r", world.dir.File("certificate.der")});
  return text.substr(0, 40);
}

// Over an RSA key of 16384 bits (a number of that size: nobody has its factors).
ca::Certificate LargeRsaCertificate() {
  BIGNUM* modulus = BN_new();
  BIGNUM* exponent = BN_new();
  BN_rand(modulus, 16384, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ODD);
  BN_set_word(exponent, 65537);
  OSSL_PARAM_BLD* builder = OSSL_PARAM_BLD_new();
  OSSL_PARAM_BLD_push_BN(builder, "n", modulus);
  OSSL_PARAM_BLD_push_BN(builder, "e", exponent);
  OSSL_PARAM* parameters = OSSL_PARAM_BLD_to_param(builder);
  EVP_PKEY_CTX* context = EVP_PKEY_CTX_new_id(EVP_PKEY_RSA, nullptr);
  EVP_PKEY* key = nullptr;
  REQUIRE(EVP_PKEY_fromdata_init(context) == 1);
  REQUIRE(EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, parameters) == 1);
  EVP_PKEY* signer = EVP_EC_gen("P-256");
  X509* certificate = X509_new();
  X509_set_version(certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
  X509_set_pubkey(certificate, key);
  REQUIRE(X509_sign(certificate, signer, EVP_sha256()) > 0);
  std::uint8_t* der = nullptr;
  const int size = i2d_X509(certificate, &der);
  auto parsed = ca::Certificate::Parse({der, static_cast<std::size_t>(size)});
  OPENSSL_free(der);
  X509_free(certificate);
  EVP_PKEY_free(signer);
  EVP_PKEY_free(key);
  EVP_PKEY_CTX_free(context);
  OSSL_PARAM_free(parameters);
  OSSL_PARAM_BLD_free(builder);
  BN_free(exponent);
  BN_free(modulus);
  REQUIRE(parsed);
  return *parsed;
}

}  // namespace

TEST_CASE(
    "x509pop: a node with a certificate and its key gets the ID and selectors SPIRE gives it") {
  const bool rsa = GENERATE(false, true);
  World world;
  const auto intermediate = world.authority.IssueAuthority("spiffe://pki.test");
  const auto node = intermediate.Issue(With([&](auto& o) {
    o.uris = {"x509pop://example.org/rack/a/7", "x509pop://other.org/rack/b"};
    o.common_name = "node-1";
    o.rsa = rsa;
  }));
  const auto attributes = world.Attest(node);
  REQUIRE(attributes);
  const auto fingerprint = Sha1Of(world, node.chain[0]);
  CHECK(attributes->id.ToString() == "spiffe://example.org/spire/agent/x509pop/" + fingerprint);
  CHECK(attributes->can_reattest);
  CHECK_FALSE(attributes->first_use_only);
  CHECK(attributes->selector_values ==
        std::vector<std::string>{"subject:cn:node-1",
                                 "ca:fingerprint:" + Sha1Of(world, node.chain[1]),
                                 "ca:fingerprint:" + Sha1Of(world, world.authority.certificate()),
                                 "serialnumber:" + node.chain[0].SerialHex(), "san:rack:a/7"});
}

TEST_CASE("x509pop: the agent's side answers what the openssl program accepts") {
  TempDir dir;
  OsRandom random;
  const auto type = GENERATE(ca::KeyType::kEcP256, ca::KeyType::kEcP384, ca::KeyType::kRsa2048);
  const auto key = *ca::PrivateKey::Generate(type);
  const bool rsa = type == ca::KeyType::kRsa2048;
  const char* member = rsa ? "rsa_signature" : "ecdsa_signature";
  const Bytes nonce(32, 9);
  const std::string challenge = json{{member, {{"nonce", Base64(nonce)}}}}.dump();
  const auto response = AnswerX509PopChallenge(key, challenge, random);
  REQUIRE(response);
  const json answer = json::parse(*response).at(member);
  const auto field = [&](const char* name) {
    return ToString(*DecodeBase64(answer.at(name).get<std::string>()));
  };
  WriteText(dir.File("message"), ToString(nonce) + field("nonce"));
  WriteText(dir.File("key.der"), AsText(key.public_key().spki()));
  Openssl(dir, {"pkey", "-pubin", "-inform", "DER", "-in", dir.File("key.der"), "-out",
                dir.File("key.pem")});
  std::vector<std::string> arguments = {
      "dgst", "-sha256", "-verify", dir.File("key.pem"), "-signature", dir.File("signature")};
  if (rsa) {
    WriteText(dir.File("signature"), field("signature"));
    for (const char* option :
         {"-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:auto"})
      arguments.emplace_back(option);
  } else {
    const auto integer = [](const std::string& magnitude) {
      const std::string content =
          (static_cast<unsigned char>(magnitude[0]) >= 0x80 ? std::string(1, '\0') : "") +
          magnitude;
      return std::string("\x02") + static_cast<char>(content.size()) + content;
    };
    const std::string body = integer(field("r")) + integer(field("s"));
    WriteText(dir.File("signature"), std::string("\x30") + static_cast<char>(body.size()) + body);
  }
  arguments.push_back(dir.File("message"));
  CHECK(Openssl(dir, arguments).find("Verified OK") != std::string::npos);
}

TEST_CASE("x509pop: whom nobody vouches for is refused before a challenge") {
  World world;
  const TestAuthority stranger(kAuthority);
  CHECK(world.Refusal(stranger.Issue("spiffe://x").chain).reason == ca::kPathUntrusted);

  auto old = With([](auto& o) { o.uris = {"spiffe://x/y"}; });
  old.not_after = world.clock.Now() - std::chrono::seconds(1);
  CHECK(world.Refusal(world.authority.Issue(old).chain).reason == ca::kCertificateExpired);

  const auto other_use = With([](auto& o) {
    o.uris = {"spiffe://x/y"};
    o.key_usage = "keyAgreement";
  });
  CHECK(world.Refusal(world.authority.Issue(other_use).chain).reason == kProofInvalid);
}

TEST_CASE("A10: x509pop looks at counts and key sizes before it verifies anything") {
  World world;
  const auto node = world.authority.Issue("spiffe://x/y");
  SECTION("at most four intermediates") {
    const ca::Chain six(6, node.chain[0]);
    const auto refusal = world.Refusal(six);
    CHECK(refusal.reason == kProofMalformed);
    CHECK(refusal.code == Code::kInvalidArgument);
  }
  SECTION("no RSA key beyond the limit, wherever it stands in the chain") {
    world.settings.max_rsa_bits = 2047;  // so that RSA-2048 stands for one that is too large
    const auto large = world.authority.Issue(Named("x", true));
    CHECK(world.Refusal(large.chain).reason == kProofInvalid);
    CHECK(world.Refusal({node.chain[0], large.chain[0]}).reason == kProofInvalid);
  }
  SECTION("RSA-16384 costs a look at its size") {
    const auto refusal = world.Refusal({LargeRsaCertificate()});
    CHECK(refusal.reason == kProofInvalid);
    CHECK(refusal.detail.find("16384") != std::string::npos);
  }
  SECTION("messages of any size are bounded") {
    const auto attestor = world.Attestor();
    const auto step = attestor.Begin()->Take(std::string(kMaxProofBytes + 1, ' '));
    REQUIRE_FALSE(step);
    CHECK(step.error().reason == kProofMalformed);
  }
}

TEST_CASE("A4: only a verifier makes what its proof stands behind") {
  using Trusted = X509PopVerifier::Trusted;
  using Proven = X509PopVerifier::Proven;
  STATIC_REQUIRE_FALSE(std::is_default_constructible_v<Trusted>);
  STATIC_REQUIRE_FALSE(std::is_constructible_v<Trusted, X509PopVerifier::TrustedChain>);
  STATIC_REQUIRE_FALSE(std::is_constructible_v<Proven, X509PopVerifier::ProvenChain>);
  STATIC_REQUIRE_FALSE(std::is_constructible_v<Proven, Trusted>);
  STATIC_REQUIRE_FALSE(
      std::is_assignable_v<decltype(*std::declval<Proven&>()), X509PopVerifier::ProvenChain>);
}

TEST_CASE("A4: x509pop takes a response for this challenge by this key alone") {
  World world;
  const auto node = world.authority.Issue("spiffe://x/y");
  const auto other = world.authority.Issue("spiffe://x/z");
  const auto attestor = world.Attestor();
  const auto begin = [&] {
    auto conversation = attestor.Begin();
    auto step = conversation->Take(Payload(node.chain));
    REQUIRE(step);
    return std::pair(std::move(conversation), std::get<Challenge>(*step).message);
  };
  const CommandLineNode holder(world.dir, *node.key);

  auto [first, challenge] = begin();
  const auto good = holder.Response(challenge);

  SECTION("replayed in another attestation") {
    auto [second, second_challenge] = begin();
    CHECK(challenge != second_challenge);
    CHECK(second->Take(good).error().reason == kProofInvalid);
    CHECK(first->Take(good));
  }
  SECTION("signed with another certified key") {
    TempDir other_dir;
    CHECK(first->Take(CommandLineNode(other_dir, *other.key).Response(challenge)).error().reason ==
          kProofInvalid);
  }
  SECTION("signed over other nonces than those in it") {
    json swapped = json::parse(good);
    swapped["ecdsa_signature"]["nonce"] = Base64(Bytes(32, 8));
    CHECK(first->Take(swapped.dump()).error().reason == kProofInvalid);
  }
  SECTION("a nonce of another size") {
    CHECK(first->Take(holder.Response(challenge, Bytes(31, 7))).error().reason == kProofMalformed);
  }
  SECTION("the server's nonce moved into the node's") {
    json swapped = json::parse(good);
    swapped["ecdsa_signature"]["nonce"] = json::parse(challenge)["ecdsa_signature"]["nonce"];
    CHECK_FALSE(first->Take(swapped.dump()));
  }
  SECTION("two members of one name: which one counts must not matter") {
    std::string twice = good;
    twice.insert(twice.size() - 1, "," + good.substr(1, good.size() - 2));
    CHECK(first->Take(twice).error().reason == kProofMalformed);
  }
  SECTION("as RSA though the key is EC") {
    const std::string rsa =
        R"({"rsa_signature":{"nonce":")" + Base64(Bytes(32, 7)) + R"(","signature":"AAAA"}})";
    CHECK(first->Take(rsa).error().reason == kProofMalformed);
  }
  SECTION("r and s of zero") {
    const std::string zero =
        R"({"ecdsa_signature":{"nonce":")" + Base64(Bytes(32, 7)) + R"(","r":"AA==","s":"AA=="}})";
    CHECK(first->Take(zero).error().reason == kProofInvalid);
  }
}

TEST_CASE("A4: the chain that was verified is the one that is described") {
  World world;
  const auto node = world.authority.Issue(Named("real"));
  const auto foreign = TestAuthority(kAuthority).Issue(Named("foreign"));
  // A stranger's certificate behind the leaf leads nowhere and lends nothing.
  test::CertifiedKey mixed{{node.chain[0], foreign.chain[0]}, node.key};
  const auto attributes = world.Attest(mixed);
  REQUIRE(attributes);
  for (const auto& value : attributes->selector_values) {
    CHECK(value.find(Sha1Of(world, foreign.chain[0])) == std::string::npos);
    CHECK(value != "subject:cn:foreign");
  }
  // In front, it is the leaf, and is refused.
  CHECK(world.Refusal({foreign.chain[0], node.chain[0]}).reason == ca::kPathUntrusted);
}

TEST_CASE("x509pop: in mode spiffe an SVID below the prefix is exchanged, and no other") {
  World world;
  world.settings.mode = X509PopMode::kSpiffe;
  world.settings.path =
      *PathTemplate::Parse(X509PopDefaultTemplate(X509PopMode::kSpiffe), X509PopFields());
  const auto attest = [&](const std::string& uri) {
    return world.Attest(world.authority.Issue(With([&](auto& o) { o.uris = {uri}; })));
  };
  const auto good = attest("spiffe://example.org/spire-exchange/rack/7");
  REQUIRE(good);
  CHECK(good->id.ToString() == "spiffe://example.org/spire/agent/x509pop/rack/7");
  CHECK_FALSE(attest("spiffe://example.org/other/7"));
  CHECK_FALSE(attest("spiffe://example.org/spire-exchange"));
  CHECK_FALSE(attest("spiffe://other.org/spire-exchange/7"));
  CHECK_FALSE(attest("x509pop://example.org/spire-exchange/7"));
  world.settings.svid_prefix = "/";
  CHECK(attest("spiffe://example.org/other/7"));
  CHECK_FALSE(attest("spiffe://example.org/spire/agent/x509pop/7"));
  CHECK_FALSE(attest("spiffe://example.org/spire/server"));
}

TEST_CASE("private keys are read from PEM as the openssl program writes it") {
  TempDir dir;
  const auto read = [&](const std::string& name) {
    return ca::ParsePemPrivateKey(SecretBytes(AsBytes(ReadText(dir.File(name)))));
  };
  Openssl(dir, {"genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out",
                dir.File("pkcs8.pem")});
  Openssl(dir, {"ec", "-in", dir.File("pkcs8.pem"), "-out", dir.File("sec1.pem")});
  Openssl(dir, {"genrsa", "-traditional", "-out", dir.File("pkcs1.pem"), "3072"});
  Openssl(dir, {"pkcs8", "-topk8", "-in", dir.File("pkcs8.pem"), "-passout", "pass:secret", "-out",
                dir.File("locked.pem")});
  REQUIRE(read("pkcs8.pem"));
  REQUIRE(read("sec1.pem"));
  CHECK(read("pkcs8.pem")->public_key() == read("sec1.pem")->public_key());
  CHECK(ca::BitsOf(read("pkcs1.pem")->public_key()) == 3072);
  CHECK(read("locked.pem").error().reason == ca::kKeyMalformed);
  CHECK(ca::ParsePemPrivateKey(SecretBytes(AsBytes("nothing"))).error().reason ==
        ca::kKeyMalformed);
}
