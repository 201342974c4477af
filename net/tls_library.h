// The OpenSSL provider behind a TlsLibrary: the algorithms of OpenSSL's default provider, but of
// its decoders only those that read a public key out of a certificate, and of its key types only
// those a TLS 1.3 peer can have. Decoding a key asks every decoder there is, twice; with few of
// them it costs a fifth (docs/decisions/0005-tls-filter-provider.md). Internal to net/.
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
