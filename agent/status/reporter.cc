#include "agent/status/reporter.h"

#include <fmt/format.h>

#include <utility>

namespace signet::agent {
namespace {

constexpr Duration kCountKept = std::chrono::milliseconds(100);
constexpr std::size_t kMostListed = 100;

double Seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

Reporter::Reporter(ReportedParts parts, std::string server, std::size_t most_svids)
    : parts_(std::move(parts)),
      server_(std::move(server)),
      most_svids_(most_svids),
      started_at_(parts_.clock.Now()) {}

std::optional<Duration> Reporter::Unheard() const {
  const auto heard = parts_.sync.last_heard();
  if (!heard) return std::nullopt;
  return parts_.clock.SteadyNow() - *heard;
}

SvidCounts Reporter::Count() const {
  const std::lock_guard lock(mutex_);
  const SteadyTime now = parts_.clock.SteadyNow();
  if (!counted_at_ || now - *counted_at_ >= kCountKept) {
    counted_ = parts_.minter.Count();
    counted_at_ = now;
  }
  return counted_;
}

std::vector<HealthProblem> Reporter::Judge() const {
  HealthFacts facts;
  facts.now = parts_.clock.Now();
  facts.serving = serving_;
  facts.synced = parts_.cache.Current()->synced;
  if (const auto identity = parts_.state.identity()) {
    facts.node_not_before = identity->not_before();
    facts.node_not_after = identity->not_after();
  }
  facts.unheard = Unheard();
  facts.svids = Count();
  facts.most_svids = most_svids_;
  if (std::string problem = parts_.cache_store.problem(); !problem.empty())
    facts.other_problems.push_back(std::move(problem));
  for (const AttestorRecord& attestor : parts_.attestors())
    if (attestor.failures > 0)
      facts.other_problems.push_back(
          fmt::format("the workload attestor {} fails: {}", attestor.name, attestor.error));
  for (std::string& problem : parts_.file_problems())
    facts.other_problems.push_back(std::move(problem));
  return JudgeHealth(facts);
}

net::Health Reporter::Health() const {
  net::Health health;
  std::vector<HealthProblem> problems = Judge();
  health.ready = LevelOf(problems) != HealthLevel::kFailing;
  for (HealthProblem& problem : problems) health.problems.push_back(std::move(problem.text));
  return health;
}

AgentFigures Reporter::Figures() const {
  AgentFigures figures;
  if (const auto identity = parts_.state.identity()) figures.chain = identity->chain;
  const SnapshotPtr snapshot = parts_.cache.Current();
  if (const BundlePtr own = snapshot->FindBundle(snapshot->trust_domain))
    figures.roots = own->bundle.X509Roots();
  snapshot->entries.ForEach(
      [&](const HeldEntry& held) { figures.x509_svids += held.svid != nullptr ? 1 : 0; });
  figures.jwt_svids = parts_.jwts.cached();
  if (const auto unheard = Unheard()) figures.last_sync = parts_.clock.Now() - *unheard;
  return figures;
}

NodeStatus Reporter::Status() const {
  NodeStatus status;
  const SnapshotPtr snapshot = parts_.cache.Current();
  status.problems = Judge();
  status.trust_domain = snapshot->trust_domain;
  if (const auto identity = parts_.state.identity()) {
    status.agent_id = identity->id.ToString();
    status.agent_svid_end = identity->not_after();
  }
  status.started_at = started_at_;
  status.server = server_;
  status.mode = parts_.sync.mode();
  status.revision = snapshot->revision;
  if (const auto unheard = Unheard()) status.heard_at = parts_.clock.Now() - *unheard;
  status.entries = snapshot->entries.size();
  status.svids = parts_.minter.Count();
  status.listed = parts_.minter.Standings(kMostListed);
  for (const auto& [name, bundle] : snapshot->bundles) status.bundles.push_back(name.name());
  status.jwt_svids = parts_.jwts.cached();
  status.attestors = parts_.attestors();
  return status;
}

void Reporter::ExportMetrics(Metrics* metrics) const {
  ExportSvids(metrics);
  ExportSync(metrics);
  metrics->GaugeFrom("signet_agent_health", "0: failing, 1: warned, 2: good",
                     [this] { return static_cast<double>(LevelOf(Judge())); });
  metrics->GaugeFrom("signet_agent_node_svid_expiry_timestamp_seconds",
                     "When the agent's own SVID expires", [this] {
                       const auto identity = parts_.state.identity();
                       return identity ? static_cast<double>(UnixSeconds(identity->not_after()))
                                       : 0.0;
                     });
}

void Reporter::ExportSvids(Metrics* metrics) const {
  constexpr const char* kHelp = "Entries by how the X.509-SVID for them stands";
  for (const auto& [state, member] :
       std::initializer_list<std::pair<const char*, std::size_t SvidCounts::*>>{
           {"fresh", &SvidCounts::fresh},
           {"late", &SvidCounts::late},
           {"lost", &SvidCounts::lost},
           {"missing", &SvidCounts::missing},
           {"without_room", &SvidCounts::without_room},
           {"on_demand", &SvidCounts::on_demand}})
    metrics->GaugeFrom("signet_agent_svids", kHelp,
                       [this, of_state = member] { return static_cast<double>(Count().*of_state); },
                       {{"state", state}});
  metrics->GaugeFrom("signet_agent_svid_soonest_expiry_timestamp_seconds",
                     "When the first of the X.509-SVIDs held expires; 0: none is held", [this] {
                       const auto end = Count().soonest_end;
                       return end ? static_cast<double>(UnixSeconds(*end)) : 0.0;
                     });
}

void Reporter::ExportSync(Metrics* metrics) const {
  metrics->GaugeFrom("signet_agent_sync_revision",
                     "Revision of the entries held; 0: the server counts none",
                     [this] { return static_cast<double>(parts_.cache.Current()->revision); });
  metrics->GaugeFrom("signet_agent_sync_age_seconds",
                     "Since the server last agreed with what is held; -1: never", [this] {
                       const auto unheard = Unheard();
                       return unheard ? Seconds(*unheard) : -1.0;
                     });
  metrics->GaugeFrom("signet_agent_sync_mode", "0: server away, 1: push, 2: polling",
                     [this] { return static_cast<double>(static_cast<int>(parts_.sync.mode())); });
}

}  // namespace signet::agent
