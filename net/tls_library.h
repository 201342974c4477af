// The OpenSSL provider behind a TlsLibrary: of the algorithms of OpenSSL's default provider those
// that TLS 1.3 needs, and of its decoders those that read a public key out of a certificate.
// Decoding a key asks every decoder there is, twice, and looks for its type among all algorithms:
// with few of both it costs a fifth (docs/decisions/0005-tls-filter-provider.md). Internal to net/.
//
// Threads: Load…() from any thread; what it loads is used like any provider.
#pragma once

#include <openssl/provider.h>

#include "base/result.h"

namespace signet::net {

// Makes `into` a library context that offers the filtered algorithms of `source`, the default
// provider of another one, which outlives it. Answers null, with OpenSSL's error queue saying why,
// when it cannot.
OSSL_PROVIDER* LoadFilterProvider(OSSL_LIB_CTX* into, OSSL_PROVIDER* source);

}  // namespace signet::net
