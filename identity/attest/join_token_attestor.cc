#include "identity/attest/join_token_attestor.h"

#include "ca/crypto/digest.h"

namespace signet::identity {
namespace {

class JoinTokenAttestation final : public Attestation {
 public:
  explicit JoinTokenAttestation(const TrustDomain& trust_domain) : trust_domain_(trust_domain) {}

  Result<AttestationStep> Take(std::string_view token) override {
    NodeAttributes node;
    SIGNET_TRY(node.id, JoinTokenAgentId(trust_domain_, token));
    node.token_digest = JoinTokenDigest(token);
    return node;
  }

 private:
  const TrustDomain& trust_domain_;
};

}  // namespace

std::string JoinTokenDigest(std::string_view token) {
  return EncodeHex(ca::Sha256(AsBytes(token)));
}

Result<SpiffeId> JoinTokenAgentId(const TrustDomain& trust_domain, std::string_view token) {
  const auto digest = ca::Sha256(AsBytes("signet join token agent\n" + std::string(token)));
  return AgentId(trust_domain, JoinTokenAttestor::kType, EncodeHex(ByteView(digest).first(16)));
}

std::unique_ptr<Attestation> JoinTokenAttestor::Begin() const {
  return std::make_unique<JoinTokenAttestation>(trust_domain_);
}

}  // namespace signet::identity
