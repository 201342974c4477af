#include "identity/server/key_store_config.h"

#include <fmt/format.h>

#include "base/file.h"
#include "ca/keys/rewrap.h"
#include "identity/server/config.h"

namespace signet::identity {
namespace {

constexpr std::int64_t kMaxSessions = 1024;

bool IsFileName(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos;
}

void ReadDisk(ConfigMap& map, KeyStoreConfig* config) {
  config->kek_file = map.String("kek_file", config->kek_file);
  const auto credential = map.String("kek_credential");
  if (!credential) return;
  if (!IsFileName(*credential)) {
    map.Problem("kek_credential", "not the name of a credential: \"" + *credential + "\"",
                "the name LoadCredential= or LoadCredentialEncrypted= of the unit gives it");
  }
  config->kek_credential = *credential;
  config->kek_file.clear();
}

}  // namespace

void ReadPkcs11(ConfigMap& map, ca::Pkcs11Settings* settings) {
  settings->module = map.RequiredString("module",
                                        "the PKCS#11 library of the token, for example "
                                        "/usr/lib/softhsm/libsofthsm2.so");
  settings->token = map.RequiredString("token", "the token's label");
  settings->pin_file =
      map.RequiredString("pin_file", "a file of mode 0600 that holds the user's PIN");
  settings->sessions = static_cast<std::size_t>(
      map.Int("sessions", static_cast<std::int64_t>(settings->sessions), 1, kMaxSessions));
}

KeyStoreConfig ReadKeyStore(ConfigMap& root, const std::string& default_kek_file) {
  KeyStoreConfig config;
  config.kek_file = root.String("kek_file", default_kek_file);
  auto map = root.Map("key_store");
  if (!map) return config;
  const std::string type = map->String("type", "disk");
  if (type == "disk") {
    ReadDisk(*map, &config);
  } else if (type == "memory") {
    config.type = KeyStoreType::kMemory;
  } else if (type == "pkcs11") {
    config.type = KeyStoreType::kPkcs11;
    ReadPkcs11(*map, &config.pkcs11);
  } else {
    map->Problem("type", "unknown key store \"" + type + "\"", "use disk, memory or pkcs11");
  }
  map->Finish();
  return config;
}

Result<ca::KekSource> KekSourceOf(const KeyStoreConfig& config,
                                  const std::string& credentials_folder) {
  if (config.kek_credential.empty())
    return ca::KekSource{.path = config.kek_file, .is_credential = false};
  if (credentials_folder.empty()) {
    return Fail(Code::kFailedPrecondition, ca::kKeyStoreUnusable,
                "the configuration names the credential '" + config.kek_credential +
                    "', and $CREDENTIALS_DIRECTORY is not set: start the server by a systemd unit "
                    "with LoadCredential=" +
                    config.kek_credential + ":PATH");
  }
  return ca::KekSource{.path = credentials_folder + "/" + config.kek_credential,
                       .is_credential = true};
}

Result<std::unique_ptr<ca::KeyStore>> OpenKeyStore(const KeyStoreConfig& config,
                                                   const std::string& key_folder,
                                                   const std::string& credentials_folder) {
  switch (config.type) {
    case KeyStoreType::kMemory:
      return std::make_unique<ca::MemoryKeyStore>();
    case KeyStoreType::kPkcs11:
      return ca::Pkcs11KeyStore::Create(config.pkcs11);
    case KeyStoreType::kDisk:
      break;
  }
  SIGNET_TRY(const ca::KekSource source, KekSourceOf(config, credentials_folder));
  return ca::DiskKeyStore::Create(key_folder, source);
}

Result<std::string> RewrapServerKeys(const ServerConfig& config, const std::string& next_kek_file) {
  if (config.key_store.type != KeyStoreType::kDisk) {
    return Fail(Code::kInvalidArgument, ca::kKeyStoreUnusable,
                "only a key store of type disk has a key-encryption key");
  }
  SIGNET_TRY(const FileLock lock, FileLock::Acquire(config.LockPath()));
  SIGNET_TRY(const ca::KekSource current, KekSourceOf(config.key_store, config.credentials_folder));
  SIGNET_TRY(const std::size_t count, ca::RewrapKeys({config.KeyFolder(), current, next_kek_file},
                                                     [](const std::string&) { return Status(); }));
  std::string done = fmt::format("{} keys are sealed under another key-encryption key", count);
  if (!next_kek_file.empty()) {
    done += "; it is in " + next_kek_file +
            ": name it as key_store.kek_file (or make it the credential) before the next start";
  }
  return done;
}

}  // namespace signet::identity
