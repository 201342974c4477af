// What every KeyStore must do, over each implementation; then what only the one on disk can get
// wrong.
#include "ca/keys/key_store.h"

#include <sys/stat.h>
#include <unistd.h>

#include <csignal>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

#include "base/file.h"
#include "ca/keys/pkcs11/pkcs11_key_store.h"
#include "ca/keys/rewrap.h"
#include "tests/support/file_size_limit.h"
#include "tests/support/soft_token.h"
#include "tests/support/temp_dir.h"

namespace signet::ca {
namespace {

using Factory = std::function<std::unique_ptr<KeyStore>(const std::string& folder)>;

struct Implementation {
  std::string name;
  Factory make;
};

std::unique_ptr<DiskKeyStore> OnDisk(const std::string& folder) {
  auto store = DiskKeyStore::Create(folder + "/keys", {folder + "/kek"});
  REQUIRE(store);
  return std::move(*store);
}

std::unique_ptr<Pkcs11KeyStore> InToken() {
  auto store = Pkcs11KeyStore::Create(test::SoftToken::Instance().settings());
  if (!store) FAIL(store.error().Message());
  return std::move(*store);
}

// All tests share one token: each begins with it empty.
std::unique_ptr<Pkcs11KeyStore> InEmptyToken() {
  auto store = InToken();
  for (const std::string& name : store->Names()) REQUIRE(store->Remove(name));
  return store;
}

const std::vector<Implementation>& Implementations() {
  static const std::vector<Implementation> all = {
      {"memory", [](const std::string&) { return std::make_unique<MemoryKeyStore>(); }},
      {"disk", [](const std::string& folder) { return OnDisk(folder); }},
      {"pkcs11", [](const std::string&) { return InEmptyToken(); }}};
  return all;
}

bool Signs(const Signer& signer, const PublicKey& as) {
  const auto algorithm = CertificateAlgorithm(as.Type().value());
  const auto signature = signer.Sign(algorithm, AsBytes("message"));
  return signature && as.Verify(algorithm, AsBytes("message"), *signature);
}

Bytes Read(const std::string& path) { return ReadFile(path, 100'000).value(); }

void Overwrite(const std::string& path, ByteView content) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(AsText(content).data(), static_cast<std::streamsize>(content.size()));
}

mode_t ModeOf(const std::string& path) {
  struct stat st{};
  REQUIRE(stat(path.c_str(), &st) == 0);
  return st.st_mode & 07777;
}

}  // namespace

TEST_CASE("a key store gives back the key it made, of each type") {
  for (const auto& [name, make] : Implementations()) {
    INFO(name);
    const test::TempDir folder;
    const auto store = make(folder.path());
    for (const KeyType type : {KeyType::kEcP256, KeyType::kEcP384, KeyType::kRsa2048}) {
      const std::string key_name(KeyTypeName(type));
      const auto made = store->Generate(key_name, type);
      REQUIRE(made);
      CHECK((*made)->public_key().HasType(type));
      const auto found = store->Find(key_name);
      REQUIRE(found);
      CHECK((*found)->public_key() == (*made)->public_key());
      CHECK(Signs(**found, (*made)->public_key()));
    }
    CHECK(store->Names() == std::vector<std::string>{"ec-p256", "ec-p384", "rsa-2048"});
  }
}

TEST_CASE("a key of a key store signs from several threads at once") {
  for (const auto& [name, make] : Implementations()) {
    INFO(name);
    const test::TempDir folder;
    const auto store = make(folder.path());
    const auto key = store->Generate("k", KeyType::kEcP256).value();
    std::vector<int> good(6, 0);
    std::vector<std::thread> threads;
    for (int& count : good) {
      threads.emplace_back([&count, &key] {
        for (int i = 0; i < 10; ++i) count += Signs(*key, key->public_key()) ? 1 : 0;
      });
    }
    for (auto& thread : threads) thread.join();
    CHECK(good == std::vector<int>(6, 10));
  }
}

TEST_CASE("a key store's key signs with what fits it and refuses the rest") {
  for (const auto& [name, make] : Implementations()) {
    INFO(name);
    const test::TempDir folder;
    const auto store = make(folder.path());
    const auto ec = store->Generate("ec", KeyType::kEcP384).value();
    const auto rsa = store->Generate("rsa", KeyType::kRsa2048).value();
    const auto check = [](const Signer& key, SignatureAlgorithm algorithm) {
      const auto signature = key.Sign(algorithm, AsBytes("m"));
      return signature && key.public_key().Verify(algorithm, AsBytes("m"), *signature);
    };
    CHECK(check(*ec, SignatureAlgorithm::kEcdsaSha384));
    CHECK(check(*rsa, SignatureAlgorithm::kRsaPkcs1Sha256));
    CHECK(check(*rsa, SignatureAlgorithm::kRsaPkcs1Sha384));
    CHECK(check(*rsa, SignatureAlgorithm::kRsaPkcs1Sha512));
    CHECK(ec->Sign(SignatureAlgorithm::kRsaPkcs1Sha256, AsBytes("m")).error().reason ==
          kSigningFailed);
    CHECK(rsa->Sign(SignatureAlgorithm::kEcdsaSha256, AsBytes("m")).error().reason ==
          kSigningFailed);
  }
}

TEST_CASE("a key store knows no key that was never made or was removed") {
  for (const auto& [name, make] : Implementations()) {
    INFO(name);
    const test::TempDir folder;
    const auto store = make(folder.path());
    CHECK(store->Names().empty());
    CHECK(store->Find("x509-CA-A").error().reason == kKeyNotFound);
    CHECK(store->Find("x509-CA-A").error().code == Code::kNotFound);
    REQUIRE(store->Generate("x509-CA-A", KeyType::kEcP256));
    CHECK(store->Remove("x509-CA-A"));
    CHECK(store->Find("x509-CA-A").error().reason == kKeyNotFound);
    CHECK(store->Names().empty());
    CHECK(store->Remove("x509-CA-A"));
  }
}

TEST_CASE("a key made under an existing name replaces it, and who holds the old one keeps it") {
  for (const auto& [name, make] : Implementations()) {
    INFO(name);
    const test::TempDir folder;
    const auto store = make(folder.path());
    const auto old = store->Generate("k", KeyType::kEcP256).value();
    const auto fresh = store->Generate("k", KeyType::kEcP256).value();
    CHECK_FALSE(old->public_key() == fresh->public_key());
    CHECK((*store->Find("k"))->public_key() == fresh->public_key());
    CHECK(Signs(*old, old->public_key()));
  }
}

TEST_CASE("a key's name is a plain word") {
  for (const auto& [name, make] : Implementations()) {
    INFO(name);
    const test::TempDir folder;
    const auto store = make(folder.path());
    for (const std::string bad : {"", "../k", "a/b", ".k", "k.key", "k k", "schl\xc3\xbcssel"}) {
      CHECK(store->Generate(bad, KeyType::kEcP256).error().code == Code::kInvalidArgument);
      CHECK(store->Find(bad).error().code == Code::kInvalidArgument);
      CHECK(store->Remove(bad).error().code == Code::kInvalidArgument);
    }
    CHECK(store->Find(std::string(65, 'k')).error().code == Code::kInvalidArgument);
    CHECK(store->Generate(std::string(64, 'k'), KeyType::kEcP256));
  }
}

TEST_CASE("a key store serves several threads") {
  for (const auto& [name, make] : Implementations()) {
    INFO(name);
    const test::TempDir folder;
    const auto store = make(folder.path());
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&store, i] {
        const std::string mine = "key-" + std::to_string(i);
        for (int round = 0; round < 5; ++round) {
          (void)store->Generate(mine, KeyType::kEcP256);
          (void)store->Find("key-0");
          (void)store->Names();
        }
      });
    }
    for (auto& thread : threads) thread.join();
    CHECK(store->Names().size() == 4);
  }
}

