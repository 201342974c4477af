// sshpop: this host's OpenSSH host key with its certificate.
#pragma once

#include "agent/attest/node_attestor.h"
#include "base/random.h"

namespace signet::agent {

struct SshPopOptions {
  std::string host_key_path = "/etc/ssh/ssh_host_rsa_key";
  std::string host_cert_path = "/etc/ssh/ssh_host_rsa_key-cert.pub";
};

class SshPopAttestor final : public NodeAttestor {
 public:
  SshPopAttestor(SshPopOptions options, Random& random)
      : options_(std::move(options)), random_(random) {}
  std::string_view type() const override { return "sshpop"; }
  bool can_repeat() const override { return true; }
  Result<std::unique_ptr<NodeProof>> Begin() override;

 private:
  const SshPopOptions options_;
  Random& random_;
};

}  // namespace signet::agent
