// `upstream_authority` and `downstream_ca` of the configuration: what certifies our authorities,
// and what the certificates of authorities below another one are limited to.
#pragma once

#include <optional>
#include <string>
#include <variant>

#include "base/config.h"
#include "ca/keys/pkcs11/pkcs11_key_store.h"
#include "ca/x509/profile.h"
#include "identity/spiffe/spiffe_id.h"
#include "net/address.h"

namespace signet::identity {

// A CA in files.
struct DiskUpstreamConfig {
  std::string certificate_file;  // PEM, the CA first, then what leads to its root
  std::string bundle_file;       // PEM of the roots; empty: the last of certificate_file is it
  std::string key_file;          // PEM, mode 0600; empty: the key is in a token
  ca::Pkcs11Settings token;
  std::string key_label;        // in the token
  ca::DownstreamLimits limits;  // that our own certificate states
};

// Another Signet server, or a SPIRE server: this one is nested below it.
struct SignetUpstreamConfig {
  net::Address server;
  std::string workload_api_socket;  // of an agent of that server
};

using UpstreamConfig = std::variant<DiskUpstreamConfig, SignetUpstreamConfig>;

// Absent when there is none.
std::optional<UpstreamConfig> ReadUpstream(ConfigMap& root, const TrustDomain& trust_domain);
ca::DownstreamLimits ReadDownstream(ConfigMap& root, const TrustDomain& trust_domain);

}  // namespace signet::identity
