// bench_fleet: a fleet of simulated agents on one real signet-server, speaking the real protocol:
// each attests with a join token, holds a TLS connection of its own with an open signet.sync.v1
// stream, and acknowledges what it applied.
//
//   bench_fleet --bin build/release/bin --agents 5000
//
// Told: attestations a second; what an attached agent costs at rest (CPU and memory of the server);
// how soon an entry reaches the one agent it concerns; how soon all have acknowledged a new
// authority, and an entry's way meanwhile; the same beside agents that never read; and how soon the
// fleet is whole again after the server was killed.
#include <grpcpp/support/client_callback.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <random>

#include "ca/crypto/digest.h"
#include "signet/sync/v1/sync.grpc.pb.h"
#include "spire/api/server/localauthority/v1/localauthority.grpc.pb.h"
#include "tools/bench/bench_client.h"
#include "tools/bench/bench_server.h"

namespace signet::bench {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::seconds;
namespace sync_api = signet::sync::v1;

double SecondsSince(Clock::time_point begun) {
  return std::chrono::duration<double>(Clock::now() - begun).count();
}

void AppendBigEndian(std::uint64_t value, int bytes, Bytes* out) {
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8)
    out->push_back(static_cast<std::uint8_t>(value >> shift));
}

// When something last happened to each agent, as the bench waits for it.
class Board {
 public:
  explicit Board(std::size_t agents) : entry_(agents), bundle_(agents), attached_(agents) {}

  // An agent applied a revision: `entries` in it, `authorities` in its bundle (0: none came).
  void Applied(std::size_t agent, std::size_t entries, int authorities) {
    const std::lock_guard lock(mutex_);
    const auto now = Clock::now();
    attached_[agent] = now;
    if (entries > 0) entry_[agent] = now;
    if (authorities > 0) bundle_[agent] = now;
    changed_.notify_all();
  }
  // Seconds from `since` until `agent` was sent an entry; negative: never within ten seconds.
  double AwaitEntry(std::size_t agent, Clock::time_point since) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, seconds(10), [&] { return entry_[agent] >= since; })) return -1;
    return std::chrono::duration<double>(entry_[agent] - since).count();
  }
  // Milliseconds from `since` until each of the first `agents` acknowledged a bundle, sorted.
  std::vector<double> AwaitBundles(std::size_t agents, Clock::time_point since) {
    return Await(bundle_, agents, since);
  }
  std::vector<double> AwaitAttached(std::size_t agents, Clock::time_point since) {
    return Await(attached_, agents, since);
  }

 private:
  using Times = std::vector<Clock::time_point>;
  std::vector<double> Await(const Times& times, std::size_t agents, Clock::time_point since) {
    std::unique_lock lock(mutex_);
    const auto all = [&] {
      return std::all_of(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(agents),
                         [&](const auto& at) { return at >= since; });
    };
    if (!changed_.wait_for(lock, seconds(180), all))
      Die("not all agents came within three minutes");
    std::vector<double> waited;
    for (std::size_t i = 0; i < agents; ++i)
      waited.push_back(std::chrono::duration<double>(times[i] - since).count() * 1e3);
    std::ranges::sort(waited);
    return waited;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  Times entry_, bundle_, attached_;
};

