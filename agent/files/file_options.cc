#include "agent/files/file_options.h"

#include <algorithm>
#include <array>
#include <csignal>
#include <set>
#include <utility>

#include "agent/config_values.h"

namespace signet::agent {
namespace {

constexpr std::size_t kMostArguments = 64;
constexpr mode_t kOthersBits = 0007;

constexpr std::array<std::pair<std::string_view, int>, 4> kSignals = {
    {{"HUP", SIGHUP}, {"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {"WINCH", SIGWINCH}}};

std::string ReadPath(ConfigMap* map, const char* key) {
  std::string path = map->String(key, "");
  if (!path.empty() && (path.front() != '/' || path.back() == '/'))
    map->Problem(key, "not an absolute path of a file: " + path, "such as /etc/nginx/tls/cert.pem");
  return path;
}

void ReadSignal(ConfigMap* map, RenewalAction* action) {
  action->pid_file = ReadPath(map, "pid_file");
  const auto name = map->String("signal");
  if (!name && action->pid_file.empty()) return;
  if (!name || action->pid_file.empty())
    return map->Problem(
        name ? "signal" : "pid_file",
        name ? "a signal to nobody: pid_file is not set" : "nothing to send: signal is not set",
        "signal: HUP and pid_file: /run/nginx.pid");
  const std::string_view bare = std::string_view(*name).substr(name->starts_with("SIG") ? 3 : 0);
  const auto found = std::ranges::find(kSignals, bare, &decltype(kSignals)::value_type::first);
  if (found == kSignals.end())
    return map->Problem("signal", "no signal for this: " + *name, "HUP, USR1, USR2 or WINCH");
  action->signal = found->second;
}

void ReadCommand(ConfigMap* map, RenewalAction* action) {
  for (ConfigScalar& part : map->Scalars("command"))
    action->command.push_back(std::move(part.text));
  action->timeout =
      map->Duration("timeout", action->timeout, std::chrono::seconds(1), std::chrono::minutes(5));
  if (action->command.empty()) return;
  if (action->command.front().empty() || action->command.front().front() != '/')
    map->Problem("command", "not an absolute path of a program: " + action->command.front(),
                 "such as [/usr/sbin/nginx, -s, reload]; there is no shell");
  if (action->command.size() > kMostArguments)
    map->Problem("command", "more than " + std::to_string(kMostArguments) + " words",
                 "put them into a script");
}

RenewalAction ReadAction(ConfigMap* set) {
  RenewalAction action;
  auto map = set->Map("on_renewal");
  if (!map) return action;
  ReadCommand(&*map, &action);
  ReadSignal(&*map, &action);
  if (!action.command.empty() && action.signal != 0)
    set->Problem("on_renewal", "command and signal are both set", "keep one");
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
  options.certificate = ReadPath(set, "certificate");
  options.key = ReadPath(set, "key");
  options.combined = ReadPath(set, "combined");
  options.bundle = ReadPath(set, "bundle");
  options.federated = set->Bool("federated", false);
  const int owner = ReadAccount(set, "owner", AccountKind::kUser);
  const int group = ReadAccount(set, "group", AccountKind::kGroup);
  options.secret = {owner, group, ReadMode(set, "key_mode", options.secret.mode)};
  options.open = {owner, group, ReadMode(set, "mode", options.open.mode)};
  if ((options.secret.mode & kOthersBits) != 0)
    set->Problem("key_mode", "everybody could read the key", "0600, or 0640 with a group");
  options.action = ReadAction(set);
  set->Finish();
  if (options.certificate.empty() && options.key.empty() && options.combined.empty() &&
      options.bundle.empty())
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
    for (const std::string* path :
         {&options.certificate, &options.key, &options.combined, &options.bundle})
      if (!path->empty() && !paths.insert(*path).second)
        map.Problem("spiffe_id", "written twice: " + *path, "give each file a path of its own");
    sets.push_back(std::move(options));
  }
  if (sets.size() > kMostFileSets)
    root->Problem("files", "more than " + std::to_string(kMostFileSets) + " sets of files",
                  "let programs that can fetch their SVIDs from the socket");
  return sets;
}

}  // namespace signet::agent
