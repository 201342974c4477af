#include "identity/api/sync_hub.h"

#include <algorithm>

#include "identity/api/rpc_status.h"

namespace signet::identity {
namespace {

constexpr std::size_t kMaxQueuedChanges = 4096;
constexpr std::size_t kStreamsPerAgent = 4;
// Those that were told to end and do not read it included.
constexpr std::size_t kUnfinishedStreamsPerAgent = 16;
constexpr auto kJudgeInterval = std::chrono::seconds(1);
// How many are sent at a time what goes to all, and how long one that does not take it is waited
// for: then the next one's turn comes.
constexpr std::size_t kInTurn = 64;
constexpr auto kTurnPatience = std::chrono::milliseconds(50);

const char* DenialText(AgentDenial denial) {
  return denial == AgentDenial::kBanned ? "the agent is banned" : "the agent is not attested";
}

}  // namespace

SyncHub::SyncHub(Registry& registry, const Authorizer& authorizer,
                 Acknowledgements& acknowledgements, const Clock& clock, const Logger& log,
                 Metrics& metrics)
    : registry_(registry),
      authorizer_(authorizer),
      acknowledgements_(acknowledgements),
      clock_(clock),
      log_(log),
      batches_(metrics.Counter("signet_server_sync_batches_total", "Batches pushed to agents.")),
      mismatches_(metrics.Counter("signet_server_sync_mismatches_total",
                                  "Times an agent held other entries than it was sent.")),
      last_bundle_removal_(registry.revision()) {
  metrics.GaugeFrom("signet_server_sync_streams", "Agents on the push stream.",
                    [this] { return static_cast<double>(streams()); });
  observer_ = registry_.AddObserver([this](const Change& change) {
    {
      std::lock_guard lock(mutex_);
      if (sessions_.empty() && change.bundles_removed.empty() && change.nodes_removed.empty())
        return;
      if (changes_.size() >= kMaxQueuedChanges) {
        changes_.clear();
        overrun_ = true;
      }
      changes_.push_back(change);
    }
    wake_.notify_one();
  });
  thread_ = std::thread([this] { Run(); });
}

SyncHub::~SyncHub() {
  Stop();
  registry_.RemoveObserver(observer_);
  thread_.join();
}

void SyncHub::Register(Router* router) {
  router->AddStream("/signet.sync.v1.Sync/Subscribe",
                    [this](std::shared_ptr<StreamCall> call) { return Open(std::move(call)); });
}

void SyncHub::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  for (const auto& session : All())
    session->End({grpc::StatusCode::UNAVAILABLE, "the server is shutting down"});
}

std::size_t SyncHub::streams() const {
  std::lock_guard lock(mutex_);
  std::size_t count = 0;
  for (const auto& [agent, sessions] : sessions_) count += sessions.size();
  return count;
}

std::shared_ptr<SyncSession> SyncHub::Open(std::shared_ptr<StreamCall> call) {
  auto session = std::make_shared<SyncSession>(*this, std::move(call));
  std::shared_ptr<SyncSession> displaced;
  bool is_full = false;
  bool stopping = false;
  {
    std::lock_guard lock(mutex_);
    auto& sessions = sessions_[session->caller().id];
    is_full = sessions.size() >= kUnfinishedStreamsPerAgent;
    if (!is_full) {
      // All before this one were told already.
      if (sessions.size() >= kStreamsPerAgent)
        displaced = sessions[sessions.size() - kStreamsPerAgent];
      sessions.push_back(session);
    }
    stopping = stopping_;
  }
  if (displaced) displaced->End({grpc::StatusCode::ABORTED, "too many streams of this agent"});
  if (is_full)
    session->End({grpc::StatusCode::RESOURCE_EXHAUSTED, "too many unread streams of this agent"});
  if (stopping) session->End({grpc::StatusCode::UNAVAILABLE, "the server is shutting down"});
  return session;
}

void SyncHub::Ready(std::shared_ptr<SyncSession> session, Pace pace) {
  {
    std::lock_guard lock(mutex_);
    if (pace == Pace::kAtOnce)
      ready_.insert(std::move(session));
    else if (!ready_.contains(session) && queued_.insert(session.get()).second)
      queue_.push_back(std::move(session));
  }
  wake_.notify_one();
}

void SyncHub::Sent(std::shared_ptr<SyncSession> session) {
  {
    std::lock_guard lock(mutex_);
    under_way_.erase(session.get());
  }
  Ready(std::move(session), Pace::kAtOnce);
}

bool SyncHub::HasReady() const {
  return !ready_.empty() || (!queue_.empty() && under_way_.size() < kInTurn);
}

SyncHub::Sessions SyncHub::TakeReady(SteadyTime now) {
  Sessions taken(ready_.begin(), ready_.end());
  ready_.clear();
  std::erase_if(under_way_, [&](const auto& row) { return now >= row.second; });
  while (!queue_.empty() && under_way_.size() < kInTurn) {
    auto session = std::move(queue_.front());
    queue_.pop_front();
    queued_.erase(session.get());
    under_way_.emplace(session.get(), now + kTurnPatience);
    taken.push_back(std::move(session));
  }
  return taken;
}

