#include "ca/keys/rewrap.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <utility>

#include "base/file.h"
#include "ca/keys/sealed_key_file.h"

namespace signet::ca {
namespace {

std::string PendingPath(const std::string& kek_path) { return kek_path + ".next"; }

struct OpenedKey {
  std::string name;
  SecretBytes pkcs8;
  bool sealed_under_next = false;
};

Result<SecretBytes> ReadCurrent(const KekSource& source) {
  return source.is_credential ? ReadKekCredential(source.path) : ReadKekFile(source.path);
}

// Every key must open, under the one or the other, before the first is touched.
Result<std::vector<OpenedKey>> OpenAll(const std::string& folder, const SecretBytes& current,
                                       const SecretBytes& next) {
  SIGNET_TRY(const std::vector<std::string> names, ListKeyFiles(folder));
  std::vector<OpenedKey> keys;
  for (const std::string& name : names) {
    auto resealed = ReadKeyFile(next, folder, name);
    if (resealed) {
      keys.push_back({name, std::move(*resealed), true});
      continue;
    }
    SIGNET_TRY(SecretBytes pkcs8, ReadKeyFile(current, folder, name));
    keys.push_back({name, std::move(pkcs8), false});
  }
  return keys;
}

// Durable: the folder is synchronised too.
Status MoveOver(const std::string& from, const std::string& to) {
  if (std::rename(from.c_str(), to.c_str()) != 0) {
    return Fail(Code::kInternal, kKeyStoreUnusable,
                "cannot rename " + from + " to " + to + ": " + ErrnoText(errno));
  }
  const std::string parent = std::filesystem::path(to).parent_path().string();
  const UniqueFd folder(
      ::open(parent.empty() ? "." : parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.valid() || fsync(folder.get()) != 0)
    return Fail(Code::kInternal, kKeyStoreUnusable, parent + ": " + ErrnoText(errno));
  return {};
}

}  // namespace

Status CheckNoRewrapPending(const std::string& kek_path) {
  if (!std::filesystem::exists(PendingPath(kek_path))) return {};
  return Fail(Code::kFailedPrecondition, kKeyStoreUnusable,
              PendingPath(kek_path) +
                  " is there: a change of the key-encryption key was interrupted; finish it with: "
                  "signet-server keys rewrap --config FILE");
}

Result<std::size_t> RewrapKeys(const RewrapPlan& plan, const RewrapObserver& observer) {
  const bool in_place = plan.next_kek.empty();
  if (in_place && plan.current.is_credential) {
    return Fail(Code::kInvalidArgument, kKeyStoreUnusable,
                "a credential cannot be replaced from here; name a file for the next one with "
                "--next-kek-file, then make it the credential");
  }
  SIGNET_TRY(const SecretBytes current, ReadCurrent(plan.current));
  const std::string next_path = in_place ? PendingPath(plan.current.path) : plan.next_kek;
  auto next = ReadKekFile(next_path);
  if (!next && next.error().reason == kFileMissing) {
    SIGNET_TRY(next, NewKek());
    SIGNET_RETURN_IF_ERROR(observer("write " + next_path));
    SIGNET_RETURN_IF_ERROR(WriteFileAtomically(next_path, next->view(), 0600));
  }
  if (!next) return Fail(next.error());
  SIGNET_TRY(const std::vector<OpenedKey> keys, OpenAll(plan.folder, current, *next));
  std::size_t resealed = 0;
  for (const OpenedKey& key : keys) {
    if (key.sealed_under_next) continue;
    SIGNET_RETURN_IF_ERROR(observer("reseal " + key.name));
    SIGNET_RETURN_IF_ERROR(WriteKeyFile(*next, plan.folder, key.name, key.pkcs8));
    ++resealed;
  }
  if (in_place) {
    SIGNET_RETURN_IF_ERROR(observer("rename " + next_path));
    SIGNET_RETURN_IF_ERROR(MoveOver(next_path, plan.current.path));
  }
  return resealed;
}

}  // namespace signet::ca
