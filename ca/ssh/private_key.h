// Private keys as OpenSSH keeps them ("openssh-key-v1", PROTOCOL.key), and signing as SSH does.
#pragma once

#include "ca/ssh/public_key.h"

namespace signet::ca {

// The file's text: openssh-key-v1, or PEM as in pem_key.h. Without a passphrase. Fails with
// kKeyMalformed or kSshMalformed.
Result<PrivateKey> ParseSshPrivateKey(const SecretBytes& text);

// RSA signs as rsa-sha2-512. Fails with kKeyTypeRefused for keys that SSH has no name for, or
// kSigningFailed.
Result<SshSignature> SignAsSsh(const PrivateKey& key, ByteView message);

}  // namespace signet::ca
