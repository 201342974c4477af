#include "agent/endpoints/node_service.h"

#include <string>

#include "signet/node/v1/node.pb.h"

namespace signet::agent {
namespace {

namespace api = signet::node::v1;

constexpr int kMostCallers = 1000;

api::GetStatusResponse::Health ToProto(HealthLevel level) {
  switch (level) {
    case HealthLevel::kGood:
      return api::GetStatusResponse::GOOD;
    case HealthLevel::kWarning:
      return api::GetStatusResponse::WARNING;
    case HealthLevel::kFailing:
      return api::GetStatusResponse::FAILING;
  }
  return api::GetStatusResponse::UNKNOWN;
}

const char* NameOf(SyncWorker::Mode mode) {
  switch (mode) {
    case SyncWorker::Mode::kAway:
      return "away";
    case SyncWorker::Mode::kPush:
      return "push";
    case SyncWorker::Mode::kPoll:
      return "poll";
  }
  return "";
}

const char* NameOf(SvidState state) {
  switch (state) {
    case SvidState::kOnDemand:
      return "on_demand";
    case SvidState::kFresh:
      return "fresh";
    case SvidState::kLate:
      return "late";
    case SvidState::kLost:
      return "lost";
    case SvidState::kMissing:
      return "missing";
    case SvidState::kWithoutRoom:
      return "without_room";
  }
  return "";
}

std::int64_t SecondsOr0(const std::optional<WallTime>& time) {
  return time ? UnixSeconds(*time) : 0;
}

std::uint32_t Number(std::size_t count) { return static_cast<std::uint32_t>(count); }

void WriteSvids(const NodeStatus& status, api::Svids* svids) {
  svids->set_fresh(Number(status.svids.fresh));
  svids->set_late(Number(status.svids.late));
  svids->set_lost(Number(status.svids.lost));
  svids->set_missing(Number(status.svids.missing));
  svids->set_without_room(Number(status.svids.without_room));
  svids->set_on_demand(Number(status.svids.on_demand));
  svids->set_soonest_end_at(SecondsOr0(status.svids.soonest_end));
  for (const SvidStanding& standing : status.listed) {
    api::Svid* svid = svids->add_listed();
    svid->set_entry_id(standing.entry_id);
    svid->set_spiffe_id(standing.spiffe_id.ToString());
    svid->set_state(NameOf(standing.state));
    svid->set_ends_at(SecondsOr0(standing.not_after));
    svid->set_renewal_at(SecondsOr0(standing.renew_at));
    svid->set_failures(standing.failures);
  }
}

void WriteSync(const NodeStatus& status, api::Sync* sync) {
  sync->set_server(status.server);
  sync->set_mode(NameOf(status.mode));
  sync->set_revision(status.revision);
  sync->set_heard_at(SecondsOr0(status.heard_at));
  sync->set_entries(Number(status.entries));
}

void WriteCallers(const std::vector<ConnectedCaller>& callers, const char* socket,
                  api::GetStatusResponse* response) {
  for (const ConnectedCaller& caller : callers) {
    response->set_connections(response->connections() + Number(caller.connections));
    if (response->callers_size() >= kMostCallers) continue;
    api::Caller* told = response->add_callers();
    told->set_pid(caller.pid);
    told->set_uid(caller.uid);
    told->set_gid(caller.gid);
    told->set_socket(socket);
    told->set_connections(Number(caller.connections));
    told->set_streams(Number(caller.streams));
  }
}

void WriteStatus(const NodeStatus& status, api::GetStatusResponse* response) {
  response->set_health(ToProto(LevelOf(status.problems)));
  for (const HealthProblem& problem : status.problems) {
    api::Problem* told = response->add_problems();
    told->set_health(ToProto(problem.level));
    told->set_text(problem.text);
  }
  response->set_trust_domain(status.trust_domain.name());
  response->set_agent_id(status.agent_id);
  response->set_agent_svid_ends_at(SecondsOr0(status.agent_svid_end));
  response->set_version(SIGNET_VERSION);
  response->set_started_at(UnixSeconds(status.started_at));
  WriteSync(status, response->mutable_sync());
  WriteSvids(status, response->mutable_svids());
  for (const std::string& name : status.bundles) response->add_bundles(name);
  response->set_jwt_svids(Number(status.jwt_svids));
  for (const AttestorRecord& record : status.attestors) {
    api::Attestor* told = response->add_attestors();
    told->set_name(record.name);
    told->set_failures(Number(record.failures));
    told->set_error(record.error);
  }
}

}  // namespace

void NodeService::Register(CallTable* calls, AttestationPool& pool) {
  calls->AddUnary<api::GetStatusRequest, api::GetStatusResponse>(
      "/signet.node.v1.Node/GetStatus", &pool,
      [this](const api::GetStatusRequest&, api::GetStatusResponse* response) {
        WriteStatus(status_(), response);
        const Callers callers = callers_();
        WriteCallers(callers.of_public, "public", response);
        WriteCallers(callers.of_admin, "admin", response);
        return grpc::Status::OK;
      });
}

}  // namespace signet::agent
