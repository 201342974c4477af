#include "identity/api/debug_service.h"

#include "ca/x509/path.h"
#include "identity/api/convert.h"
#include "identity/api/rpc_status.h"
#include "spire/api/server/debug/v1/debug.pb.h"

namespace signet::identity {
namespace {

using spire::api::server::debug::v1::GetInfoRequest;
using spire::api::server::debug::v1::GetInfoResponse;

// The subject as SPIRE writes it, with the attribute's name in capitals; an authority's begins so.
std::string SubjectOf(const ca::Certificate& certificate) {
  constexpr std::string_view kSerialNumber = "serialNumber=";
  auto text = certificate.SubjectText();
  if (text.starts_with(kSerialNumber)) text.replace(0, kSerialNumber.size(), "SERIALNUMBER=");
  return text;
}

void Write(const ca::Certificate& certificate, GetInfoResponse::Cert* proto) {
  if (!certificate.uri_sans().empty()) {
    if (const auto id = SpiffeId::Parse(certificate.uri_sans().front()))
      *proto->mutable_id() = ToProto(*id);
  }
  proto->set_expires_at(UnixSeconds(certificate.not_after()));
  proto->set_subject(SubjectOf(certificate));
}

}  // namespace

void DebugService::Register(Router* router) {
  router->AddUnary("/spire.api.server.debug.v1.Debug/GetInfo",
                   Unary<GetInfoRequest, GetInfoResponse>(
                       [this](const Caller&, const GetInfoRequest&) -> Result<GetInfoResponse> {
                         GetInfoResponse response;
                         const auto bundle = registry_.OwnBundle();
                         const auto chain = identity_.Chain();
                         auto path = ca::BuildPath(chain, bundle->X509Roots(), clock_.Now());
                         if (!path)
                           return Fail(InContext("failed to verify the server's SVID",
                                                 Code::kInternal, path.error()));
                         for (const auto& certificate : *path)
                           Write(certificate, response.add_svid_chain());
                         const auto up = clock_.SteadyNow() - started_at_;
                         response.set_uptime(static_cast<int>(
                             std::chrono::duration_cast<std::chrono::seconds>(up).count()));
                         response.set_agents_count(static_cast<int>(registry_.CountNodes({})));
                         // The own bundle is one of them, as in SPIRE.
                         response.set_federated_bundles_count(
                             static_cast<int>(registry_.FederatedBundles().size()) + 1);
                         response.set_entries_count(static_cast<int>(registry_.CountEntries({})));
                         return response;
                       }));
}

}  // namespace signet::identity
