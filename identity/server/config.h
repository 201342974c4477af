// What a server is told in its configuration file: text -> one immutable struct of validated
// values, or every problem at once with file, line and hint. examples/server.yaml shows each key.
//
// Threads: none; read once at start.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/config.h"
#include "base/log.h"
#include "ca/crypto/key.h"
#include "ca/x509/profile.h"
#include "identity/attest/config.h"
#include "identity/registry/prune.h"
#include "identity/server/federation_config.h"
#include "identity/server/key_store_config.h"
#include "identity/server/upstream_config.h"
#include "identity/spiffe/spiffe_id.h"
#include "net/address.h"

namespace signet::identity {

struct AdminSocketConfig {
  std::string path;  // at most 107 bytes, the kernel's limit
  mode_t mode = 0770;
  int owner = -1;  // uid; -1: the server's own
  int group = -1;
};

struct ServerLimits {
  std::size_t connections = 6000;  // over TCP
  std::size_t connections_per_address = 4096;
  std::size_t workers = 0;          // threads that run calls; 0: four a core, at least eight
  std::size_t queued_calls = 4096;  // beyond it calls answer RESOURCE_EXHAUSTED
  std::size_t message_bytes = std::size_t{16} << 20;  // of one request
};

struct ServerConfig {
  TrustDomain trust_domain;
  std::string data_dir;
  net::Address listen;
  AdminSocketConfig admin_socket;
  std::chrono::seconds ca_ttl{0};
  ca::KeyType ca_key_type = ca::KeyType::kEcP256;
  ca::KeyType jwt_key_type = ca::KeyType::kEcP256;
  std::vector<std::string> csr_key_types;     // that are certified; empty: all we can
  std::vector<ca::NameAttribute> ca_subject;  // empty: the default subject
  ca::DownstreamLimits downstream;            // of authorities that nested servers are given
  std::optional<UpstreamConfig> upstream;     // absent: our X.509 authorities are roots
  std::chrono::seconds default_x509_svid_ttl{0};
  std::chrono::seconds agent_ttl{0};
  std::chrono::seconds default_jwt_svid_ttl{0};
  std::string jwt_issuer;           // "iss" of JWT-SVIDs; empty: they have none
  bool disable_jwt_svids = false;   // JWT calls answer UNIMPLEMENTED, no JWT authority is made
  std::vector<SpiffeId> admin_ids;  // administrators without an entry
  bool limit_signing = true;        // as SPIRE's ratelimit.signing
  bool limit_attestation = true;    // as SPIRE's ratelimit.attestation
  bool limit_calls = true;          // of each caller with an SVID
  bool agent_id_selector = false;   // an attested agent gets the selector spiffe_id:<its ID>
  NodeAttestorsConfig node_attestors;
  NodePruning node_pruning;
  LogLevel log_level = LogLevel::kInfo;
  LogFormat log_format = LogFormat::kText;
  std::optional<net::Address> metrics;  // absent: off
  KeyStoreConfig key_store;
  std::string credentials_folder;  // $CREDENTIALS_DIRECTORY, from main.cc
  FederationConfig federation;
  ServerLimits limits;

  std::string DatabasePath() const { return data_dir + "/server.db"; }
  std::string KeyFolder() const { return data_dir + "/keys"; }
  std::string LogHeadPath() const { return data_dir + "/log.head"; }
  std::string LockPath() const { return data_dir + "/lock"; }
};

// Only when `problems` stayed empty may the answer be used.
ServerConfig LoadServerConfig(const std::string& path, ConfigProblems* problems);
// `name` stands for the file in problems.
ServerConfig ParseServerConfig(std::string_view text, const std::string& name,
                               ConfigProblems* problems);

// What is allowed but will surprise; a sentence each.
std::vector<std::string> ConfigWarnings(const ServerConfig& config);

}  // namespace signet::identity
