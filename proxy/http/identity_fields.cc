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

CallerFields CallerFields::Of(const net::PeerIdentity& caller, std::string_view own) {
  CallerFields made;
  made.client_cert.append("By=").append(own).append(";Hash=");
  made.client_cert.append(EncodeHex(caller.chain.front().fingerprint()));
  made.client_cert.append(";URI=").append(caller.name);
  made.client_id = caller.name;
  return made;
}

void CallerFields::AddTo(Fields* fields) const {
  fields->Add(kClientCert, client_cert);
  fields->Add(kClientId, client_id);
}

}  // namespace signet::proxy
