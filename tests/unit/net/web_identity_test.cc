#include "net/web_identity.h"

#include <openssl/pem.h>

#include <catch2/catch.hpp>

#include "tests/support/fake_clock.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_pki.h"

namespace signet::net {
namespace {

using std::chrono::seconds;

std::string KeyPem(const ca::PrivateKey& key, bool traditional) {
  BIO* bio = BIO_new(BIO_s_mem());
  const int written = traditional ? PEM_write_bio_PrivateKey_traditional(
                                        bio, key.handle(), nullptr, nullptr, 0, nullptr, nullptr)
                                  : PEM_write_bio_PKCS8PrivateKey(bio, key.handle(), nullptr,
                                                                  nullptr, 0, nullptr, nullptr);
  REQUIRE(written == 1);
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio, &text);
  std::string pem(text, static_cast<std::size_t>(size));
  BIO_free(bio);
  return pem;
}

struct World {
  World() { Write(authority.Issue("spiffe://example.org/a")); }
  void Write(const test::CertifiedKey& pair, bool traditional = false) {
    REQUIRE(WriteFileAtomically(certificate, AsBytes(ca::ToPem(pair.chain)), 0644));
    REQUIRE(WriteFileAtomically(key, AsBytes(KeyPem(*pair.key, traditional)), 0600));
  }

  test::FakeClock clock;
  Logger log = Logger::Null();
  test::TempDir folder;
  const std::string certificate = folder.File("tls.pem");
  const std::string key = folder.File("tls.key");
  test::TestAuthority authority{"spiffe://example.org"};
};

}  // namespace

TEST_CASE("certificate and key are read in either form, and refused with the file's name") {
  World world;
  const auto pair = world.authority.Issue("spiffe://example.org/b");
  for (const bool traditional : {false, true}) {
    world.Write(pair, traditional);
    const auto identity = LoadWebIdentity(world.certificate, world.key);
    REQUIRE(identity);
    CHECK(identity->chain == pair.chain);
    CHECK(identity->key->public_key() == pair.key->public_key());
  }
  const auto refused = [&](const std::string& file) {
    const auto identity = LoadWebIdentity(world.certificate, world.key);
    REQUIRE_FALSE(identity);
    CHECK(identity.error().reason == kWebIdentityUnusable);
    CHECK(identity.error().detail.starts_with(file + ": "));
  };
  REQUIRE(WriteFileAtomically(world.key, AsBytes(KeyPem(*pair.key, false)), 0644));
  refused(world.key);
  REQUIRE(WriteFileAtomically(world.key, AsBytes("-----BEGIN PRIVATE KEY-----\nAAAA\n"), 0600));
  refused(world.key);
  REQUIRE(WriteFileAtomically(world.certificate, AsBytes("nothing"), 0644));
  refused(world.certificate);
}

TEST_CASE("a renewed certificate is shown from the next look on, and a bad one never") {
  World world;
  const auto identity = WebIdentity::Open({world.certificate, world.key}, world.clock, world.log);
  REQUIRE(identity);
  const auto first = (*identity)->Context();
  REQUIRE(first != nullptr);
  world.Write(world.authority.Issue("spiffe://example.org/b"));
  CHECK((*identity)->Context() == first);  // not looked at yet
  world.clock.Advance(seconds(2));
  const auto second = (*identity)->Context();
  CHECK(second != first);
  world.clock.Advance(seconds(2));
  CHECK((*identity)->Context() == second);
  // The key of another certificate.
  const auto other = ca::PrivateKey::Generate(ca::KeyType::kEcP256).value();
  REQUIRE(WriteFileAtomically(world.key, AsBytes(KeyPem(other, false)), 0600));
  world.clock.Advance(seconds(2));
  CHECK((*identity)->Context() == second);
  REQUIRE(::unlink(world.key.c_str()) == 0);
  world.clock.Advance(seconds(2));
  CHECK((*identity)->Context() == second);
  world.Write(world.authority.Issue("spiffe://example.org/c"));
  world.clock.Advance(seconds(2));
  CHECK((*identity)->Context() != second);
}

TEST_CASE("a pair that cannot be used is refused from the start") {
  World world;
  REQUIRE(WriteFileAtomically(
      world.key, AsBytes(KeyPem(ca::PrivateKey::Generate(ca::KeyType::kEcP256).value(), false)),
      0600));
  CHECK(WebIdentity::Open({world.certificate, world.key}, world.clock, world.log).error().reason ==
        kTlsContextFailed);
  CHECK(WebIdentity::Open({world.folder.File("none"), world.key}, world.clock, world.log)
            .error()
            .reason == kWebIdentityUnusable);
}

}  // namespace signet::net
