// The reader of certificate requests: whatever it accepts, OpenSSL must read too, with the same
// key.
#include <openssl/x509.h>

#include "base/check.h"
#include "ca/x509/request.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto request = signet::ca::ParseRequest({data, size});
  if (!request) return 0;
  const std::uint8_t* cursor = data;
  X509_REQ* theirs = d2i_X509_REQ(nullptr, &cursor, static_cast<long>(size));
  CHECK_TRUE(theirs != nullptr && cursor == data + size);
  const auto key = signet::ca::PublicKey::FromHandle(X509_REQ_get0_pubkey(theirs));
  CHECK_TRUE(key && *key == request->public_key);
  CHECK_TRUE(request->uri_sans.size() + request->dns_sans.size() + request->other_san_count <= 256);
  X509_REQ_free(theirs);
  return 0;
}
