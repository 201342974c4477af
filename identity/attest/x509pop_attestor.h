// x509pop: the node shows an X.509 certificate chain that leads to an authority the operator
// trusts, and proves that it holds the leaf's key. In mode `spiffe` the chain is an X.509-SVID of
// this trust domain, below a path set aside for nodes.
//
// X509PopVerifier decides; X509PopAttestor keeps the authorities and leads the conversation.
#pragma once

#include <functional>
#include <span>

#include "base/clock.h"
#include "base/random.h"
#include "ca/x509/certificate.h"
#include "identity/attest/attestor.h"
#include "identity/attest/path_template.h"
#include "identity/attest/verified.h"

namespace signet::identity {

enum class X509PopMode { kExternalPki, kSpiffe };

struct X509PopSettings {
  X509PopMode mode = X509PopMode::kExternalPki;
  std::vector<std::string> ca_bundle_paths;  // PEM; mode external_pki
  std::string svid_prefix =
      "/spire-exchange/";            // mode spiffe: where nodes' SVIDs are, with slashes
  std::optional<PathTemplate> path;  // always set by the configuration
  std::size_t max_intermediates = 4;
  int max_rsa_bits = 8192;
};

// What agent_path_template may refer to.
std::span<const TemplateField> X509PopFields();
std::string_view X509PopDefaultTemplate(X509PopMode mode);

class X509PopVerifier {
 public:
  // A chain that leads to an anchor; its leaf's key is not proven yet.
  struct TrustedChain {
    ca::Chain path;  // leaf first, anchor last
  };
  using Trusted = Verified<TrustedChain, X509PopVerifier>;
  // The same, and whoever is at the other end holds the leaf's key.
  struct ProvenChain {
    ca::Chain path;
  };
  using Proven = Verified<ProvenChain, X509PopVerifier>;

  // `settings` outlives it.
  explicit X509PopVerifier(const X509PopSettings& settings) : settings_(settings) {}

  // Counts and sizes are looked at before any signature is. Fails with kProofMalformed,
  // kCertificateMalformed, kProofInvalid or the reasons of ca/x509/path.h.
  Result<Trusted> VerifyChain(std::string_view payload, std::span<const ca::Certificate> anchors,
                              WallTime now) const;
  Result<Proven> VerifyPossession(const Trusted& chain, const Nonce& nonce,
                                  std::string_view response) const;
  // Fails with kProofInvalid (mode spiffe: not an SVID for nodes) and as PathTemplate::Fill() does.
  Result<NodeAttributes> Describe(const Proven& node, const TrustDomain& trust_domain) const;

 private:
  Status CheckKey(const ca::Certificate& certificate) const;
  Result<std::string> TrimmedSvidPath(const ca::Certificate& leaf,
                                      const TrustDomain& trust_domain) const;
  const X509PopSettings& settings_;
};

class X509PopAttestor final : public NodeAttestor {
 public:
  static constexpr std::string_view kType = "x509pop";
  using Anchors = std::shared_ptr<const std::vector<ca::Certificate>>;

  // `anchors` is asked at each attestation.
  X509PopAttestor(TrustDomain trust_domain, X509PopSettings settings,
                  std::function<Anchors()> anchors, const Clock& clock, Random& random)
      : trust_domain_(std::move(trust_domain)),
        settings_(std::move(settings)),
        anchors_(std::move(anchors)),
        clock_(clock),
        random_(random) {}

  std::string_view type() const override { return kType; }
  std::unique_ptr<Attestation> Begin() const override;

 private:
  class Conversation;
  const TrustDomain trust_domain_;
  const X509PopSettings settings_;
  const std::function<Anchors()> anchors_;
  const Clock& clock_;
  Random& random_;
};

}  // namespace signet::identity
