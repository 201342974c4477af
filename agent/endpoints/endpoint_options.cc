#include "agent/endpoints/endpoint_options.h"

#include <grp.h>
#include <pwd.h>
#include <sys/un.h>

#include <vector>

namespace signet::agent {
namespace {

constexpr std::size_t kMaxSocketPath = sizeof(sockaddr_un::sun_path) - 1;

void ReadSds(ConfigMap* root, SdsOptions* sds) {
  sds->enabled = !root->Bool("disable_sds_api", false);
  auto map = root->Map("sds");
  if (!map) return;
  sds->default_svid_name = map->String("default_svid_name", sds->default_svid_name);
  sds->default_bundle_name = map->String("default_bundle_name", sds->default_bundle_name);
  sds->default_all_bundles_name =
      map->String("default_all_bundles_name", sds->default_all_bundles_name);
  sds->disable_spiffe_cert_validation = map->Bool("disable_spiffe_cert_validation", false);
  map->Finish();
}

// A name, or a number, of a user or group; -1 when absent.
int ReadAccount(ConfigMap* map, const char* key, bool is_group) {
  const auto text = map->String(key);
  if (!text) return -1;
  if (!text->empty() && text->size() < 10 && text->find_first_not_of("0123456789") == text->npos)
    return std::stoi(*text);
  std::vector<char> buffer(16 << 10);
  if (is_group) {
    group record{};
    group* found = nullptr;
    if (getgrnam_r(text->c_str(), &record, buffer.data(), buffer.size(), &found) == 0 && found)
      return static_cast<int>(found->gr_gid);
  } else {
    passwd record{};
    passwd* found = nullptr;
    if (getpwnam_r(text->c_str(), &record, buffer.data(), buffer.size(), &found) == 0 && found)
      return static_cast<int>(found->pw_uid);
  }
  map->Problem(key, "no such " + std::string(is_group ? "group" : "user") + ": " + *text,
               "a name or a number of this system");
  return -1;
}

mode_t ReadMode(ConfigMap* map, mode_t fallback) {
  const auto text = map->String("mode");
  if (!text) return fallback;
  if (!text->empty() && text->size() <= 4 && text->find_first_not_of("01234567") == text->npos)
    return static_cast<mode_t>(std::stoul(*text, nullptr, 8));
  map->Problem("mode", "not a file mode: " + *text, "octal digits, such as 0770");
  return fallback;
}

std::optional<AdminSocketOptions> ReadAdminSocket(ConfigMap* root) {
  const auto path = root->String("admin_socket");
  auto map = root->Map("admin");
  if (!path) {
    if (map) {
      for (const char* known : {"mode", "owner", "group"}) map->Ignore(known);
      map->Finish();
      root->Problem("admin", "there is no admin socket", "set admin_socket to its path");
    }
    return std::nullopt;
  }
  AdminSocketOptions options;
  options.path = path->starts_with("unix:") ? path->substr(5) : *path;
  if (options.path.empty() || options.path.front() != '/')
    root->Problem("admin_socket", "the path of the admin socket must be absolute",
                  "for example /run/signet/agent/admin/admin.sock");
  if (options.path.size() > kMaxSocketPath)
    root->Problem("admin_socket",
                  "the path of the admin socket has " + std::to_string(options.path.size()) +
                      " bytes; the kernel takes at most " + std::to_string(kMaxSocketPath),
                  "choose a shorter path");
  if (!map) return options;
  options.mode = ReadMode(&*map, options.mode);
  options.owner = ReadAccount(&*map, "owner", false);
  options.group = ReadAccount(&*map, "group", true);
  map->Finish();
  return options;
}

}  // namespace

EndpointOptions ReadEndpointOptions(ConfigMap* root) {
  EndpointOptions options;
  ReadSds(root, &options.sds);
  options.allow_unauthenticated_verifiers = root->Bool("allow_unauthenticated_verifiers", false);
  for (const ConfigScalar& claim : root->Scalars("allowed_foreign_jwt_claims"))
    options.allowed_foreign_jwt_claims.insert(claim.text);
  for (const ConfigScalar& delegate : root->Scalars("authorized_delegates")) {
    auto id = identity::SpiffeId::Parse(delegate.text);
    if (id) {
      options.authorized_delegates.insert(*std::move(id));
    } else {
      root->ProblemAtLine(delegate.line, id.error().Message(),
                          "for example spiffe://example.org/delegate");
    }
  }
  options.admin_socket = ReadAdminSocket(root);
  if (!options.authorized_delegates.empty() && !options.admin_socket)
    root->Problem("authorized_delegates", "delegates have no socket to call",
                  "set admin_socket to a path");
  return options;
}

}  // namespace signet::agent
