#include "agent/endpoints/endpoint_options.h"

#include <sys/un.h>

#include "agent/config_values.h"

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
  options.mode = ReadMode(&*map, "mode", options.mode);
  options.owner = ReadAccount(&*map, "owner", AccountKind::kUser);
  options.group = ReadAccount(&*map, "group", AccountKind::kGroup);
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
