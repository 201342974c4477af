// What the configuration file says of the agent's sockets beyond their paths: which faces are
// served, to whom, under which names. Names of keys and defaults are SPIRE's.
#pragma once

#include <sys/types.h>

#include <optional>
#include <set>
#include <string>

#include "base/config.h"
#include "identity/spiffe/spiffe_id.h"

namespace signet::agent {

struct SdsOptions {
  bool enabled = true;
  std::string default_svid_name = "default";
  std::string default_bundle_name = "ROOTCA";
  std::string default_all_bundles_name = "ALL";
  bool disable_spiffe_cert_validation = false;
};

struct AdminSocketOptions {
  std::string path;
  mode_t mode = 0770;
  int owner = -1;  // uid; -1: the agent's own
  int group = -1;
};

struct EndpointOptions {
  SdsOptions sds;
  bool allow_unauthenticated_verifiers = false;
  std::set<std::string, std::less<>> allowed_foreign_jwt_claims;
  std::set<identity::SpiffeId> authorized_delegates;  // may use the delegated identity API
  std::optional<AdminSocketOptions> admin_socket;     // absent: no admin socket
};

// Reports to the problems of `root`.
EndpointOptions ReadEndpointOptions(ConfigMap* root);

}  // namespace signet::agent
