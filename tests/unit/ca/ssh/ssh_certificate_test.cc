// Keys and certificates are ssh-keygen's, made in the test.

#include "ca/ssh/certificate.h"

#include <catch2/catch.hpp>
#include <type_traits>

#include "ca/ssh/private_key.h"
#include "ca/ssh/wire.h"
#include "tests/support/tools.h"

using namespace signet;
using namespace signet::ca;
using signet::test::ReadText;
using signet::test::SshKeygen;
using signet::test::TempDir;

namespace {

const WallTime kNow = FromUnixSeconds(1'800'000'000);

struct Host {
  explicit Host(const std::vector<std::string>& key = {"-t", "ed25519"},
                const std::vector<std::string>& ca_key = {"-t", "ed25519"}) {
    MakeKey("ca", ca_key);
    MakeKey("host", key);
  }
  void MakeKey(const std::string& name, const std::vector<std::string>& type) {
    std::vector<std::string> arguments = {"-q", "-N", "", "-C", "a comment", "-f", dir.File(name)};
    arguments.insert(arguments.end(), type.begin(), type.end());
    SshKeygen(dir, arguments);
  }
  Bytes Certify(std::vector<std::string> options = {"-h", "-n", "host.example.org"},
                const std::string& authority = "ca") {
    std::vector<std::string> arguments = {"-q", "-s", dir.File(authority), "-I", "the key ID",
                                          "-z", "77"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    arguments.push_back(dir.File("host.pub"));
    SshKeygen(dir, arguments);
    std::string type;
    return *ParseSshLine(ReadText(dir.File("host-cert.pub")), &type);
  }
  SshPublicKey Authority(const std::string& name = "ca") const {
    return *SshPublicKey::ParseLine(ReadText(dir.File(name + ".pub")));
  }
  Result<SshHostCertificate> Verify(ByteView blob, WallTime now = kNow) const {
    const std::vector<SshPublicKey> authorities = {Authority()};
    return SshHostCertificate::VerifyHost(blob, authorities, now);
  }
  Result<PrivateKey> Key(const std::string& name = "host") const {
    return ParseSshPrivateKey(SecretBytes(AsBytes(ReadText(dir.File(name)))));
  }
  TempDir dir;
};

}  // namespace

TEST_CASE(
    "host certificates of ssh-keygen are read, and their holders sign, for each kind of key") {
  const auto key = GENERATE(std::vector<std::string>{"-t", "ed25519"},
                            std::vector<std::string>{"-t", "ecdsa", "-b", "256"},
                            std::vector<std::string>{"-t", "ecdsa", "-b", "384"},
                            std::vector<std::string>{"-t", "ecdsa", "-b", "521"},
                            std::vector<std::string>{"-t", "rsa", "-b", "2048"});
  Host host(key, key);
  const Bytes blob = host.Certify({"-h", "-n", "host.example.org,other"});
  const auto certificate = host.Verify(blob);
  REQUIRE(certificate);
  CHECK(certificate->serial() == 77);
  CHECK(certificate->key_id() == "the key ID");
  CHECK(certificate->principals() == std::vector<std::string>{"host.example.org", "other"});
  CHECK(Equal(certificate->key().blob(), host.Authority("host").blob()));
  CHECK(certificate->fingerprint() == Sha256(blob));

  const auto private_key = host.Key();
  REQUIRE(private_key);
  CHECK(private_key->public_key() == certificate->key().key());
  const auto signature = SignAsSsh(*private_key, AsBytes("message"));
  REQUIRE(signature);
  CHECK(certificate->key().Verify(AsBytes("message"), *signature, SshSha1::kRefused));
  CHECK_FALSE(certificate->key().Verify(AsBytes("other"), *signature, SshSha1::kRefused));
}

TEST_CASE("SSH keys in PEM, and keys under a passphrase") {
  Host host({"-t", "rsa", "-b", "2048", "-m", "PEM"});
  REQUIRE(host.Key());
  CHECK(host.Key()->public_key() == host.Authority("host").key());
  SshKeygen(host.dir, {"-q", "-p", "-N", "secret", "-f", host.dir.File("ca")});
  CHECK(host.Key("ca").error().detail.find("passphrase") != std::string::npos);
}

TEST_CASE("an SSH certificate that is no trusted host's, at this time, is refused") {
  Host host;
  const auto reason = [&](const Bytes& blob, WallTime now = kNow) {
    const auto certificate = host.Verify(blob, now);
    return certificate ? Reason{"accepted"} : certificate.error().reason;
  };
  CHECK(reason(host.Certify()) == Reason{"accepted"});
  CHECK(reason(host.Certify({"-n", "host.example.org"})) == kSshCertificateRefused);  // a user's
  CHECK(reason(host.Certify({"-h"})) == kSshCertificateRefused);  // for any host
  host.MakeKey("stranger", {"-t", "ed25519"});
  CHECK(reason(host.Certify({"-h", "-n", "h"}, "stranger")) == kSshCertificateRefused);
  const Bytes dated = host.Certify({"-h", "-n", "h", "-V", "20270101:20270102"});
  CHECK(reason(dated, FromUnixSeconds(1'790'000'000)) == kSshCertificateRefused);  // 2026
  CHECK(reason(dated, FromUnixSeconds(1'798'800'000)) == Reason{"accepted"});      // 1 January 2027
  CHECK(reason(dated, FromUnixSeconds(1'799'000'000)) == kSshCertificateRefused);
}

TEST_CASE("SHA-1 signs no certificate, and a proof only where that is said") {
  Host host({"-t", "rsa", "-b", "2048"}, {"-t", "rsa", "-b", "2048"});
  CHECK(host.Verify(host.Certify({"-h", "-n", "h", "-t", "rsa-sha2-256"})));
  const auto sha1 = host.Verify(host.Certify({"-h", "-n", "h", "-t", "ssh-rsa"}));
  REQUIRE_FALSE(sha1);
  CHECK(sha1.error().reason == kSignatureInvalid);

  signet::test::WriteText(host.dir.File("message"), "message");
  SshKeygen(host.dir, {"-q", "-p", "-N", "", "-m", "PEM", "-f", host.dir.File("host")});
  signet::test::Openssl(host.dir, {"dgst", "-sha1", "-sign", host.dir.File("host"), "-out",
                                   host.dir.File("signature"), host.dir.File("message")});
  const SshSignature signature{"ssh-rsa", ToBytes(AsBytes(ReadText(host.dir.File("signature"))))};
  const auto key = host.Authority("host");
  CHECK(key.Verify(AsBytes("message"), signature, SshSha1::kAllowed));
  CHECK_FALSE(key.Verify(AsBytes("message"), signature, SshSha1::kRefused));
}

TEST_CASE("A4: of an SSH certificate nothing is readable but what its authority signed") {
  STATIC_REQUIRE_FALSE(std::is_default_constructible_v<SshHostCertificate>);
  STATIC_REQUIRE_FALSE(std::is_constructible_v<SshHostCertificate, SshPublicKey>);
  Host host;
  const Bytes good = host.Certify();
  SECTION("no byte can be changed") {
    for (std::size_t i = 0; i < good.size(); ++i) {
      Bytes changed = good;
      changed[i] ^= 1;
      CHECK_FALSE(host.Verify(changed));
    }
  }
  SECTION("no byte can be left out or added") {
    for (std::size_t size = 0; size < good.size(); ++size)
      CHECK_FALSE(host.Verify(ByteView(good).first(size)));
    Bytes longer = good;
    longer.push_back(0);
    CHECK_FALSE(host.Verify(longer));
  }
  SECTION("no signature stands for another authority") {
    // The stranger's certificate with the trusted authority's key written into it.
    host.MakeKey("stranger", {"-t", "ed25519"});
    Bytes forged = host.Certify({"-h", "-n", "host.example.org"}, "stranger");
    const auto stranger = host.Authority("stranger");
    const auto trusted = host.Authority();
    const auto at =
        std::search(forged.begin(), forged.end(), stranger.blob().begin(), stranger.blob().end());
    REQUIRE(at != forged.end());
    std::copy(trusted.blob().begin(), trusted.blob().end(), at);
    CHECK(host.Verify(forged).error().reason == kSignatureInvalid);
  }
}

TEST_CASE("SSH keys that are too small, too large or of another kind are refused when parsed") {
  TempDir dir;
  const auto line = [&](const std::vector<std::string>& type) {
    std::vector<std::string> arguments = {"-q", "-N", "", "-f", dir.File("key")};
    arguments.insert(arguments.end(), type.begin(), type.end());
    std::filesystem::remove(dir.File("key"));
    SshKeygen(dir, arguments);
    return SshPublicKey::ParseLine(ReadText(dir.File("key.pub")));
  };
  CHECK(line({"-t", "rsa", "-b", "1024"}).error().reason == kKeyTypeRefused);
  CHECK(line({"-t", "dsa"}).error().reason == kKeyTypeRefused);
  CHECK(line({"-t", "rsa", "-b", "2048"}));

  Bytes large;
  AppendSshString(AsBytes("ssh-rsa"), &large);
  AppendSshPositive(Bytes{1, 0, 1}, &large);
  AppendSshPositive(Bytes(2048, 0x91), &large);  // RSA-16384
  CHECK(SshPublicKey::FromBlob(large).error().reason == kKeyTypeRefused);
  CHECK(SshPublicKey::ParseLine("no-pty ssh-ed25519 AAAA").error().reason == kSshMalformed);
  CHECK(SshPublicKey::ParseLine("ssh-ed25519").error().reason == kSshMalformed);
}
