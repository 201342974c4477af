// The section `node_attestors:` of the server's configuration, and the attestors made from it.
//
//   node_attestors:
//     join_token: {enabled: true}     # the default
//     x509pop:
//       ca_bundle_path: /etc/signet/nodes-ca.pem
//
// Settings have SPIRE's names (docs/attestors/).
#pragma once

#include <memory>
#include <optional>

#include "base/config.h"
#include "base/log.h"
#include "identity/attest/http_challenge_attestor.h"
#include "identity/attest/sshpop_attestor.h"
#include "identity/attest/x509pop_attestor.h"

namespace signet::identity {

class Registry;

struct NodeAttestorsConfig {
  bool join_token = true;
  std::optional<X509PopSettings> x509pop;
  std::optional<SshPopSettings> sshpop;
  std::optional<HttpChallengeSettings> http_challenge;
};

// Also reads the files that are named, so that a bad one is a problem with a line.
NodeAttestorsConfig ReadNodeAttestors(ConfigMap& root);

struct AttestorParts {
  TrustDomain trust_domain;
  const Registry& registry;
  const Clock& clock;
  Random& random;
  const Logger& log;
};
// Fails as reading the named files does. `parts` outlive the answer.
Result<std::unique_ptr<NodeAttestors>> MakeNodeAttestors(const NodeAttestorsConfig& config,
                                                         const AttestorParts& parts);

}  // namespace signet::identity
