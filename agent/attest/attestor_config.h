// The section `node_attestor:` of the agent's configuration, and the attestor made from it.
//
//   node_attestor:
//     x509pop:
//       certificate_path: /etc/signet/node.pem
//       private_key_path: /etc/signet/node.key
//
// Settings have SPIRE's names (docs/attestors/). Without the section the node attests by join
// token.
#pragma once

#include <memory>
#include <variant>

#include "agent/attest/http_challenge_attestor.h"
#include "agent/attest/join_token_attestor.h"
#include "agent/attest/sshpop_attestor.h"
#include "agent/attest/x509pop_attestor.h"
#include "base/config.h"

namespace signet::agent {

using NodeAttestorOptions =
    std::variant<JoinTokenOptions, X509PopOptions, SshPopOptions, HttpChallengeOptions>;

// `token` is what the configuration's top level and the command line say about join tokens.
NodeAttestorOptions ReadNodeAttestor(ConfigMap* root, JoinTokenOptions token);

// Outlives the attestors made with it.
struct AttestorWorld {
  const NodeState& state;
  const Clock& clock;
  Random& random;
  const Logger& log;
};
std::unique_ptr<NodeAttestor> MakeNodeAttestor(const NodeAttestorOptions& options,
                                               const AttestorWorld& world);

}  // namespace signet::agent
