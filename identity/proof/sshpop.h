// The messages of SPIRE's node attestor sshpop, for both sides: the node shows an OpenSSH host
// certificate, the server a nonce, and the node signs both its own nonce and that one with the host
// key.
//
//   payload    {"Certificate": blob}
//   challenge  {"Nonce": bytes}
//   response   {"Nonce": bytes, "Signature": {"Format": "ssh-ed25519", "Blob": bytes}}
//
// Bytes are base64. Signed is the text SHA-256(server's nonce || node's nonce), 32 bytes, which the
// signature's own algorithm hashes again.
#pragma once

#include <string>
#include <string_view>

#include "ca/ssh/public_key.h"
#include "identity/proof/nonce.h"

namespace signet::identity {

std::string WriteSshPopPayload(ByteView certificate);
// The certificate's blob, not verified. Fails with kProofMalformed.
Result<Bytes> ParseSshPopPayload(std::string_view payload);

std::string WriteSshPopChallenge(const Nonce& nonce);
// Fails with kProofMalformed, or as ca::SignAsSsh() does.
Result<std::string> AnswerSshPopChallenge(const ca::PrivateKey& key, std::string_view challenge,
                                          Random& random);
// SPIRE's agents sign with RSA keys over SHA-1 ("ssh-rsa"), which is taken here: what is signed is
// fresh and not of the signer's choosing. Fails with kProofMalformed or kProofInvalid.
Status CheckSshPopResponse(const ca::SshPublicKey& key, const Nonce& nonce,
                           std::string_view response);

}  // namespace signet::identity
