#include "agent/attest/seal_key.h"

#include <fmt/format.h>
#include <linux/keyctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "agent/attest/sealed_file.h"
#include "base/file.h"

namespace signet::agent {
namespace {

using KeyResult = Result<std::shared_ptr<const SecretBytes>>;

KeyResult Checked(SecretBytes key, const std::string& where) {
  if (key.size() != kSealKeyBytes)
    return Fail(Code::kDataLoss, kSealKeyUnusable,
                fmt::format("{} holds {} bytes, not {}", where, key.size(), kSealKeyBytes));
  return std::make_shared<const SecretBytes>(std::move(key));
}

// systemd shows credentials to nobody but the service, though by an access list that looks like
// permission for the group: the folder, not the mode, is what keeps others out.
KeyResult LoadCredential(const std::string& path) {
  auto content = ReadFile(path, kSealKeyBytes);
  if (!content && content.error().reason == kFileMissing)
    return Fail(
        Code::kNotFound, kSealKeyMissing,
        path + "; give the unit LoadCredential= or LoadCredentialEncrypted= with this name");
  if (!content) return Fail(content.error());
  SecretBytes key{ByteView(*content)};
  WipeBytes(*content);
  return Checked(std::move(key), path);
}

KeyResult LoadFromKeyring(const std::string& name) {
  const long id = syscall(SYS_request_key, "user", name.c_str(), nullptr, 0);
  if (id < 0)
    return Fail(Code::kNotFound, kSealKeyMissing,
                fmt::format("no key '{0}' in the keyring: {1}; make one with: head -c 32 "
                            "/dev/urandom | keyctl padd user {0} @u",
                            name, ErrnoText(errno)));
  SecretBytes key(kSealKeyBytes);
  const long size = syscall(SYS_keyctl, KEYCTL_READ, id, key.mutable_view().data(), key.size());
  if (size < 0)
    return Fail(Code::kPermissionDenied, kSealKeyUnusable,
                fmt::format("key '{}' of the keyring: {}", name, ErrnoText(errno)));
  if (static_cast<std::size_t>(size) != kSealKeyBytes)
    return Fail(
        Code::kDataLoss, kSealKeyUnusable,
        fmt::format("key '{}' of the keyring holds {} bytes, not {}", name, size, kSealKeyBytes));
  return Checked(std::move(key), name);
}

}  // namespace

Result<SealKeySource> SealKeySource::Parse(std::string_view text,
                                           const std::string& credentials_dir) {
  const auto after = [&](std::string_view scheme) {
    return std::string(text.starts_with(scheme) ? text.substr(scheme.size()) : "");
  };
  if (const std::string path = after("file:"); path.starts_with('/'))
    return SealKeySource{Kind::kFile, path};
  if (const std::string name = after("keyring:"); !name.empty())
    return SealKeySource{Kind::kKeyring, name};
  if (const std::string name = after("credential:"); !name.empty()) {
    if (name.find('/') != name.npos || name.front() == '.')
      return Fail(Code::kInvalidArgument, kSealKeyUnusable, name + " names no credential");
    if (credentials_dir.empty())
      return Fail(Code::kFailedPrecondition, kSealKeyUnusable,
                  "systemd gives this process no credentials ($CREDENTIALS_DIRECTORY is not set)");
    return SealKeySource{Kind::kCredential, credentials_dir + "/" + name};
  }
  return Fail(Code::kInvalidArgument, kSealKeyUnusable,
              "not file:/PATH, credential:NAME or keyring:NAME: " + std::string(text));
}

KeyResult LoadSealKey(const SealKeySource& source) {
  switch (source.kind) {
    case SealKeySource::Kind::kFile:
      return LoadOrCreateKek(source.name);
    case SealKeySource::Kind::kCredential:
      return LoadCredential(source.name);
    case SealKeySource::Kind::kKeyring:
      return LoadFromKeyring(source.name);
  }
  return Fail(Code::kInternal, kSealKeyUnusable, "unknown source");
}

}  // namespace signet::agent
