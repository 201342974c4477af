// What the agent asks its server for about itself. Implemented over gRPC in agent/sync.
#pragma once

#include "agent/attest/node_attestor.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "ca/x509/certificate.h"
#include "identity/bundle/bundle.h"

namespace signet::agent {

class NodeAuthority {
 public:
  virtual ~NodeAuthority() = default;
  // The server's present bundle, from a server verified against `trust`.
  virtual Result<identity::Bundle> FetchBundle(const identity::Bundle& trust) = 0;
  // The same from whoever answers: worth nothing until something else vouches for it.
  virtual Result<identity::Bundle> FetchUnverifiedBundle() = 0;
  // Attestation by `proof`, of an attestor of `type`, with a server verified against `trust`;
  // `request` is PKCS#10 DER. Fails with kAttestationRefused (denial.h) when the server says no,
  // and otherwise when it could not be asked.
  virtual Result<ca::Chain> Attest(const identity::Bundle& trust, std::string_view type,
                                   NodeProof& proof, const Bytes& request) = 0;
  // With the current SVID, over the current connection.
  virtual Result<ca::Chain> Renew(const Bytes& request) = 0;
  // How long the server asked to be left alone when it last refused Attest() or Renew(); told once.
  // Zero: it did not.
  virtual Duration TakePauseAsked() = 0;
};

}  // namespace signet::agent
