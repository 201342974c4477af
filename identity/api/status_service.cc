#include "identity/api/status_service.h"

#include "signet/status/v1/status.pb.h"

namespace signet::identity {
namespace {

namespace status_api = signet::status::v1;

status_api::Authority ToProto(const AuthorityKeeper::SlotStatus& status) {
  status_api::Authority authority;
  authority.set_id(status.slot.id);
  authority.set_state(std::string(ca::AuthorityStateName(status.slot.state)));
  authority.set_type(status.type);
  authority.set_not_before(UnixSeconds(status.slot.issued_at));
  authority.set_not_after(UnixSeconds(status.slot.not_after));
  authority.set_tainted(status.slot.tainted);
  authority.set_acknowledged(static_cast<std::uint32_t>(status.acknowledgement.acknowledged));
  authority.set_live_agents(static_cast<std::uint32_t>(status.acknowledgement.live));
  for (const auto& id : status.acknowledgement.waiting_for) authority.add_waiting_for(id);
  return authority;
}

}  // namespace

void StatusService::Register(Router* router) {
  router->AddUnary(
      "/signet.status.v1.Status/GetStatus",
      Unary<status_api::GetStatusRequest, status_api::GetStatusResponse>(
          [this](const Caller&,
                 const status_api::GetStatusRequest&) -> Result<status_api::GetStatusResponse> {
            status_api::GetStatusResponse response;
            response.set_trust_domain(registry_.trust_domain().name());
            response.set_version(SIGNET_VERSION);
            response.set_started_at(UnixSeconds(started_at_));
            response.set_revision(registry_.revision());
            for (const auto& slot : keeper_.Slots()) *response.add_authorities() = ToProto(slot);
            response.set_entries(static_cast<std::uint32_t>(registry_.CountEntries({})));
            response.set_agents(static_cast<std::uint32_t>(registry_.CountNodes({})));
            response.set_connected_agents(static_cast<std::uint32_t>(hub_.streams()));
            const auto health = health_();
            response.set_healthy(health.problems.empty());
            response.set_listen_address(listen_address_);
            for (const auto& problem : health.problems) response.add_problems(problem);
            return response;
          }));
}

}  // namespace signet::identity
