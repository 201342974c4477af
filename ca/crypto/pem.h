// Private keys as text, for files and for peers that want text.
#pragma once

#include "base/bytes.h"

namespace signet::ca {

// What PrivateKey::ToPkcs8() gives, as PEM of type PRIVATE KEY (RFC 7468, 10).
SecretBytes Pkcs8ToPem(const SecretBytes& pkcs8);

}  // namespace signet::ca
