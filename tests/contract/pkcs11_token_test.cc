// What can befall a token while the server runs. The library's own functions play the fault: they
// close every session of the process, log it out, or end the library under the store's feet.
#include <dlfcn.h>
#include <p11-kit/pkcs11.h>

#include <catch2/catch.hpp>

#include "ca/keys/pkcs11/pkcs11_key_store.h"
#include "tests/support/soft_token.h"

namespace signet::ca {
namespace {

CK_FUNCTION_LIST* Library() {
  void* const library =
      dlopen(test::SoftToken::Instance().settings().module.c_str(), RTLD_NOW | RTLD_LOCAL);
  REQUIRE(library != nullptr);
  const auto get = reinterpret_cast<CK_C_GetFunctionList>(dlsym(library, "C_GetFunctionList"));
  CK_FUNCTION_LIST* api = nullptr;
  REQUIRE(get(&api) == CKR_OK);
  return api;
}

// The slot with our token in it; there is always an empty one beside it.
CK_SLOT_ID OurSlot(CK_FUNCTION_LIST* api) {
  CK_SLOT_ID slots[16];
  CK_ULONG count = 16;
  REQUIRE(api->C_GetSlotList(CK_TRUE, slots, &count) == CKR_OK);
  for (CK_ULONG i = 0; i < count; ++i) {
    CK_TOKEN_INFO info{};
    REQUIRE(api->C_GetTokenInfo(slots[i], &info) == CKR_OK);
    if ((info.flags & CKF_TOKEN_INITIALIZED) != 0) return slots[i];
  }
  FAIL("no token");
  return 0;
}

bool Signs(const Signer& key) {
  const auto signature = key.Sign(SignatureAlgorithm::kEcdsaSha256, AsBytes("m"));
  return signature &&
         key.public_key().Verify(SignatureAlgorithm::kEcdsaSha256, AsBytes("m"), *signature);
}

struct World {
  std::unique_ptr<Pkcs11KeyStore> store =
      Pkcs11KeyStore::Create(test::SoftToken::Instance().settings()).value();
  std::shared_ptr<const Signer> key = store->Generate("vanishing", KeyType::kEcP256).value();
  CK_FUNCTION_LIST* api = Library();
  ~World() { (void)store->Remove("vanishing"); }
};

}  // namespace

TEST_CASE("a key in a token signs again after its sessions were closed and the login was lost") {
  World world;
  REQUIRE(Signs(*world.key));
  REQUIRE(world.api->C_CloseAllSessions(OurSlot(world.api)) == CKR_OK);
  CHECK(Signs(*world.key));
  REQUIRE(world.api->C_CloseAllSessions(OurSlot(world.api)) == CKR_OK);
  CHECK(world.store->Find("vanishing"));
  CHECK(world.store->Generate("vanishing-too", KeyType::kEcP256));
  CHECK(world.store->Remove("vanishing-too"));
}

TEST_CASE(
    "a token that is away is said to be; when it is back its keys sign, nothing is restarted") {
  World world;
  REQUIRE(Signs(*world.key));
  auto& token = test::SoftToken::Instance();
  REQUIRE(world.api->C_Finalize(nullptr) == CKR_OK);
  token.Unplug();
  const auto refused = world.key->Sign(SignatureAlgorithm::kEcdsaSha256, AsBytes("m"));
  REQUIRE_FALSE(refused);
  CHECK(refused.error().reason == kSigningFailed);
  CHECK(refused.error().detail.find("no token labelled 'signet test'") != std::string::npos);
  CHECK(world.store->Find("vanishing").error().reason == kKeyStoreUnusable);
  CHECK(world.store->Names().empty());
  REQUIRE(world.api->C_Finalize(nullptr) == CKR_OK);
  token.PlugIn();
  CHECK(Signs(*world.key));
  CHECK(world.store->Find("vanishing"));
}

TEST_CASE("a private key made in the token does not leave it") {
  World world;
  CK_SESSION_HANDLE session = 0;
  REQUIRE(world.api->C_OpenSession(OurSlot(world.api), CKF_SERIAL_SESSION, nullptr, nullptr,
                                   &session) == CKR_OK);
  CK_OBJECT_CLASS kind = CKO_PRIVATE_KEY;
  CK_ATTRIBUTE wanted{CKA_CLASS, &kind, sizeof kind};
  CK_OBJECT_HANDLE key = 0;
  CK_ULONG found = 0;
  REQUIRE(world.api->C_FindObjectsInit(session, &wanted, 1) == CKR_OK);
  REQUIRE(world.api->C_FindObjects(session, &key, 1, &found) == CKR_OK);
  REQUIRE(world.api->C_FindObjectsFinal(session) == CKR_OK);
  REQUIRE(found == 1);  // so the search itself works
  std::uint8_t value[256];
  CK_ATTRIBUTE secret{CKA_VALUE, value, sizeof value};
  CHECK(world.api->C_GetAttributeValue(session, key, &secret, 1) == CKR_ATTRIBUTE_SENSITIVE);
  world.api->C_CloseSession(session);
}

}  // namespace signet::ca
