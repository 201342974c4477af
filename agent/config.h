// signet-agent's configuration: YAML text to one immutable struct, or all problems at once.
#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>

#include "agent/attest/attestor_config.h"
#include "agent/attest/node_keeper.h"
#include "agent/attest/seal_key.h"
#include "agent/endpoints/caller_table.h"
#include "agent/endpoints/endpoint_options.h"
#include "agent/files/file_options.h"
#include "agent/workload/attestor_options.h"
#include "agent/workload/unix_attestor.h"
#include "base/config.h"
#include "base/log.h"
#include "net/address.h"

namespace signet::agent {

struct AgentConfig {
  identity::TrustDomain trust_domain;
  std::string data_dir;
  net::Address server;
  std::string socket = "/run/signet/agent/api.sock";
  mode_t socket_mode = 0777;
  SealKeySource seal_key;  // the default: data_dir/kek
  bool disk_cache = true;  // false: what is served is not kept for a restart
  AttestOptions attest;
  NodeAttestorOptions node_attestor;
  UnixAttestorOptions unix_attestor;
  WorkloadAttestorOptions workload_attestors;  // beside it
  CallerLimits limits;
  std::size_t most_svids = 20'000;  // held at once
  EndpointOptions endpoints;
  std::vector<FileSetOptions> files;  // for programs that know no SPIFFE
  ca::KeyType workload_key_type = ca::KeyType::kEcP256;
  Duration sync_interval = std::chrono::seconds(5);  // of polling, with a server that has no push
  LogLevel log_level = LogLevel::kInfo;
  LogFormat log_format = LogFormat::kText;
  std::optional<net::Address> metrics;  // absent: no health and metrics over HTTP
};

// What the command line may set; it wins over the file.
struct ConfigOverrides {
  std::string join_token;
  std::string socket;
  std::string credentials_dir{};  // $CREDENTIALS_DIRECTORY, where systemd puts credentials
};

// Reports to `problems`; the struct is good only when there are none.
AgentConfig LoadConfig(const std::string& path, const ConfigOverrides& overrides,
                       ConfigProblems* problems);
AgentConfig ParseConfig(std::string_view text, const std::string& name,
                        const ConfigOverrides& overrides, ConfigProblems* problems);

}  // namespace signet::agent
