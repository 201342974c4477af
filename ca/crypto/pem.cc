#include "ca/crypto/pem.h"

#include <string>
#include <string_view>

namespace signet::ca {

SecretBytes Pkcs8ToPem(const SecretBytes& pkcs8) {
  constexpr std::size_t kLine = 64;
  constexpr std::string_view kBegin = "-----BEGIN PRIVATE KEY-----\n";
  constexpr std::string_view kEnd = "-----END PRIVATE KEY-----\n";
  std::string body = EncodeBase64(pkcs8.view());
  std::string pem;
  pem.reserve(kBegin.size() + body.size() + body.size() / kLine + 1 + kEnd.size());
  pem += kBegin;
  for (std::size_t at = 0; at < body.size(); at += kLine) {
    pem.append(body, at, kLine);
    pem += '\n';
  }
  pem += kEnd;
  SecretBytes secret{AsBytes(pem)};
  for (std::string* text : {&body, &pem})
    WipeBytes({reinterpret_cast<std::uint8_t*>(text->data()), text->size()});
  return secret;
}

}  // namespace signet::ca
