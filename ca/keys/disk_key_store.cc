#include <openssl/rand.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "base/file.h"
#include "ca/crypto/digest.h"
#include "ca/crypto/handle.h"
#include "ca/keys/key_name.h"
#include "ca/keys/key_store.h"

namespace signet::ca {
namespace {

constexpr std::string_view kSuffix = ".key";
// A key file is this line, then the sealed PKCS#8; the seal binds the line and the key's name.
constexpr std::string_view kHeader = "signet sealed key 1\n";
constexpr std::size_t kMaxKeyFileBytes = 32 * 1024;
constexpr std::size_t kKekBytes = 32;

Bytes Associated(const std::string& name) { return ToBytes(AsBytes(std::string(kHeader) + name)); }

Status CheckFolderMode(const std::string& folder) {
  struct stat st{};
  if (stat(folder.c_str(), &st) != 0) {
    return Fail(Code::kInternal, kKeyStoreUnusable, folder + ": " + ErrnoText(errno));
  }
  if ((st.st_mode & 0022) == 0) return {};
  return Fail(Code::kPermissionDenied, kFilePermissionsLax,
              folder + " may be written by others than its owner; run: chmod 0700 " + folder);
}

Result<std::vector<std::string>> ListKeys(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  std::filesystem::directory_iterator at(folder, error);
  for (; !error && at != std::filesystem::directory_iterator(); at.increment(error)) {
    const std::string file = at->path().filename().string();
    if (!file.ends_with(kSuffix)) continue;
    std::string name = file.substr(0, file.size() - kSuffix.size());
    if (CheckKeyName(name)) names.push_back(std::move(name));
  }
  if (error) return Fail(Code::kInternal, kKeyStoreUnusable, folder + ": " + error.message());
  std::sort(names.begin(), names.end());
  return names;
}

Result<SecretBytes> MakeKek(const std::string& folder, const std::string& path) {
  SIGNET_TRY(const std::vector<std::string> names, ListKeys(folder));
  if (!names.empty()) {
    return Fail(Code::kFailedPrecondition, kKeyStoreUnusable,
                path + " is missing, and the keys in " + folder +
                    " open only with it; restore it from a backup, or move the keys away to begin "
                    "with new ones");
  }
  SecretBytes kek(kKekBytes);
  if (RAND_priv_bytes(kek.mutable_view().data(), static_cast<int>(kKekBytes)) != 1) {
    return Fail(Code::kInternal, kKeyStoreUnusable, TakeOpenSslError());
  }
  const std::string parent = std::filesystem::path(path).parent_path().string();
  if (!parent.empty()) SIGNET_RETURN_IF_ERROR(EnsureDirectory(parent, 0700));
  SIGNET_RETURN_IF_ERROR(WriteFileAtomically(path, kek.view(), 0600));
  return kek;
}

Result<SecretBytes> ReadOrMakeKek(const std::string& folder, const std::string& path) {
  auto kek = ReadSecretFile(path, kKekBytes);
  if (!kek && kek.error().reason == kFileMissing) return MakeKek(folder, path);
  if (!kek && kek.error().reason != kFileTooLarge) return Fail(std::move(kek).error());
  if (!kek || kek->size() != kKekBytes) {
    return Fail(Code::kDataLoss, kKeyStoreUnusable,
                path + " does not hold exactly 32 bytes; restore it from a backup");
  }
  return kek;
}

}  // namespace

DiskKeyStore::DiskKeyStore(std::string folder, SecretBytes kek)
    : folder_(std::move(folder)), kek_(std::move(kek)) {}

Result<std::unique_ptr<DiskKeyStore>> DiskKeyStore::Create(std::string folder,
                                                           std::string kek_path) {
  SIGNET_RETURN_IF_ERROR(EnsureDirectory(folder, 0700));
  SIGNET_RETURN_IF_ERROR(CheckFolderMode(folder));
  SIGNET_TRY(SecretBytes kek, ReadOrMakeKek(folder, kek_path));
  return std::unique_ptr<DiskKeyStore>(new DiskKeyStore(std::move(folder), std::move(kek)));
}

std::string DiskKeyStore::PathOf(const std::string& name) const {
  return folder_ + "/" + name + std::string(kSuffix);
}

Result<std::shared_ptr<const Signer>> DiskKeyStore::Generate(const std::string& name,
                                                             KeyType type) {
  SIGNET_RETURN_IF_ERROR(CheckKeyName(name));
  // A file that does not open may be all that is left of a key: it is not replaced.
  if (const auto existing = Find(name); !existing && existing.error().reason != kKeyNotFound) {
    return Fail(existing.error());
  }
  SIGNET_TRY(PrivateKey made, PrivateKey::Generate(type));
  SIGNET_TRY(const Bytes sealed, Seal(kek_, made.ToPkcs8().view(), Associated(name)));
  Bytes content = ToBytes(AsBytes(kHeader));
  content.insert(content.end(), sealed.begin(), sealed.end());
  const std::lock_guard lock(mutex_);
  cache_.erase(name);  // when the write fails half-way, the file says which key counts
  SIGNET_RETURN_IF_ERROR(WriteFileAtomically(PathOf(name), content, 0600));
  std::shared_ptr<const Signer> key = std::make_shared<PrivateKey>(std::move(made));
  cache_[name] = key;
  return key;
}

Result<std::shared_ptr<const Signer>> DiskKeyStore::Find(const std::string& name) {
  SIGNET_RETURN_IF_ERROR(CheckKeyName(name));
  const std::lock_guard lock(mutex_);
  if (const auto cached = cache_.find(name); cached != cache_.end()) return cached->second;
  const std::string path = PathOf(name);
  const auto content = ReadSecretFile(path, kMaxKeyFileBytes);
  if (!content) {
    if (content.error().reason == kFileMissing) return Fail(Code::kNotFound, kKeyNotFound, path);
    return Fail(content.error());
  }
  const auto damaged = [&](const Error& cause) {
    return Fail(Code::kDataLoss, kKeyStoreUnusable,
                path + ": " + cause.Message() +
                    "; it is left as it is: restore it (or the key-encryption key) from a backup, "
                    "or move it away");
  };
  if (!AsText(content->view()).starts_with(kHeader)) {
    return damaged({Code::kDataLoss, kSealBroken, "not a sealed key of this version"});
  }
  const auto pkcs8 = Open(kek_, content->view().subspan(kHeader.size()), Associated(name));
  if (!pkcs8) return damaged(pkcs8.error());
  auto read = PrivateKey::FromPkcs8(pkcs8->view());
  if (!read) return damaged(read.error());
  std::shared_ptr<const Signer> key = std::make_shared<PrivateKey>(std::move(*read));
  cache_[name] = key;
  return key;
}

Status DiskKeyStore::Remove(const std::string& name) {
  SIGNET_RETURN_IF_ERROR(CheckKeyName(name));
  const std::lock_guard lock(mutex_);
  cache_.erase(name);
  const std::string path = PathOf(name);
  if (std::remove(path.c_str()) != 0 && errno != ENOENT) {
    return Fail(Code::kInternal, kKeyStoreUnusable, path + ": " + ErrnoText(errno));
  }
  return {};
}

std::vector<std::string> DiskKeyStore::Names() {
  auto names = ListKeys(folder_);
  return names ? std::move(*names) : std::vector<std::string>();
}

}  // namespace signet::ca
