#include "ca/keys/sealed_key_file.h"

#include <openssl/rand.h>

#include <algorithm>
#include <filesystem>

#include "base/file.h"
#include "ca/crypto/digest.h"
#include "ca/crypto/handle.h"
#include "ca/keys/key_name.h"

namespace signet::ca {
namespace {

constexpr std::string_view kSuffix = ".key";
// A key file is this line, then the sealed PKCS#8; the seal binds the line and the key's name.
constexpr std::string_view kHeader = "signet sealed key 1\n";
constexpr std::size_t kMaxKeyFileBytes = 32 * 1024;

Bytes Associated(const std::string& name) { return ToBytes(AsBytes(std::string(kHeader) + name)); }

tl::unexpected<Error> WrongKekSize(const std::string& path) {
  return Fail(Code::kDataLoss, kKeyStoreUnusable,
              path + " does not hold exactly 32 bytes; restore it from a backup");
}

}  // namespace

std::string KeyFilePath(const std::string& folder, const std::string& name) {
  return folder + "/" + name + std::string(kSuffix);
}

Result<std::vector<std::string>> ListKeyFiles(const std::string& folder) {
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

Result<SecretBytes> ReadKekFile(const std::string& path) {
  auto kek = ReadSecretFile(path, kKekBytes);
  if (!kek && kek.error().reason != kFileTooLarge) return Fail(std::move(kek).error());
  if (!kek || kek->size() != kKekBytes) return WrongKekSize(path);
  return kek;
}

Result<SecretBytes> ReadKekCredential(const std::string& path) {
  auto content = ReadFile(path, kKekBytes);
  if (!content && content.error().reason != kFileTooLarge) return Fail(std::move(content).error());
  if (!content || content->size() != kKekBytes) return WrongKekSize(path);
  SecretBytes kek{ByteView(*content)};
  WipeBytes(*content);
  return kek;
}

Result<SecretBytes> NewKek() {
  SecretBytes kek(kKekBytes);
  if (RAND_priv_bytes(kek.mutable_view().data(), static_cast<int>(kKekBytes)) != 1)
    return Fail(Code::kInternal, kKeyStoreUnusable, TakeOpenSslError());
  return kek;
}

Result<SecretBytes> ReadKeyFile(const SecretBytes& kek, const std::string& folder,
                                const std::string& name) {
  const std::string path = KeyFilePath(folder, name);
  SIGNET_TRY(const SecretBytes content, ReadSecretFile(path, kMaxKeyFileBytes));
  const auto damaged = [&](const Error& cause) {
    return Fail(Code::kDataLoss, kKeyStoreUnusable,
                path + ": " + cause.Message() +
                    "; it is left as it is: restore it (or the key-encryption key) from a backup, "
                    "or move it away");
  };
  if (!AsText(content.view()).starts_with(kHeader))
    return damaged({Code::kDataLoss, kSealBroken, "not a sealed key of this version"});
  auto pkcs8 = Open(kek, content.view().subspan(kHeader.size()), Associated(name));
  if (!pkcs8) return damaged(pkcs8.error());
  return pkcs8;
}

Status WriteKeyFile(const SecretBytes& kek, const std::string& folder, const std::string& name,
                    const SecretBytes& pkcs8) {
  SIGNET_TRY(const Bytes sealed, Seal(kek, pkcs8.view(), Associated(name)));
  Bytes content = ToBytes(AsBytes(kHeader));
  content.insert(content.end(), sealed.begin(), sealed.end());
  return WriteFileAtomically(KeyFilePath(folder, name), content, 0600);
}

}  // namespace signet::ca
