// join_token: a token that an administrator made, good for one attestation.
#pragma once

#include "agent/attest/node_attestor.h"
#include "agent/attest/node_state.h"
#include "base/log.h"

namespace signet::agent {

struct JoinTokenOptions {
  std::shared_ptr<const SecretBytes> token;  // null: from the file
  std::string token_path;                    // read at each attempt; empty: none
};

class JoinTokenAttestor final : public NodeAttestor {
 public:
  // `state` knows the token used up last.
  JoinTokenAttestor(JoinTokenOptions options, const NodeState& state, const Logger& log)
      : options_(std::move(options)), state_(state), log_(log) {}
  std::string_view type() const override { return "join_token"; }
  bool can_repeat() const override { return false; }
  Result<std::unique_ptr<NodeProof>> Begin() override;

 private:
  Result<SecretBytes> ReadToken() const;
  const JoinTokenOptions options_;
  const NodeState& state_;
  const Logger& log_;
};

}  // namespace signet::agent