// One subscription of one agent: it reads (unless it is a mute one), applies and acknowledges.
class Subscription final
    : public grpc::ClientBidiReactor<sync_api::SubscribeRequest, sync_api::SubscribeResponse> {
 public:
  Subscription(std::shared_ptr<grpc::Channel> channel, std::size_t agent, Board& board, bool mute,
               std::function<void()> over)
      : channel_(std::move(channel)),
        agent_(agent),
        board_(board),
        mute_(mute),
        over_(std::move(over)) {
    sync_api::Sync::NewStub(channel_)->async()->Subscribe(&context_, this);
    request_.mutable_hello()->set_agent_version("bench");
    StartWrite(&request_);
    if (!mute_) StartRead(&response_);
    if (!mute_) AddHold();  // acknowledgements are written between reads
    StartCall();
  }
  void Cancel() { context_.TryCancel(); }

 private:
  void OnReadDone(bool ok) override {
    if (!ok) return RemoveHold();
    if (response_.has_batch()) Apply(response_.batch());
    StartRead(&response_);
  }
  void OnWriteDone(bool ok) override {
    const std::lock_guard lock(mutex_);
    if (ok && !pending_.empty()) {
      request_ = std::move(pending_.front());
      pending_.pop_front();
      StartWrite(&request_);
    } else {
      writing_ = false;
    }
  }
  void OnDone(const grpc::Status&) override { over_(); }

  void Apply(const sync_api::Batch& batch) {
    if (batch.full()) held_.clear();
    for (const auto& entry : batch.upserts())
      held_[entry.id()] = {static_cast<std::uint64_t>(entry.revision_number()),
                           static_cast<std::uint64_t>(entry.created_at())};
    for (const auto& id : batch.removed_entry_ids()) held_.erase(id);
    for (const auto& bundle : batch.bundles()) authorities_ = bundle.x509_authorities_size();
    entries_ += static_cast<std::size_t>(batch.upserts_size());
    if (!batch.last()) return;
    sync_api::SubscribeRequest applied;
    applied.mutable_applied()->set_revision(batch.revision());
    applied.mutable_applied()->set_digest(Digest());
    Write(std::move(applied));
    board_.Applied(agent_, std::exchange(entries_, 0), std::exchange(authorities_, 0));
  }
  std::string Digest() const {
    ca::Sha256Hasher hasher;
    for (const auto& [id, version] : held_) {
      Bytes row;
      AppendBigEndian(id.size(), 4, &row);
      row.insert(row.end(), id.begin(), id.end());
      AppendBigEndian(version.first, 8, &row);
      AppendBigEndian(version.second, 8, &row);
      hasher.Update(row);
    }
    return ToString(hasher.Finish());
  }
  void Write(sync_api::SubscribeRequest request) {
    const std::lock_guard lock(mutex_);
    if (writing_) {
      pending_.push_back(std::move(request));
    } else {
      writing_ = true;
      request_ = std::move(request);
      StartWrite(&request_);
    }
  }

  const std::shared_ptr<grpc::Channel> channel_;
  const std::size_t agent_;
  Board& board_;
  const bool mute_;
  const std::function<void()> over_;
  grpc::ClientContext context_;
  sync_api::SubscribeRequest request_;
  sync_api::SubscribeResponse response_;
  std::map<std::string, std::pair<std::uint64_t, std::uint64_t>> held_;
  std::size_t entries_ = 0;
  int authorities_ = 0;
  std::mutex mutex_;
  std::deque<sync_api::SubscribeRequest> pending_;
  bool writing_ = true;  // the Hello
};

