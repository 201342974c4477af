// Private keys in the files people keep them in: PEM of PKCS#8, PKCS#1 or SEC 1, without a
// passphrase.
#pragma once

#include "ca/crypto/key.h"

namespace signet::ca {

// The first private key in `pem`. Fails with kKeyMalformed; a key under a passphrase is refused.
Result<PrivateKey> ParsePemPrivateKey(const SecretBytes& pem);

}  // namespace signet::ca
