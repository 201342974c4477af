// The messages of SPIRE's node attestor x509pop, for both sides, and the proof in them: the node
// shows a certificate chain, the server a nonce, and the node signs both its own nonce and that one
// with the leaf's key.
//
//   payload    {"certificates": [DER leaf, DER intermediate, …]}
//   challenge  {"rsa_signature": {"nonce"}} or {"ecdsa_signature": {"nonce"}}
//   response   {"rsa_signature": {"nonce", "signature"}} or {"ecdsa_signature": {"nonce", "r",
//   "s"}}
//
// Bytes are base64. Signed is SHA-256(server's nonce || node's nonce), by RSASSA-PSS or ECDSA.
// Whether the chain is trusted is asked elsewhere (identity/attest/x509pop).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ca/crypto/key.h"
#include "ca/x509/certificate.h"
#include "identity/proof/nonce.h"

namespace signet::identity {

std::string WriteX509PopPayload(const ca::Chain& chain);
// The certificates' bytes, 1 to `max_certificates` of them; not parsed yet. Fails with
// kProofMalformed.
Result<std::vector<Bytes>> ParseX509PopPayload(std::string_view payload,
                                               std::size_t max_certificates);

// RSA and EC keys only; fails with kProofInvalid for others.
Result<std::string> WriteX509PopChallenge(const ca::PublicKey& key, const Nonce& nonce);
// What the holder of `key` says to `challenge`. Fails with kProofMalformed, or when the challenge
// is for another kind of key.
Result<std::string> AnswerX509PopChallenge(const ca::PrivateKey& key, std::string_view challenge,
                                           Random& random);
// Fails with kProofMalformed or kProofInvalid.
Status CheckX509PopResponse(const ca::PublicKey& key, const Nonce& nonce,
                            std::string_view response);

}  // namespace signet::identity