TEST_CASE("keys on disk survive a restart, sealed and readable by their owner alone") {
  const test::TempDir folder;
  const auto made = OnDisk(folder.path())->Generate("x509-CA-A", KeyType::kEcP256).value();
  const auto again = OnDisk(folder.path());
  CHECK((*again->Find("x509-CA-A"))->public_key() == made->public_key());
  CHECK(again->Names() == std::vector<std::string>{"x509-CA-A"});
  CHECK(ModeOf(folder.File("kek")) == 0600);
  CHECK(ModeOf(folder.File("keys")) == 0700);
  CHECK(ModeOf(folder.File("keys/x509-CA-A.key")) == 0600);
  // The public point stands in the PKCS#8, so it would be seen if the file were not sealed.
  const Bytes content = Read(folder.File("keys/x509-CA-A.key"));
  const ByteView point = made->public_key().spki().last(64);
  CHECK(AsText(content).find(AsText(point)) == std::string_view::npos);
}

TEST_CASE("a changed, cut or exchanged key file is a clear error and stays as it is") {
  const test::TempDir folder;
  {
    const auto store = OnDisk(folder.path());
    REQUIRE(store->Generate("a", KeyType::kEcP256));
    REQUIRE(store->Generate("b", KeyType::kEcP256));
  }
  const std::string path = folder.File("keys/a.key");
  const Bytes good = Read(path);
  std::vector<Bytes> bad = {
      {}, ToBytes(ByteView(good).first(good.size() - 1)), Read(folder.File("keys/b.key"))};
  for (std::size_t at = 0; at < good.size(); at += 17) {
    bad.push_back(good);
    bad.back()[at] ^= 0x20;
  }
  for (const Bytes& content : bad) {
    Overwrite(path, content);
    const auto store = OnDisk(folder.path());
    const auto found = store->Find("a");
    REQUIRE_FALSE(found);
    CHECK(found.error().reason == kKeyStoreUnusable);
    CHECK(found.error().detail.find(path) != std::string::npos);
    CHECK(store->Generate("a", KeyType::kEcP256).error().reason == kKeyStoreUnusable);
    CHECK(Read(path) == content);
    CHECK(store->Find("b"));
  }
}

