#include "agent/workload/attestor_set.h"

#include <fcntl.h>

#include <algorithm>
#include <condition_variable>
#include <optional>
#include <utility>

namespace signet::agent {
namespace {

constexpr std::size_t kThreadsPerAttestor = 4;
constexpr std::size_t kQueuePerAttestor = 2048;
constexpr std::uint32_t kLinesPerSecond = 2;

const std::vector<double> kLatencyBounds = {0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005,
                                            0.01,    0.025,  0.1,     0.5,    1,     5};

net::PeerCredentials Duplicate(const net::PeerCredentials& peer) {
  net::PeerCredentials copy;
  copy.pid = peer.pid;
  copy.uid = peer.uid;
  copy.gid = peer.gid;
  copy.pidfd.Reset(fcntl(peer.pidfd.get(), F_DUPFD_CLOEXEC, 0));
  copy.start_time = peer.start_time;
  return copy;
}

}  // namespace

struct AttestorSet::Call {
  Call(net::PeerCredentials p, SteadyTime d) : peer(std::move(p)), deadline(d) {}
  const net::PeerCredentials peer;
  const SteadyTime deadline;
  std::mutex mutex;
  std::condition_variable changed;
  std::optional<Selectors> answer;

  void Finish(Selectors selectors) {
    {
      const std::lock_guard lock(mutex);
      answer = std::move(selectors);
    }
    changed.notify_one();
  }
};

AttestorSet::Member::Member(std::string name, const Clock& clock, Metrics& metrics)
    : latency(metrics.Histogram("signet_agent_attestation_seconds",
                                "How long attestors took for a caller", kLatencyBounds,
                                {{"attestor", name}})),
      failed(metrics.Counter("signet_agent_attestor_failures_total",
                             "Callers an attestor could not say anything of",
                             {{"attestor", name}})),
      lines(clock, kLinesPerSecond),
      record{std::move(name), 0, {}} {}

AttestorSet::AttestorSet(UnixAttestor& unix_attestor,
                         std::vector<std::unique_ptr<WorkloadAttestor>> others, Duration timeout,
                         const Clock& clock, const Logger& log, Metrics& metrics)
    : unix_attestor_(unix_attestor),
      others_(std::move(others)),
      timeout_(timeout),
      clock_(clock),
      log_(log),
      pool_(kThreadsPerAttestor * others_.size(), kQueuePerAttestor * others_.size()) {
  members_.push_back(std::make_unique<Member>("unix", clock, metrics));
  for (const auto& other : others_)
    members_.push_back(std::make_unique<Member>(std::string(other->name()), clock, metrics));
}

AttestorSet::~AttestorSet() { pool_.Stop(); }

std::vector<AttestorRecord> AttestorSet::Records() const {
  const std::lock_guard lock(mutex_);
  std::vector<AttestorRecord> records;
  for (const auto& member : members_) records.push_back(member->record);
  return records;
}

void AttestorSet::Note(Member& member, const net::PeerCredentials& peer, const Error* error) {
  // A caller that went away is nobody's failure.
  if (error != nullptr && !net::IsAlive(peer)) return;
  {
    const std::lock_guard lock(mutex_);
    member.record.failures = error != nullptr ? member.record.failures + 1 : 0;
    member.record.error = error != nullptr ? error->Message() : std::string();
  }
  if (error == nullptr) return;
  member.failed.Add();
  if (const auto left_out = member.lines.Admit())
    log_.Warn("a workload attestor failed; the others are asked all the same",
              {{"attestor", member.record.name},
               {"pid", peer.pid},
               {"uid", peer.uid},
               {"error", error->Message()},
               {"not_listed_before", *left_out}});
}

std::shared_ptr<AttestorSet::Call> AttestorSet::Begin(std::size_t index,
                                                      const net::PeerCredentials& peer,
                                                      SteadyTime deadline) {
  auto call = std::make_shared<Call>(Duplicate(peer), deadline);
  const bool taken = pool_.Submit([this, index, call] {
    const SteadyTime begun = clock_.SteadyNow();
    Selectors selectors = others_[index]->Attest(call->peer, call->deadline);
    members_[index + 1]->latency.Observe(
        std::chrono::duration<double>(clock_.SteadyNow() - begun).count());
    call->Finish(std::move(selectors));
  });
  if (!taken) call->Finish(Fail(Code::kUnavailable, kAttestorBusy));
  return call;
}

AttestorSet::Selectors AttestorSet::Await(Call& call) const {
  std::unique_lock lock(call.mutex);
  const Duration left = std::max(call.deadline - clock_.SteadyNow(), Duration::zero());
  call.changed.wait_for(lock, left, [&] { return call.answer.has_value(); });
  if (!call.answer) return Fail(Code::kDeadlineExceeded, kAttestorLate, FormatDuration(timeout_));
  return std::move(*call.answer);
}

Result<identity::SelectorSet> AttestorSet::Attest(const net::PeerCredentials& peer) {
  const SteadyTime begun = clock_.SteadyNow();
  std::vector<std::shared_ptr<Call>> calls;
  for (std::size_t i = 0; i < others_.size(); ++i)
    calls.push_back(Begin(i, peer, begun + timeout_));
  auto held = unix_attestor_.Attest(peer);
  Member& first = *members_.front();
  first.latency.Observe(std::chrono::duration<double>(clock_.SteadyNow() - begun).count());
  Note(first, peer, held ? nullptr : &held.error());
  if (!held || calls.empty()) return held;
  std::vector<identity::Selector> selectors(held->begin(), held->end());
  for (std::size_t i = 0; i < calls.size(); ++i) {
    const Selectors more = Await(*calls[i]);
    Note(*members_[i + 1], peer, more ? nullptr : &more.error());
    if (more) selectors.insert(selectors.end(), more->begin(), more->end());
  }
  if (!net::IsAlive(peer)) return Fail(Code::kUnavailable, kCallerGone);
  return identity::MakeSelectorSet(std::move(selectors));
}

}  // namespace signet::agent
