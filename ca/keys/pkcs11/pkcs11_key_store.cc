#include "ca/keys/pkcs11/pkcs11_key_store.h"

#include <openssl/rand.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <utility>

#include "base/check.h"
#include "base/file.h"
#include "ca/keys/key_name.h"
#include "ca/keys/pkcs11/token_objects.h"
#include "ca/keys/pkcs11/token_signer.h"

namespace signet::ca {
namespace {

constexpr std::size_t kMaxPinBytes = 256;
constexpr std::size_t kNumberBytes = 8;
constexpr std::size_t kIdBytes = 16;

std::uint64_t NumberOf(ByteView id) {
  std::uint64_t number = 0;
  for (const std::uint8_t byte : id.first(kNumberBytes)) number = number << 8 | byte;
  return number;
}

Bytes NewId(std::uint64_t number) {
  Bytes id(kIdBytes);
  CHECK_TRUE(RAND_bytes(id.data() + kNumberBytes, kIdBytes - kNumberBytes) == 1);
  for (std::size_t i = 0; i < kNumberBytes; ++i)
    id[i] = static_cast<std::uint8_t>(number >> (8 * (kNumberBytes - 1 - i)));
  return id;
}

// Whether the object is one of ours: others' keys in the token are left alone.
bool IsOurs(const TokenObject& object) {
  return object.id.size() == kIdBytes && CheckKeyName(object.label);
}

Result<SecretBytes> ReadPin(const std::string& path) {
  SIGNET_TRY(const SecretBytes content, ReadSecretFile(path, kMaxPinBytes));
  ByteView pin = content.view();
  while (!pin.empty() && (pin.back() == '\n' || pin.back() == '\r'))
    pin = pin.first(pin.size() - 1);
  if (pin.empty())
    return Fail(Code::kFailedPrecondition, kKeyStoreUnusable, path + " holds no PIN");
  return SecretBytes(pin);
}

}  // namespace

struct Pkcs11KeyStore::State {
  std::shared_ptr<Token> token;
  std::mutex mutex;
  // Signers given out, so that replacing a key reaches them.
  std::map<std::string, std::weak_ptr<TokenSigner>> signers;