TEST_CASE("files others may read are refused with the chmod that mends it") {
  const test::TempDir folder;
  REQUIRE(OnDisk(folder.path())->Generate("a", KeyType::kEcP256));
  const std::string key = folder.File("keys/a.key"), kek = folder.File("kek"),
                    keys = folder.File("keys");
  REQUIRE(chmod(key.c_str(), 0640) == 0);
  const auto found = OnDisk(folder.path())->Find("a");
  REQUIRE_FALSE(found);
  CHECK(found.error().reason == kFilePermissionsLax);
  CHECK(found.error().detail.find("chmod 0600 " + key) != std::string::npos);
  REQUIRE(chmod(kek.c_str(), 0604) == 0);
  const auto lax_kek = DiskKeyStore::Create(keys, {kek});
  REQUIRE_FALSE(lax_kek);
  CHECK(lax_kek.error().detail.find("chmod 0600 " + kek) != std::string::npos);
  REQUIRE(chmod(kek.c_str(), 0600) == 0);
  REQUIRE(chmod(keys.c_str(), 0770) == 0);
  const auto lax_folder = DiskKeyStore::Create(keys, {kek});
  REQUIRE_FALSE(lax_folder);
  CHECK(lax_folder.error().detail.find("chmod 0700 " + keys) != std::string::npos);
}

TEST_CASE("a key-encryption key that is lost or damaged is not replaced while keys need it") {
  const test::TempDir folder;
  REQUIRE(OnDisk(folder.path())->Generate("a", KeyType::kEcP256));
  const std::string kek = folder.File("kek"), keys = folder.File("keys");
  const Bytes good = Read(kek);
  for (const Bytes& bad : {Bytes(), Bytes(31, 1), Bytes(33, 1)}) {
    Overwrite(kek, bad);
    CHECK(DiskKeyStore::Create(keys, {kek}).error().reason == kKeyStoreUnusable);
    CHECK(Read(kek) == bad);
  }
  std::filesystem::remove(kek);
  CHECK(DiskKeyStore::Create(keys, {kek}).error().reason == kKeyStoreUnusable);
  CHECK_FALSE(std::filesystem::exists(kek));
  Overwrite(kek, Bytes(32, 7));
  REQUIRE(chmod(kek.c_str(), 0600) == 0);
  CHECK(OnDisk(folder.path())->Find("a").error().reason == kKeyStoreUnusable);
  Overwrite(kek, good);
  CHECK(OnDisk(folder.path())->Find("a"));
}

TEST_CASE("a key that cannot be written leaves the old one in use") {
  const test::TempDir folder;
  const auto store = OnDisk(folder.path());
  const auto old = store->Generate("a", KeyType::kEcP256).value();
  std::signal(SIGXFSZ, SIG_IGN);  // as the programs do: the write fails instead
  const test::FileSizeLimit disk(getpid(), 0);
  const auto refused = store->Generate("a", KeyType::kEcP256);
  disk.Lift();
  REQUIRE_FALSE(refused);
  CHECK(refused.error().reason == kFileWriteFailed);
  CHECK((*store->Find("a"))->public_key() == old->public_key());
  CHECK(store->Generate("a", KeyType::kEcP256));
}

TEST_CASE("a key-encryption key from a credential opens the same keys and is never made") {
  const test::TempDir folder;
  const auto made = OnDisk(folder.path())->Generate("a", KeyType::kEcP256).value();
  const std::string credential = folder.File("credential"), keys = folder.File("keys");
  CHECK(DiskKeyStore::Create(keys, {credential, true}).error().reason == kFileMissing);
  CHECK_FALSE(std::filesystem::exists(credential));
  Overwrite(credential, Read(folder.File("kek")));
  REQUIRE(chmod(credential.c_str(), 0440) == 0);  // as systemd's access lists look
  const auto store = DiskKeyStore::Create(keys, {credential, true});
  REQUIRE(store);
  CHECK((*(*store)->Find("a"))->public_key() == made->public_key());
  Overwrite(credential, Bytes(31, 1));
  CHECK(DiskKeyStore::Create(keys, {credential, true}).error().reason == kKeyStoreUnusable);
}

