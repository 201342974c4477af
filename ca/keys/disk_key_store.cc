#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "base/file.h"
#include "ca/keys/key_name.h"
#include "ca/keys/key_store.h"
#include "ca/keys/rewrap.h"
#include "ca/keys/sealed_key_file.h"

namespace signet::ca {
namespace {

Status CheckFolderMode(const std::string& folder) {
  struct stat st{};
  if (stat(folder.c_str(), &st) != 0) {
    return Fail(Code::kInternal, kKeyStoreUnusable, folder + ": " + ErrnoText(errno));
  }
  if ((st.st_mode & 0022) == 0) return {};
  return Fail(Code::kPermissionDenied, kFilePermissionsLax,
              folder + " may be written by others than its owner; run: chmod 0700 " + folder);
}

Result<SecretBytes> MakeKek(const std::string& folder, const std::string& path) {
  SIGNET_TRY(const std::vector<std::string> names, ListKeyFiles(folder));
  if (!names.empty()) {
    return Fail(Code::kFailedPrecondition, kKeyStoreUnusable,
                path + " is missing, and the keys in " + folder +
                    " open only with it; restore it from a backup, or move the keys away to begin "
                    "with new ones");
  }
  SIGNET_TRY(SecretBytes kek, NewKek());
  const std::string parent = std::filesystem::path(path).parent_path().string();
  if (!parent.empty()) SIGNET_RETURN_IF_ERROR(EnsureDirectory(parent, 0700));
  SIGNET_RETURN_IF_ERROR(WriteFileAtomically(path, kek.view(), 0600));
  return kek;
}

Result<SecretBytes> ReadOrMakeKek(const std::string& folder, const KekSource& source) {
  if (source.is_credential) return ReadKekCredential(source.path);
  SIGNET_RETURN_IF_ERROR(CheckNoRewrapPending(source.path));
  auto kek = ReadKekFile(source.path);
  if (!kek && kek.error().reason == kFileMissing) return MakeKek(folder, source.path);
  return kek;
}

}  // namespace

DiskKeyStore::DiskKeyStore(std::string folder, const SecretBytes& kek)
    : folder_(std::move(folder)), kek_(kek) {}

Result<std::unique_ptr<DiskKeyStore>> DiskKeyStore::Create(std::string folder,
                                                           const KekSource& source) {
  SIGNET_RETURN_IF_ERROR(EnsureDirectory(folder, 0700));
  SIGNET_RETURN_IF_ERROR(CheckFolderMode(folder));
  SIGNET_TRY(const SecretBytes kek, ReadOrMakeKek(folder, source));
  return std::unique_ptr<DiskKeyStore>(new DiskKeyStore(std::move(folder), kek));
}

Result<std::shared_ptr<const Signer>> DiskKeyStore::Generate(const std::string& name,
                                                             KeyType type) {
  SIGNET_RETURN_IF_ERROR(CheckKeyName(name));
  // A file that does not open may be all that is left of a key: it is not replaced.
  if (const auto existing = Find(name); !existing && existing.error().reason != kKeyNotFound) {
    return Fail(existing.error());
  }
  SIGNET_TRY(PrivateKey made, PrivateKey::Generate(type));
  const std::lock_guard lock(mutex_);
  cache_.erase(name);  // when the write fails half-way, the file says which key counts
  SIGNET_RETURN_IF_ERROR(WriteKeyFile(kek_.Reveal(), folder_, name, made.ToPkcs8()));
  std::shared_ptr<const Signer> key = std::make_shared<PrivateKey>(std::move(made));
  cache_[name] = key;
  return key;
}

Result<std::shared_ptr<const Signer>> DiskKeyStore::Find(const std::string& name) {
  SIGNET_RETURN_IF_ERROR(CheckKeyName(name));
  const std::lock_guard lock(mutex_);
  if (const auto cached = cache_.find(name); cached != cache_.end()) return cached->second;
  const auto pkcs8 = ReadKeyFile(kek_.Reveal(), folder_, name);
  if (!pkcs8) {
    if (pkcs8.error().reason != kFileMissing) return Fail(pkcs8.error());
    return Fail(Code::kNotFound, kKeyNotFound, KeyFilePath(folder_, name));
  }
  auto read = PrivateKey::FromPkcs8(pkcs8->view());
  if (!read) {
    return Fail(Code::kDataLoss, kKeyStoreUnusable,
                KeyFilePath(folder_, name) + ": " + read.error().Message());
  }
  std::shared_ptr<const Signer> key = std::make_shared<PrivateKey>(std::move(*read));
  cache_[name] = key;
  return key;
}

Status DiskKeyStore::Remove(const std::string& name) {
  SIGNET_RETURN_IF_ERROR(CheckKeyName(name));
  const std::lock_guard lock(mutex_);
  cache_.erase(name);
  const std::string path = KeyFilePath(folder_, name);
  if (std::remove(path.c_str()) != 0 && errno != ENOENT) {
    return Fail(Code::kInternal, kKeyStoreUnusable, path + ": " + ErrnoText(errno));
  }
  return {};
}

std::vector<std::string> DiskKeyStore::Names() {
  auto names = ListKeyFiles(folder_);
  return names ? std::move(*names) : std::vector<std::string>();
}

}  // namespace signet::ca
