// Which secrets a proxy gets under which names: a WorkloadView as resources of Envoy's secret
// discovery, with the names of SPIRE's agent. Pure.
//
//   default           the caller's first X.509-SVID, with its key
//   ROOTCA            the own trust domain's bundle
//   ALL               the own and the federated bundles in one validation context
//   spiffe://td/path  that X.509-SVID of the caller
//   spiffe://td       that bundle: the own one, or one the caller is federated with
//   (no name)         every SVID and bundle, under their SPIFFE IDs
//
// The first three are only defaults (SdsOptions).
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "agent/cache/workload_view.h"
#include "agent/endpoints/answer.h"
#include "agent/endpoints/endpoint_options.h"
#include "envoy/config/core/v3/base.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"

namespace signet::agent {

// How a validation context says whom to trust.
enum class ValidationForm {
  kSpiffe,  // Envoy's SPIFFE validator: each trust domain's roots for its own IDs alone
  kPlain,   // trusted_ca: for Envoy before 1.18, and where the operator turned the validator off
};

// By the node's metadata "disable_spiffe_cert_validation" (a bool, or its text; anything else is
// ignored), else by `options`; by user_agent_build_version. An absent version is a modern one.
ValidationForm FormFor(const envoy::config::core::v3::Node& node, const SdsOptions& options);

inline constexpr std::size_t kMaxSecretNames = 1000;

struct NamedSecret {
  envoy::extensions::transport_sockets::tls::v3::Secret secret;
  std::string version;  // equal for equal content of one name
};

struct SecretSelection {
  // kSend with resources, kWait when a named SVID is not minted yet, kNotReady, or kEnd with a
  // status: INTERNAL for ALL in the plain form, which cannot keep trust domains apart.
  AnswerKind kind = AnswerKind::kEnd;
  grpc::Status status;
  std::vector<NamedSecret> secrets;  // own bundle, federated bundles, SVIDs
  std::set<std::string> unknown;     // names that stand for nothing the caller may have
  std::vector<std::string> missing;  // ids of entries whose SVIDs are wanted
};

// `view` with all equal hints; `names` without empty ones; no name at all is everything.
SecretSelection SelectSecrets(const WorkloadView& view, const std::set<std::string>& names,
                              ValidationForm form, const SdsOptions& options);

// INVALID_ARGUMENT, as SPIRE says it.
grpc::Status NotAuthorized(const std::set<std::string>& names);

// Over all that any name could stand for: equal when nothing changed. Absent with kNotReady.
std::optional<ca::Sha256Digest> DigestOfView(const WorkloadView& view);

}  // namespace signet::agent