void SyncHub::Remove(const std::shared_ptr<SyncSession>& session) {
  std::lock_guard lock(mutex_);
  ready_.erase(session);
  under_way_.erase(session.get());
  if (queued_.erase(session.get()) != 0) std::erase(queue_, session);
  const auto found = sessions_.find(session->caller().id);
  if (found == sessions_.end()) return;
  std::erase(found->second, session);
  if (found->second.empty()) sessions_.erase(found);
}

SyncHub::Sessions SyncHub::All() const {
  Sessions all;
  std::lock_guard lock(mutex_);
  for (const auto& [agent, sessions] : sessions_)
    all.insert(all.end(), sessions.begin(), sessions.end());
  return all;
}

SyncHub::Sessions SyncHub::Of(const SpiffeId& agent) const {
  std::lock_guard lock(mutex_);
  const auto found = sessions_.find(agent);
  return found == sessions_.end() ? Sessions() : found->second;
}

void SyncHub::Run() {
  auto next_judgement = clock_.SteadyNow() + kJudgeInterval;
  for (;;) {
    std::deque<Change> changes;
    bool overrun = false;
    {
      std::unique_lock lock(mutex_);
      const auto pause = queue_.empty() ? Duration(kJudgeInterval) : Duration(kTurnPatience);
      wake_.wait_for(lock, pause,
                     [this] { return stopping_ || overrun_ || !changes_.empty() || HasReady(); });
      if (stopping_) return;
      changes.swap(changes_);
      overrun = std::exchange(overrun_, false);
    }
    for (const auto& change : changes) Apply(change);
    const auto now = clock_.SteadyNow();
    if (overrun) {
      last_bundle_removal_ = registry_.revision();
      MarkAll();
    }
    if (overrun || now >= next_judgement) {
      next_judgement = now + kJudgeInterval;
      JudgeAll(now, overrun);
    }
    Sessions ready;
    {
      std::lock_guard lock(mutex_);
      ready = TakeReady(now);
    }
    for (const auto& session : ready) {
      // What had nothing to be sent has had its turn.
      if (!session->Pump(last_bundle_removal_, now)) {
        std::lock_guard lock(mutex_);
        under_way_.erase(session.get());
      }
    }
  }
}

void SyncHub::Apply(const Change& change) {
  if (!change.bundles_removed.empty()) last_bundle_removal_ = change.revision;
  if (!change.bundles_put.empty() || !change.bundles_removed.empty()) MarkAll();
  if (!change.denials_put.empty() || !change.denials_removed.empty()) {
    for (const auto& session : All()) Judge(session);
  }
  ApplyEntries(change);
  for (const auto& node : change.nodes_put) {
    if (!node->banned()) {
      MarkAgents({node->id});
      for (const auto& session : Of(node->id)) Judge(session);
      continue;
    }
    for (const auto& session : Of(node->id))
      session->Deny(AgentDenial::kBanned, DenialText(AgentDenial::kBanned));
  }
  for (const auto& node : change.nodes_removed) {
    acknowledgements_.Forget(node->id);
    for (const auto& session : Of(node->id))
      session->Deny(AgentDenial::kNotAttested, DenialText(AgentDenial::kNotAttested));
  }
}

void SyncHub::ApplyEntries(const Change& change) {
  const auto mark_holders = [this](const EntryPtr& entry) {
    for (const auto& session : All()) {
      if (!session->Holds(entry->id)) continue;
      session->MarkDirty();
      Ready(session, Pace::kAtOnce);
    }
  };
  for (const auto& entry : change.entries_put) {
    MarkAgents(registry_.AgentsConcerned(*entry));
    // An update may have moved it away from those who hold it.
    if (entry->revision_number > 0) mark_holders(entry);
  }
  for (const auto& entry : change.entries_removed) {
    MarkAgents(registry_.AgentsConcerned(*entry));
    mark_holders(entry);
  }
}

void SyncHub::MarkAgents(const std::vector<SpiffeId>& agents) {
  for (const auto& agent : agents) {
    for (const auto& session : Of(agent)) {
      session->MarkDirty();
      Ready(session, Pace::kAtOnce);
    }
  }
}

void SyncHub::MarkAll() {
  for (const auto& session : All()) {
    session->MarkDirty();
    Ready(session, Pace::kInTurn);
  }
}

void SyncHub::JudgeAll(SteadyTime now, bool all) {
  const WallTime wall = clock_.Now();
  for (const auto& session : All())
    if (session->IsDue(now) || all || wall >= session->caller().valid_until) Judge(session);
}

void SyncHub::Judge(const std::shared_ptr<SyncSession>& session) {
  const auto denial = authorizer_.CheckAgent(session->caller());
  switch (denial) {
    case AgentDenial::kNone:
      Ready(session, Pace::kAtOnce);  // a digest may be due, or denials
      break;
    case AgentDenial::kBanned:
    case AgentDenial::kNotAttested:
      session->Deny(denial, DenialText(denial));
      break;
    case AgentDenial::kExpired:
    case AgentDenial::kNotActive:
      // Not the agent's end, only this connection's.
      session->End({grpc::StatusCode::UNAVAILABLE,
                    "the agent's SVID was replaced or has ended: subscribe with the current one"});
      break;
  }
}

}  // namespace signet::identity