// The agents, and the threads that bring back those whose stream has ended.
class Fleet {
 public:
  Fleet(net::TlsDialer& dialer, std::vector<JoinedNode> nodes, std::size_t mute)
      : dialer_(dialer),
        nodes_(std::move(nodes)),
        readers_(nodes_.size() - mute),
        board_(nodes_.size()),
        subscriptions_(nodes_.size()) {}
  ~Fleet() {
    {
      std::unique_lock lock(mutex_);
      stopping_ = true;
      for (const auto& subscription : subscriptions_)
        if (subscription) subscription->Cancel();
      changed_.wait(lock, [&] { return live_ == 0; });
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  void Attach(const net::Address& address) {
    {
      const std::lock_guard lock(mutex_);
      address_ = address;
      for (std::size_t i = 0; i < nodes_.size(); ++i) due_.emplace(Clock::now(), i);
    }
    for (int i = 0; i < 4; ++i) threads_.emplace_back([this] { Reconnect(); });
  }

  Board& board() { return board_; }
  std::size_t size() const { return nodes_.size(); }
  std::size_t readers() const { return readers_; }
  const std::string& path(std::size_t agent) const { return nodes_[agent].path; }

 private:
  // Full jitter, as signet-agent does.
  milliseconds Pause(std::size_t agent) {
    const double most = std::min(30.0, 0.5 * std::pow(2.0, failures_[agent]));
    return milliseconds(
        static_cast<int>(std::uniform_real_distribution<>(0, most * 1000)(random_)));
  }
  void Reconnect() {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
      if (due_.empty() || due_.begin()->first > Clock::now()) {
        // Those of the last pause: their reactions have returned by now. They hold descriptors.
        std::vector<std::unique_ptr<Subscription>> gone = std::exchange(buried_, std::move(ended_));
        ended_.clear();
        changed_.wait_for(lock, milliseconds(20));
        lock.unlock();
        gone.clear();
        lock.lock();
        continue;
      }
      const std::size_t agent = due_.begin()->second;
      due_.erase(due_.begin());
      lock.unlock();
      auto channel = Dial(dialer_, address_, nodes_[agent].identity);
      lock.lock();
      if (stopping_) return;
      if (!channel) {
        due_.emplace(Clock::now() + Pause(agent), agent);
        ++failures_[agent];
        continue;
      }
      ++live_;
      subscriptions_[agent] = std::make_unique<Subscription>(
          std::move(channel), agent, board_, agent >= readers_, [this, agent] { Over(agent); });
    }
  }
  void Over(std::size_t agent) {
    const std::lock_guard lock(mutex_);
    --live_;
    failures_[agent] = 0;
    ended_.push_back(std::move(subscriptions_[agent]));  // not destroyed in its own reaction
    if (!stopping_) due_.emplace(Clock::now() + Pause(agent), agent);
    changed_.notify_all();
  }

  net::TlsDialer& dialer_;
  const std::vector<JoinedNode> nodes_;
  const std::size_t readers_;
  Board board_;
  std::mutex mutex_;
  std::condition_variable changed_;
  net::Address address_;
  std::multimap<Clock::time_point, std::size_t> due_;
  std::map<std::size_t, int> failures_;
  std::mt19937 random_{7};
  std::vector<std::unique_ptr<Subscription>> subscriptions_;
  std::vector<std::unique_ptr<Subscription>> ended_, buried_;
  std::size_t live_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

struct Plan {
  std::string bin = ".";
  std::size_t agents = 5000;
  std::size_t mute = 50;
  int rounds = 200;
  double idle = 20;
};

std::vector<JoinedNode> Join(BenchServer& issuer, net::TlsDialer& dialer, std::size_t agents) {
  constexpr int kThreads = 8;
  std::vector<std::string> tokens;
  for (std::size_t i = 0; i < agents; ++i) tokens.push_back(issuer.admin().CreateToken());
  std::vector<JoinedNode> nodes(agents);
  std::atomic<std::size_t> next = 0;
  const auto begun = Clock::now();
  const double cpu = issuer.child().CpuSeconds();
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      std::shared_ptr<grpc::Channel> channel;
      for (std::size_t i = next++, made = 0; i < agents; i = next++, ++made) {
        if (made % 50 == 0) channel = Dial(dialer, issuer.address(), std::nullopt);
        if (!channel) Die("an anonymous connection was refused");
        nodes[i] = JoinNode(channel, tokens[i]);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  fmt::print(
      "attest      {} agents, {:.0f}/s with {} at a time (their keys made here), server CPU {:.0f} "
      "us each\n",
      agents, static_cast<double>(agents) / SecondsSince(begun), kThreads,
      (issuer.child().CpuSeconds() - cpu) * 1e6 / static_cast<double>(agents));
  return nodes;
}

void PrintQuantiles(const char* what, std::vector<double> milliseconds_taken) {
  std::ranges::sort(milliseconds_taken);
  fmt::print("{:<12}p50 {:.1f} ms, p99 {:.1f} ms, max {:.1f} ms ({} samples)\n", what,
             Quantile(milliseconds_taken, 0.5), Quantile(milliseconds_taken, 0.99),
             milliseconds_taken.back(), milliseconds_taken.size());
}

// An entry for one agent at random, and its way there.
std::vector<double> SendEntries(BenchServer& issuer, Fleet& fleet, int rounds,
                                const std::string& name, const std::atomic<bool>& stop) {
  std::mt19937 random(11);
  std::vector<double> taken;
  for (int i = 0; i < rounds && !stop; ++i) {
    const std::size_t agent = random() % fleet.readers();
    const auto begun = Clock::now();
    issuer.admin().CreateEntries(fleet.path(agent), "uid:1", {fmt::format("/{}/{}", name, i)});
    const double waited = fleet.board().AwaitEntry(agent, begun);
    if (waited < 0) Die("an entry never came");
    taken.push_back(waited * 1e3);
  }
  return taken;
}

void NewAuthority(BenchServer& issuer, Fleet& fleet, const char* what) {
  namespace authority_api = spire::api::server::localauthority::v1;
  std::atomic<bool> stop = false;
  std::vector<double> meanwhile;
  std::thread entries([&] { meanwhile = SendEntries(issuer, fleet, 100'000, what, stop); });
  std::this_thread::sleep_for(milliseconds(200));
  const double cpu = issuer.child().CpuSeconds();
  const auto begun = Clock::now();
  grpc::ClientContext context;
  authority_api::PrepareX509AuthorityResponse response;
  Must(authority_api::LocalAuthority::NewStub(issuer.admin().channel())
           ->PrepareX509Authority(&context, {}, &response),
       "PrepareX509Authority");
  const auto taken = fleet.board().AwaitBundles(fleet.readers(), begun);
  const double used = issuer.child().CpuSeconds() - cpu;
  stop = true;
  entries.join();
  PrintQuantiles(what, taken);
  fmt::print("            server CPU {:.0f} us per agent\n",
             used * 1e6 / static_cast<double>(fleet.readers()));
  if (!meanwhile.empty()) PrintQuantiles("  meanwhile", meanwhile);
}

void Measure(const Plan& plan) {
  const SystemClock clock;
  auto dialer = net::TlsDialer::Start(clock);
  if (!dialer) Die(dialer.error().Message());
  BenchServer issuer(plan.bin);
  const std::atomic<bool> never = false;
  auto nodes = Join(issuer, **dialer, plan.agents);
  const double empty = issuer.child().ResidentMegabytes();
  Fleet fleet(**dialer, std::move(nodes), 0);
  auto begun = Clock::now();
  fleet.Attach(issuer.address());
  fleet.board().AwaitAttached(fleet.size(), begun);
  fmt::print("attach      {:.1f} s for all\n", SecondsSince(begun));
  std::this_thread::sleep_for(seconds(3));
  fmt::print("at rest     {:.1f} MB before, {:.1f} MB with all: {:.1f} kB an agent\n", empty,
             issuer.child().ResidentMegabytes(),
             (issuer.child().ResidentMegabytes() - empty) * 1e3 / static_cast<double>(plan.agents));
  const double cpu = issuer.child().CpuSeconds();
  begun = Clock::now();
  std::this_thread::sleep_for(std::chrono::duration<double>(plan.idle));
  fmt::print("            {:.2f} % of a core\n",
             (issuer.child().CpuSeconds() - cpu) * 100 / SecondsSince(begun));
  PrintQuantiles("entry", SendEntries(issuer, fleet, plan.rounds, "alone", never));
  NewAuthority(issuer, fleet, "authority");

  begun = Clock::now();
  issuer.KillAndStart();
  const auto back = fleet.board().AwaitAttached(fleet.size(), begun);
  fmt::print(
      "restart     killed; all agents in step again after {:.1f} s (p50 {:.1f} s), server CPU "
      "{:.0f} us per agent\n",
      back.back() / 1e3, Quantile(back, 0.5) / 1e3,
      issuer.child().CpuSeconds() * 1e6 / static_cast<double>(plan.agents));
}

// A fleet of its own: mute agents hold what was sent to them in the server.
void MeasureBesideMute(const Plan& plan) {
  const SystemClock clock;
  auto dialer = net::TlsDialer::Start(clock);
  if (!dialer) Die(dialer.error().Message());
  BenchServer issuer(plan.bin);
  const std::atomic<bool> never = false;
  const std::size_t agents = std::min<std::size_t>(plan.agents, 500);
  Fleet fleet(**dialer, Join(issuer, **dialer, agents + plan.mute), plan.mute);
  const auto begun = Clock::now();
  fleet.Attach(issuer.address());
  fleet.board().AwaitAttached(fleet.readers(), begun);
  std::this_thread::sleep_for(seconds(2));
  const double before = issuer.child().ResidentMegabytes();
  // Each entry concerns a mute agent too: it is sent to it, or kept for it.
  for (int i = 0; i < 200; ++i) {
    const std::size_t mute = fleet.readers() + static_cast<std::size_t>(i) % plan.mute;
    std::vector<std::string> paths;
    for (int j = 0; j < 50; ++j) paths.push_back(fmt::format("/mute/{}/{}", i, j));
    issuer.admin().CreateEntries(fleet.path(mute), "uid:1", paths);
  }
  PrintQuantiles("beside mute", SendEntries(issuer, fleet, plan.rounds, "beside", never));
  fmt::print(
      "            {} of {} agents never read: server {:+.1f} MB after 10,000 entries for them\n",
      plan.mute, fleet.size(), issuer.child().ResidentMegabytes() - before);
}

}  // namespace
}  // namespace signet::bench

int main(int argc, char** argv) {
  CLI::App app("What a fleet of agents costs signet-server, and how fast it is told of a change.");
  signet::bench::Plan plan;
  app.add_option("--bin", plan.bin, "Folder with signet-server");
  app.add_option("--agents", plan.agents,
                 "Simulated agents (three descriptors each, here and there)");
  app.add_option("--mute", plan.mute, "Agents that never read, in a run of their own; 0: none");
  app.add_option("--rounds", plan.rounds, "Entries sent to one agent each");
  app.add_option("--idle", plan.idle, "Seconds at rest");
  CLI11_PARSE(app, argc, argv);
  signet::bench::Measure(plan);
  if (plan.mute > 0) signet::bench::MeasureBesideMute(plan);
  return 0;
}