  // The private halves of ours under `name` (all when empty), the one that counts last.
  Result<std::vector<TokenObject>> List(const std::string& name);
  Result<std::shared_ptr<TokenSigner>> Load(const std::string& name, const TokenObject& key);
  Result<std::shared_ptr<TokenSigner>> FindLocked(const std::string& name);
  Status Destroy(ByteView id);
  Status DestroyLeftOvers();
};

Result<std::vector<TokenObject>> Pkcs11KeyStore::State::List(const std::string& name) {
  std::vector<TokenObject> found;
  SIGNET_RETURN_IF_ERROR(token->Run("listing keys", [&](const Token::Session& session) {
    return FindObjects(session, CKO_PRIVATE_KEY, name, &found);
  }));
  std::erase_if(found, [](const TokenObject& object) { return !IsOurs(object); });
  std::sort(found.begin(), found.end(), [](const TokenObject& a, const TokenObject& b) {
    return std::pair(a.label, NumberOf(a.id)) < std::pair(b.label, NumberOf(b.id));
  });
  return found;
}

Status Pkcs11KeyStore::State::Destroy(ByteView id) {
  return token->Run("destroying a key",
                    [&](const Token::Session& session) { return DestroyPair(session, id); });
}

// Pairs that another one of the same name has replaced. Nobody holds them yet.
Status Pkcs11KeyStore::State::DestroyLeftOvers() {
  SIGNET_TRY(const std::vector<TokenObject> keys, List(""));
  for (std::size_t i = 0; i + 1 < keys.size(); ++i) {
    if (keys[i].label == keys[i + 1].label) SIGNET_RETURN_IF_ERROR(Destroy(keys[i].id));
  }
  return {};
}

Result<std::shared_ptr<TokenSigner>> Pkcs11KeyStore::State::Load(const std::string& name,
                                                                 const TokenObject& key) {
  Bytes spki;
  bool extractable = true;
  SIGNET_RETURN_IF_ERROR(token->Run("reading a key", [&](const Token::Session& session) {
    std::vector<TokenObject> public_keys;
    CK_OBJECT_HANDLE private_key = 0;
    TokenResult result = FindObjects(session, CKO_PUBLIC_KEY, name, &public_keys);
    if (result == CKR_OK) result = FindPrivateKey(session, key.id, &private_key);
    if (result == CKR_OK) result = ReadExtractable(session, private_key, &extractable);
    for (const TokenObject& one : public_keys) {
      if (result == CKR_OK && Equal(one.id, key.id)) result = ReadSpki(session, one.handle, &spki);
    }
    return result;
  }));
  const auto public_key = PublicKey::FromSpki(spki);
  if (spki.empty() || !public_key) {
    return Fail(
        Code::kDataLoss, kKeyStoreUnusable,
        "key " + name + " in the token has no public half we can read; it is left as it is");
  }
  if (extractable) {
    return Fail(Code::kFailedPrecondition, kKeyStoreUnusable,
                "key " + name + " may leave the token; remove it there, and another is made");
  }
  auto signer = std::make_shared<TokenSigner>(token, key.id, *public_key);
  signers[name] = signer;
  return signer;
}

Result<std::shared_ptr<TokenSigner>> Pkcs11KeyStore::State::FindLocked(const std::string& name) {
  SIGNET_TRY(const std::vector<TokenObject> keys, List(name));
  if (keys.empty()) return Fail(Code::kNotFound, kKeyNotFound, name);
  if (auto held = signers[name].lock(); held != nullptr && Equal(held->id(), keys.back().id))
    return held;
  return Load(name, keys.back());
}

Pkcs11KeyStore::Pkcs11KeyStore(std::shared_ptr<State> state) : state_(std::move(state)) {}
Pkcs11KeyStore::~Pkcs11KeyStore() = default;

Result<std::unique_ptr<Pkcs11KeyStore>> Pkcs11KeyStore::Create(const Pkcs11Settings& settings) {
  SIGNET_TRY(const SecretBytes pin, ReadPin(settings.pin_file));
  auto state = std::make_shared<State>();
  SIGNET_TRY(auto token, Token::Open(settings, pin));
  state->token = std::move(token);
  SIGNET_RETURN_IF_ERROR(state->DestroyLeftOvers());
  return std::unique_ptr<Pkcs11KeyStore>(new Pkcs11KeyStore(std::move(state)));
}

Result<std::shared_ptr<const Signer>> Pkcs11KeyStore::Generate(const std::string& name,
                                                               KeyType type) {
  SIGNET_RETURN_IF_ERROR(CheckKeyName(name));
  State& state = *state_;
  const std::lock_guard lock(state.mutex);
  SIGNET_TRY(const std::vector<TokenObject> before, state.List(name));
  const auto replaced = state.signers[name].lock();
  const Bytes id = NewId(before.empty() ? 1 : NumberOf(before.back().id) + 1);
  SIGNET_RETURN_IF_ERROR(state.token->Run("making a key", [&](const Token::Session& session) {
    return GeneratePair(session, name, id, type);
  }));
  SIGNET_TRY(const auto made, state.FindLocked(name));
  for (const TokenObject& old : before) {
    if (replaced != nullptr && Equal(replaced->id(), old.id)) {
      replaced->DestroyWhenUnused();
    } else {
      SIGNET_RETURN_IF_ERROR(state.Destroy(old.id));
    }
  }
  return std::shared_ptr<const Signer>(made);
}

Result<std::shared_ptr<const Signer>> Pkcs11KeyStore::Find(const std::string& name) {
  SIGNET_RETURN_IF_ERROR(CheckKeyName(name));
  const std::lock_guard lock(state_->mutex);
  SIGNET_TRY(auto found, state_->FindLocked(name));
  return std::shared_ptr<const Signer>(std::move(found));
}

Status Pkcs11KeyStore::Remove(const std::string& name) {
  SIGNET_RETURN_IF_ERROR(CheckKeyName(name));
  const std::lock_guard lock(state_->mutex);
  state_->signers.erase(name);
  SIGNET_TRY(const std::vector<TokenObject> keys, state_->List(name));
  for (const TokenObject& key : keys) SIGNET_RETURN_IF_ERROR(state_->Destroy(key.id));
  return {};
}

std::vector<std::string> Pkcs11KeyStore::Names() {
  const std::lock_guard lock(state_->mutex);
  std::vector<std::string> names;
  const auto keys = state_->List("");
  if (!keys) return names;
  for (const TokenObject& key : *keys) {
    if (names.empty() || names.back() != key.label) names.push_back(key.label);
  }
  return names;
}

}  // namespace signet::ca
