#include "agent/files/file_options.h"

#include <set>
#include <utility>

#include "agent/config_values.h"

namespace signet::agent {
namespace {

std::string ReadPath(ConfigMap* map, const char* key) {
  std::string path = map->String(key, "");
  if (!path.empty() && (path.front() != '/' || path.back() == '/'))
    map->Problem(key, "not an absolute path of a file: " + path, "such as /etc/nginx/tls/cert.pem");
  return path;
}

void ReadSignal(ConfigMap* map, files::RenewalAction* action) {
  action->pid_file = ReadPath(map, "pid_file");
  const auto name = map->String("signal");
  if (!name && action->pid_file.empty()) return;
  if (!name || action->pid_file.empty())
    return map->Problem(
        name ? "signal" : "pid_file",
        name ? "a signal to nobody: pid_file is not set" : "nothing to send: signal is not set",
        "signal: HUP and pid_file: /run/nginx.pid");
  const auto signal = files::ParseSignal(*name);
  if (!signal) return map->Problem("signal", signal.error().detail, "HUP, USR1, USR2 or WINCH");
  action->signal = *signal;
}

files::RenewalAction ReadAction(ConfigMap* set) {
  files::RenewalAction action;
  auto map = set->Map("on_renewal");
  if (!map) return action;
  for (ConfigScalar& part : map->Scalars("command")) action.command.push_back(std::move(part.text));
  action.timeout =
      map->Duration("timeout", action.timeout, std::chrono::seconds(1), std::chrono::minutes(5));
  ReadSignal(&*map, &action);
  if (const Status usable = files::CheckAction(action); !usable)
    map->Problem("command", usable.error().detail, "such as [/usr/sbin/nginx, -s, reload]");
  map->Finish();
  return action;
}

FileSetOptions ReadFileSet(ConfigMap* set) {
  FileSetOptions options;
  const std::string id =
      set->RequiredString("spiffe_id", "whose, such as spiffe://example.org/web");
  if (!id.empty()) {
    auto parsed = identity::SpiffeId::Parse(id);
    if (parsed) {
      options.spiffe_id = *std::move(parsed);
    } else {
      set->Problem("spiffe_id", parsed.error().Message(), "such as spiffe://example.org/web");
    }
  }
  options.files.certificate = ReadPath(set, "certificate");
  options.files.key = ReadPath(set, "key");
  options.files.combined = ReadPath(set, "combined");
  options.files.bundle = ReadPath(set, "bundle");
  options.federated = set->Bool("federated", false);
  const int owner = ReadAccount(set, "owner", AccountKind::kUser);
  const int group = ReadAccount(set, "group", AccountKind::kGroup);
  files::FileSet& files = options.files;
  files.secret = {owner, group, ReadMode(set, "key_mode", files.secret.mode)};
  files.open = {owner, group, ReadMode(set, "mode", files.open.mode)};
  if (files.IsKeyForEverybody())
    set->Problem("key_mode", "everybody could read the key", "0600, or 0640 with a group");
  files.action = ReadAction(set);
  set->Finish();
  if (files.Paths().empty())
    set->Problem("spiffe_id", "no file is asked for",
                 "certificate, key, combined or bundle: a path");
  return options;
}

}  // namespace

std::vector<FileSetOptions> ReadFileSets(ConfigMap* root) {
  std::vector<FileSetOptions> sets;
  std::set<std::string> paths;
  for (ConfigMap& map : root->Maps("files")) {
    FileSetOptions options = ReadFileSet(&map);
    for (const std::string& path : options.files.Paths())
      if (!paths.insert(path).second)
        map.Problem("spiffe_id", "written twice: " + path, "give each file a path of its own");
    sets.push_back(std::move(options));
  }
  if (sets.size() > kMostFileSets)
    root->Problem("files", "more than " + std::to_string(kMostFileSets) + " sets of files",
                  "let programs that can fetch their SVIDs from the socket");
  return sets;
}

}  // namespace signet::agent
