// x509pop: an X.509 certificate with its key, put on this node by somebody else.
#pragma once

#include "agent/attest/node_attestor.h"
#include "base/random.h"

namespace signet::agent {

struct X509PopOptions {
  std::string private_key_path;    // PEM, without a passphrase
  std::string certificate_path;    // PEM, leaf first
  std::string intermediates_path;  // PEM; empty: none but those behind the leaf
};

class X509PopAttestor final : public NodeAttestor {
 public:
  X509PopAttestor(X509PopOptions options, Random& random)
      : options_(std::move(options)), random_(random) {}
  std::string_view type() const override { return "x509pop"; }
  bool can_repeat() const override { return true; }
  Result<std::unique_ptr<NodeProof>> Begin() override;

 private:
  const X509PopOptions options_;
  Random& random_;
};

}  // namespace signet::agent
