#include "identity/api/bundle_service.h"

#include "identity/api/convert.h"
#include "spire/api/server/bundle/v1/bundle.pb.h"

namespace signet::identity {
namespace {

using spire::api::server::bundle::v1::GetBundleRequest;

}  // namespace

void BundleService::Register(Router* router) {
  router->AddUnary(
      "/spire.api.server.bundle.v1.Bundle/GetBundle",
      Unary<GetBundleRequest, spire::api::types::Bundle>(
          [this](const Caller& caller,
                 const GetBundleRequest& request) -> Result<spire::api::types::Bundle> {
            const auto mask =
                MaskFromProto(request.has_output_mask() ? &request.output_mask() : nullptr);
            const auto revision =
                registry_.revision();  // before the bundle: it is at least this new
            const auto bundle = registry_.OwnBundle();
            if (!bundle) return Fail(Code::kUnavailable, kBundleMalformed, "no bundle yet");
            spire::api::types::Bundle response;
            WriteBundle(*bundle, mask, &response);
            // An agent that polls holds what it was given.
            if (mask.x509_authorities && mask.jwt_authorities &&
                authorizer_.CheckAgent(caller) == AgentDenial::kNone) {
              acknowledgements_.Record(caller.id, revision);
            }
            return response;
          }));
}

}  // namespace signet::identity
