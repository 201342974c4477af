#include "agent/attest/seal_key.h"

#include <linux/keyctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "base/file.h"
#include "base/random.h"
#include "tests/support/temp_dir.h"

using namespace signet;
using namespace signet::agent;
using signet::test::TempDir;
using Kind = SealKeySource::Kind;

TEST_CASE("a key file is made at first use, and is the same afterwards") {
  TempDir dir;
  const SealKeySource source{Kind::kFile, dir.File("kek")};
  const auto first = LoadSealKey(source);
  REQUIRE(first);
  CHECK((*first)->size() == kSealKeyBytes);
  CHECK(Equal((*LoadSealKey(source))->view(), (*first)->view()));
}

TEST_CASE("a credential has 32 bytes, and is not made up when it is not there") {
  TempDir dir;
  const SealKeySource source{Kind::kCredential, dir.File("kek")};
  const auto missing = LoadSealKey(source);
  REQUIRE_FALSE(missing);
  CHECK(missing.error().reason == kSealKeyMissing);
  const std::string key(32, 'k');
  REQUIRE(WriteFileAtomically(source.name, AsBytes(key), 0440));  // as systemd shows it
  CHECK(AsText((*LoadSealKey(source))->view()) == key);
  REQUIRE(WriteFileAtomically(source.name, AsBytes("short"), 0400));
  CHECK(LoadSealKey(source).error().reason == kSealKeyUnusable);
  REQUIRE(WriteFileAtomically(source.name, AsBytes(key + "more"), 0400));
  CHECK_FALSE(LoadSealKey(source));
}

TEST_CASE("a key of the kernel's keyring is used, and not made up when it is not there") {
  OsRandom random;
  const std::string name = "signet-test-" + random.Uuid();
  const SealKeySource source{Kind::kKeyring, name};
  const auto missing = LoadSealKey(source);
  REQUIRE_FALSE(missing);
  CHECK(missing.error().reason == kSealKeyMissing);
  const auto add = [&](const std::string& key) {
    return syscall(SYS_add_key, "user", name.c_str(), key.data(), key.size(),
                   KEY_SPEC_PROCESS_KEYRING);
  };
  if (add(std::string(32, 'k')) < 0) {
    WARN("this machine gives no keyring (a container?): " << ErrnoText(errno));
    return;
  }
  REQUIRE(LoadSealKey(source));
  CHECK(AsText((*LoadSealKey(source))->view()) == std::string(32, 'k'));
  REQUIRE(add("short") > 0);
  CHECK(LoadSealKey(source).error().reason == kSealKeyUnusable);
  REQUIRE(add(std::string(64, 'k')) > 0);
  CHECK(LoadSealKey(source).error().reason == kSealKeyUnusable);
}
