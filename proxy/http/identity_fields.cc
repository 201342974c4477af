#include "proxy/http/identity_fields.h"

#include "base/bytes.h"
#include "proxy/http/syntax.h"

namespace signet::proxy {
namespace {

constexpr std::string_view kClientCert = "x-forwarded-client-cert";
constexpr std::string_view kClientId = "signet-client-id";

}  // namespace

std::size_t StripIdentityFields(Fields* fields) {
  return fields->RemoveIf([](const Fields::Field& field) {
    return IsTwinOf(field.name, kClientCert) || IsTwinOf(field.name, kClientId);
  });
}

void AddIdentityFields(const net::PeerIdentity& caller, std::string_view own, Fields* fields) {
  std::string value = "By=";
  value.append(own).append(";Hash=").append(EncodeHex(caller.chain.front().fingerprint()));
  value.append(";URI=").append(caller.name);
  fields->Add(kClientCert, value);
  fields->Add(kClientId, caller.name);
}

}  // namespace signet::proxy