TEST_CASE("a rewrap that is stopped before any of its steps is finished by the next one") {
  for (const bool in_place : {true, false}) {
    int steps = 1;
    for (int stop_at = 0; stop_at < steps; ++stop_at) {
      CAPTURE(in_place, stop_at);
      const test::TempDir folder;
      const std::string kek = folder.File("kek"), keys = folder.File("keys");
      const std::string next = in_place ? "" : folder.File("next-kek");
      std::vector<PublicKey> made;
      {
        const auto store = OnDisk(folder.path());
        for (const char* name : {"a", "b", "c"})
          made.push_back(store->Generate(name, KeyType::kEcP256).value()->public_key());
      }
      const Bytes old_kek = Read(kek);
      int seen = 0;
      const RewrapPlan plan{keys, {kek}, next};
      const auto stopped = RewrapKeys(plan, [&](const std::string& step) -> Status {
        if (seen++ == stop_at) return Fail(Code::kAborted, kKeyStoreUnusable, step);
        return {};
      });
      CHECK_FALSE(stopped);
      if (in_place && stop_at > 0) {
        const auto refused = DiskKeyStore::Create(keys, {kek});
        REQUIRE_FALSE(refused);
        CHECK(refused.error().detail.find("keys rewrap") != std::string::npos);
      }
      int all = 0;
      REQUIRE(RewrapKeys(plan, [&](const std::string&) {
        ++all;
        return Status();
      }));
      if (stop_at == 0) steps = all;
      const auto store = DiskKeyStore::Create(keys, {in_place ? kek : next});
      REQUIRE(store);
      for (std::size_t i = 0; i < made.size(); ++i) {
        const auto found = (*store)->Find(std::string(1, static_cast<char>('a' + i)));
        REQUIRE(found);
        CHECK((*found)->public_key() == made[i]);
      }
      Overwrite(kek, old_kek);
      CHECK((*DiskKeyStore::Create(keys, {kek}))->Find("a").error().reason == kKeyStoreUnusable);
    }
    CHECK(steps == (in_place ? 5 : 4));
  }
}

TEST_CASE("a rewrap touches nothing while a key opens under neither key-encryption key") {
  const test::TempDir folder;
  REQUIRE(OnDisk(folder.path())->Generate("a", KeyType::kEcP256));
  REQUIRE(OnDisk(folder.path())->Generate("b", KeyType::kEcP256));
  const std::string first = folder.File("keys/a.key"), second = folder.File("keys/b.key");
  Bytes damaged = Read(second);
  damaged.back() ^= 1;
  Overwrite(second, damaged);
  const Bytes before = Read(first);
  const auto refused = RewrapKeys({folder.File("keys"), {folder.File("kek")}, ""},
                                  [](const std::string&) { return Status(); });
  REQUIRE_FALSE(refused);
  CHECK(refused.error().detail.find(second) != std::string::npos);
  CHECK(Read(first) == before);
}

TEST_CASE("keys in a token survive a restart; what a replaced key left goes when nobody holds it") {
  auto store = InEmptyToken();
  auto old = store->Generate("x509-CA-A", KeyType::kEcP256).value();
  const auto fresh = store->Generate("x509-CA-A", KeyType::kEcP256).value();
  CHECK(Signs(*old, old->public_key()));
  old = nullptr;
  store = InToken();
  CHECK(store->Names() == std::vector<std::string>{"x509-CA-A"});
  const auto found = store->Find("x509-CA-A").value();
  CHECK(found->public_key() == fresh->public_key());
  CHECK(Signs(*found, fresh->public_key()));
  REQUIRE(store->Remove("x509-CA-A"));
  CHECK_FALSE(found->Sign(SignatureAlgorithm::kEcdsaSha256, AsBytes("m")));
}

TEST_CASE("a wrong PIN, a PIN others may read, an absent token: refused, and no PIN in the text") {
  const auto& token = test::SoftToken::Instance();
  const test::TempDir folder;
  ca::Pkcs11Settings settings = token.settings();
  const auto refuse = [&] {
    const auto refused = Pkcs11KeyStore::Create(settings);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().Message().find(token.pin()) == std::string::npos);
    return refused.error();
  };
  settings.token = "another";
  CHECK(refuse().detail.find("no token labelled 'another'") != std::string::npos);
  settings = token.settings();
  settings.module = folder.File("none.so");
  CHECK(refuse().reason == kKeyStoreUnusable);
  settings = token.settings();
  settings.pin_file = folder.File("pin");
  Overwrite(settings.pin_file, AsBytes(token.pin()));
  REQUIRE(chmod(settings.pin_file.c_str(), 0644) == 0);
  CHECK(refuse().reason == kFilePermissionsLax);
}

}  // namespace signet::ca
