#include "identity/server/housekeeping.h"

#include <algorithm>

namespace signet::identity {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

constexpr Duration kPruneInterval = minutes(5);
constexpr Duration kCutInterval = seconds(5);
constexpr std::size_t kPruneBatch = 1000;  // nodes at a time, as SPIRE's default

}  // namespace

Housekeeping::Housekeeping(const HousekeepingParts& parts, std::chrono::seconds ca_ttl,
                           const Clock& clock, const Logger& log)
    : parts_(parts),
      system_([folder = parts.data_dir] { return RoomOf(folder); }, clock),
      tick_(std::min<Duration>(seconds(10), Duration(ca_ttl) / 60)),
      clock_(clock),
      log_(log),
      next_prune_(clock.SteadyNow()),
      next_cut_(clock.SteadyNow() + kCutInterval),
      last_turn_(clock.SteadyNow()) {
  thread_ = std::thread([this] { Run(); });
}

Housekeeping::~Housekeeping() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

SteadyTime Housekeeping::last_turn() const {
  std::lock_guard lock(mutex_);
  return last_turn_;
}

void Housekeeping::Run() {
  auto next_tick = clock_.SteadyNow();
  for (;;) {
    const auto now = clock_.SteadyNow();
    if (now >= next_tick) {
      parts_.health.Report("rotation of authorities", parts_.keeper.Tick());
      next_tick = now + tick_;
    }
    Turn(now);
    std::unique_lock lock(mutex_);
    last_turn_ = now;
    const auto pause = std::min<Duration>(tick_, seconds(1));
    if (wake_.wait_for(lock, pause, [this] { return stopping_; })) return;
  }
}

void Housekeeping::Turn(SteadyTime now) {
  // An attempt a second while it fails, and no more.
  const auto renewed = parts_.identity.Tick();
  if (!renewed) log_.Error("server SVID not renewed", {{"error", renewed.error().Message()}});
  parts_.health.Report("server SVID", renewed);
  const auto logged = parts_.log_keeper.Tick();
  if (!logged) log_.Error("the log was not kept", {{"error", logged.error().Message()}});
  parts_.health.Report("log", logged);
  parts_.health.Report("disk", system_.CheckDisk());
  parts_.health.Report("clock", system_.CheckClock());
  parts_.end_overdue_attestations();
  if (now >= next_prune_) {
    next_prune_ = now + kPruneInterval;
    Prune();
  }
  if (now >= next_cut_) {
    next_cut_ = now + kCutInterval;
    Cut();
  }
}

void Housekeeping::Prune() {
  const auto entries = parts_.registry.PruneExpiredEntries();
  Status status;
  if (!entries) {
    status = Fail(entries.error());
  } else {
    if (*entries > 0) log_.Info("expired entries removed", {{"count", *entries}});
    status = parts_.registry.PruneExpiredTokens();
    if (status) status = PruneNodes();
  }
  if (status) {
    const auto denials = parts_.registry.PruneDenials();
    if (!denials) status = Fail(denials.error());
  }
  if (!status) log_.Error("expired rows not removed", {{"error", status.error().Message()}});
  parts_.health.Report("removal of what has expired", status);
}

Status Housekeeping::PruneNodes() {
  SIGNET_TRY(const std::size_t count,
             identity::PruneNodes(parts_.registry, parts_.node_pruning, clock_.Now(), kPruneBatch));
  if (count > 0) log_.Info("expired agents removed", {{"count", count}});
  return {};
}

// Revoking an authority takes it out of the bundle, and what it signed with it.
bool Housekeeping::IsStillTrusted(const VerifiedCaller& peer) const {
  const BundlePtr own = parts_.registry.OwnBundle();
  return own && std::ranges::any_of(own->x509_authorities, [&](const X509BundleAuthority& each) {
           return each.certificate == peer.anchor;
         });
}

bool Housekeeping::MayStay(const VerifiedCaller& peer, std::set<std::string>* doubtful) const {
  const auto id = SpiffeId::Parse(peer.name);
  if (!id || !IsStillTrusted(peer)) return false;
  const bool denied = parts_.registry.IsDenied(*id, peer.chain.front().SerialHex());
  if (!IsAgentPath(id->path())) return !denied;
  const auto node = parts_.registry.FindNode(*id);
  if (node && !node->banned() && !denied) return true;
  doubtful->insert(peer.name);
  return !doubtful_.contains(peer.name);
}

void Housekeeping::Cut() {
  std::set<std::string> doubtful;
  // OwnBundleVerifier made them.
  const auto cut = parts_.front.CutWhere([&](const net::PeerIdentity& peer) {
    return !MayStay(static_cast<const VerifiedCaller&>(peer), &doubtful);
  });
  if (cut > 0) log_.Info("connections cut", {{"count", cut}});
  doubtful_ = std::move(doubtful);
}

}  // namespace signet::identity
