#include "files/file_set.h"

#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "base/file.h"
#include "ca/crypto/pem.h"

namespace signet::files {
namespace {

constexpr std::size_t kLargestFile = std::size_t{1} << 20;

SecretBytes Joined(const SecretBytes& first, std::string_view second) {
  SecretBytes joined(first.size() + second.size());
  const auto to = joined.mutable_view();
  std::copy(first.view().begin(), first.view().end(), to.begin());
  std::copy(second.begin(), second.end(), to.begin() + static_cast<std::ptrdiff_t>(first.size()));
  return joined;
}

// Whether the file is as planned, content and access.
bool IsThere(const PlannedFile& file) {
  struct stat found{};
  if (lstat(file.path.c_str(), &found) != 0 || !S_ISREG(found.st_mode)) return false;
  const FileAccess& access = file.access;
  if ((found.st_mode & 07777) != access.mode ||
      (access.owner >= 0 && found.st_uid != static_cast<uid_t>(access.owner)) ||
      (access.group >= 0 && found.st_gid != static_cast<gid_t>(access.group)))
    return false;
  auto content = ReadFile(file.path, kLargestFile);
  if (!content) return false;
  const bool equal = Equal(*content, file.content.view());
  WipeBytes(*content);
  return equal;
}

}  // namespace

std::vector<std::string> FileSet::Paths() const {
  std::vector<std::string> paths;
  for (const std::string* path : {&certificate, &key, &combined, &bundle})
    if (!path->empty()) paths.push_back(*path);
  return paths;
}

std::vector<PlannedFile> PlanFiles(const FileSet& set, const Material& material) {
  const std::string certificate = ca::ToPem(material.chain);
  const SecretBytes key = ca::Pkcs8ToPem(material.pkcs8);
  std::vector<PlannedFile> planned;
  const auto add = [&](const std::string& path, SecretBytes content, const FileAccess& access) {
    if (!path.empty()) planned.push_back({path, std::move(content), access});
  };
  add(set.bundle, SecretBytes(AsBytes(ca::ToPem(material.roots))), set.open);
  add(set.combined, Joined(key, certificate), set.secret);
  add(set.key, SecretBytes(key.view()), set.secret);
  add(set.certificate, SecretBytes(AsBytes(certificate)), set.open);
  return planned;
}

Status FileSetWriter::Bring(const std::vector<PlannedFile>& planned, const RenewalAction& action,
                            const std::function<void(const PlannedFile&)>& written) {
  for (const PlannedFile& file : planned) {
    if (IsThere(file)) continue;
    told_ = false;
    SIGNET_RETURN_IF_ERROR(WriteOwnedFileAtomically(file.path, file.content.view(), file.access));
    written(file);
  }
  if (!told_) SIGNET_RETURN_IF_ERROR(act_(action));
  told_ = true;
  return {};
}

}  // namespace signet::files
