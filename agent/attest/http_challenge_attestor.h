// http_challenge: this node answers HTTP under its DNS name. While it proves that, it listens on a
// port and shows the server's nonce there.
#pragma once

#include "agent/attest/node_attestor.h"
#include "base/clock.h"

namespace signet::agent {

struct HttpChallengeOptions {
  std::string host_name;  // empty: this machine's
  std::string agent_name = "default";
  std::uint16_t port = 0;             // to listen on; 0: any
  std::uint16_t advertised_port = 0;  // to be called on; 0: that which is listened on
};

class HttpChallengeAttestor final : public NodeAttestor {
 public:
  HttpChallengeAttestor(HttpChallengeOptions options, const Clock& clock)
      : options_(std::move(options)), clock_(clock) {}
  std::string_view type() const override { return "http_challenge"; }
  // Whether the server lets it is the server's: with TOFU it refuses the second time.
  bool can_repeat() const override { return true; }
  Result<std::unique_ptr<NodeProof>> Begin() override;

 private:
  const HttpChallengeOptions options_;
  const Clock& clock_;
};

}  // namespace signet::agent
