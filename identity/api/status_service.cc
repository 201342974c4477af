#include "identity/api/status_service.h"

#include <algorithm>
#include <functional>
#include <map>

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

constexpr std::size_t kHoldersNamed = 20;

struct Tally {
  std::uint64_t renewable = 0;
  std::uint64_t others = 0;
  std::int64_t last_ends_at = 0;
  std::map<std::string, std::uint64_t> holders;
};

void Write(const Tally& tally, status_api::RotatingAuthority* proto) {
  proto->set_renewable(tally.renewable);
  proto->set_others(tally.others);
  proto->set_last_ends_at(tally.last_ends_at);
  std::vector<std::pair<std::uint64_t, std::string>> order;
  for (const auto& [agent, svids] : tally.holders) order.emplace_back(svids, agent);
  std::ranges::sort(order, std::greater());
  if (order.size() > kHoldersNamed) order.resize(kHoldersNamed);
  for (const auto& [svids, agent] : order) {
    auto* holder = proto->add_holders();
    holder->set_agent(agent);
    holder->set_svids(svids);
  }
}

}  // namespace

Result<status_api::GetStatusResponse> StatusService::GetStatus() const {
  const Registry& registry = parts_.registry;
  status_api::GetStatusResponse response;
  response.set_trust_domain(registry.trust_domain().name());
  response.set_version(SIGNET_VERSION);
  response.set_started_at(UnixSeconds(parts_.started_at));
  response.set_revision(registry.revision());
  for (const auto& slot : parts_.keeper.Slots()) *response.add_authorities() = ToProto(slot);
  response.set_entries(static_cast<std::uint32_t>(registry.CountEntries({})));
  response.set_agents(static_cast<std::uint32_t>(registry.CountNodes({})));
  response.set_connected_agents(static_cast<std::uint32_t>(parts_.hub.streams()));
  const auto health = parts_.health();
  response.set_healthy(health.problems.empty());
  response.set_listen_address(parts_.listen_address);
  for (const auto& problem : health.problems) response.add_problems(problem);
  return response;
}

// Whether its holder will ask for the next one: an attested agent, for itself or for an entry that
// is still there.
bool StatusService::IsRenewed(const CurrentSvid& svid) const {
  if (svid.purpose == "jwt") return false;
  if (svid.object.empty() && svid.purpose != "agent") return false;
  const auto agent = SpiffeId::Parse(svid.purpose == "agent" ? svid.subject : svid.actor);
  if (!agent) return false;
  const auto node = parts_.registry.FindNode(*agent);
  if (node == nullptr || node->banned()) return false;
  return svid.purpose == "agent" || parts_.registry.FindEntry(svid.object) != nullptr;
}

Result<status_api::GetRotationResponse> StatusService::GetRotation(const std::string& type) const {
  if (type != kX509Authority && type != kJwtAuthority)
    return Fail(Code::kInvalidArgument, kAuthorityTypeUnknown, "'" + type + "'; x509 or jwt");
  SIGNET_TRY(const auto current, parts_.store.LoadCurrentSvids(UnixSeconds(parts_.clock.Now())));
  std::map<std::string, Tally> tallies;
  for (const CurrentSvid& svid : current) {
    Tally& tally = tallies[svid.authority_id];
    tally.last_ends_at = std::max(tally.last_ends_at, svid.not_after);
    if (IsRenewed(svid)) {
      ++tally.renewable;
      ++tally.holders[svid.purpose == "agent" ? svid.subject : svid.actor];
    } else {
      ++tally.others;
    }
  }
  status_api::GetRotationResponse response;
  for (const auto& slot : parts_.keeper.Slots()) {
    if (slot.type != type) continue;
    auto* authority = response.add_authorities();
    *authority->mutable_authority() = ToProto(slot);
    Write(tallies[slot.slot.id], authority);
  }
  return response;
}

void StatusService::Register(Router* router) {
  router->AddUnary(
      "/signet.status.v1.Status/GetStatus",
      Unary<status_api::GetStatusRequest, status_api::GetStatusResponse>(
          [this](const Caller&, const status_api::GetStatusRequest&) { return GetStatus(); }));
  router->AddUnary("/signet.status.v1.Status/GetRotation",
                   Unary<status_api::GetRotationRequest, status_api::GetRotationResponse>(
                       [this](const Caller&, const status_api::GetRotationRequest& request) {
                         return GetRotation(request.type());
                       }));
}

}  // namespace signet::identity
