// join_token: the node shows a token that an administrator made for it. Pure: whether the token is
// there is asked, and it is spent, when the node is stored.
#pragma once

#include "identity/attest/attestor.h"

namespace signet::identity {

// What is kept of a token: hex of SHA-256.
std::string JoinTokenDigest(std::string_view token);
// The agent ID a join token leads to. It holds a digest (another one): the ID is public, the token
// is not.
Result<SpiffeId> JoinTokenAgentId(const TrustDomain& trust_domain, std::string_view token);

class JoinTokenAttestor final : public NodeAttestor {
 public:
  static constexpr std::string_view kType = "join_token";

  explicit JoinTokenAttestor(TrustDomain trust_domain) : trust_domain_(std::move(trust_domain)) {}
  std::string_view type() const override { return kType; }
  std::unique_ptr<Attestation> Begin() const override;

 private:
  const TrustDomain trust_domain_;
};

}  // namespace signet::identity
