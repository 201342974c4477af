// bench_overload: one hostile agent beside well-behaved ones. Each of these asks signet-server for
// an SVID, a token and its entries in turn, a few times a second; the hostile one asks a hundred
// times as often (or as fast as it can), heeds no answer, and never pauses. What do the others
// notice?
//
//   bench_overload --bin build/release/bin --agents 20
//
// Quiet and loud times alternate on one server with its limits as they are by default. The hostile
// agent is a process of its own. Told: the latency of the others' calls in both, and what became of
// the hostile one's.
#include <CLI/CLI.hpp>
#include <atomic>
#include <condition_variable>
#include <iostream>
#include <mutex>
#include <random>

#include "spire/api/server/svid/v1/svid.grpc.pb.h"
#include "tools/bench/bench_client.h"
#include "tools/bench/bench_server.h"

namespace signet::bench {
namespace {

namespace svid_api = spire::api::server::svid::v1;
using Clock = std::chrono::steady_clock;
using std::chrono::duration;
using std::chrono::seconds;

struct Plan {
  std::string bin = ".";
  std::size_t agents = 20;
  double rate = 5;      // calls a second of each well-behaved agent
  double factor = 100;  // the hostile one's, of that; 0: as fast as it can
  double time = 10;     // seconds of a round
  int rounds = 3;
  // Of the hostile process.
  std::string hostile_token, address, file;
};

// What an agent may ask for, in turn.
class Asker {
 public:
  Asker(const std::shared_ptr<grpc::Channel>& channel, std::string entry)
      : svids_(svid_api::SVID::NewStub(channel)),
        entries_(entry_api::Entry::NewStub(channel)),
        entry_(std::move(entry)) {
    auto key = ca::PrivateKey::Generate(ca::KeyType::kEcP256);
    if (!key) Die("key: " + key.error().Message());
    const auto csr = ca::MakeRequest(*key);
    if (!csr) Die("request: " + csr.error().Message());
    csr_ = ToString(*csr);
  }
  svid_api::BatchNewX509SVIDRequest SvidRequest() const {
    svid_api::BatchNewX509SVIDRequest request;
    request.add_params()->set_entry_id(entry_);
    request.mutable_params(0)->set_csr(csr_);
    return request;
  }
  grpc::Status Ask(std::size_t turn) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + seconds(10));
    if (turn % 3 == 0) {
      svid_api::BatchNewX509SVIDResponse response;
      return svids_->BatchNewX509SVID(&context, SvidRequest(), &response);
    }
    if (turn % 3 == 1) {
      svid_api::NewJWTSVIDRequest request;
      request.set_entry_id(entry_);
      request.add_audience("bench");
      svid_api::NewJWTSVIDResponse response;
      return svids_->NewJWTSVID(&context, request, &response);
    }
    entry_api::GetAuthorizedEntriesResponse response;
    return entries_->GetAuthorizedEntries(&context, {}, &response);
  }
  svid_api::SVID::Stub& svids() { return *svids_; }

 private:
  const std::unique_ptr<svid_api::SVID::Stub> svids_;
  const std::unique_ptr<entry_api::Entry::Stub> entries_;
  const std::string entry_;
  std::string csr_;
};

// ---- The hostile process

// Calls without end, at most so many in flight, and their outcomes.
class Flood {
 public:
  explicit Flood(Asker& asker) : asker_(asker), request_(asker.SvidRequest()) {}

  // `rate` a second; 0: as fast as they are answered.
  void Run(double rate) {
    const auto begun = Clock::now();
    for (std::size_t sent = 0;; ++sent) {
      std::unique_lock lock(mutex_);
      room_.wait(lock, [&] { return in_flight_ < kMostInFlight; });
      ++in_flight_;
      lock.unlock();
      Send();
      if (rate > 0)
        std::this_thread::sleep_until(begun + duration<double>(static_cast<double>(sent) / rate));
      if (sent % 16 == 15) Tell();
    }
  }

 private:
  static constexpr std::size_t kMostInFlight = 250;
  struct Call {
    grpc::ClientContext context;
    svid_api::BatchNewX509SVIDResponse response;
  };
  void Send() {
    const auto call = std::make_shared<Call>();
    asker_.svids().async()->BatchNewX509SVID(&call->context, &request_, &call->response,
                                             [this, call](const grpc::Status& status) {
                                               const std::lock_guard lock(mutex_);
                                               ++(status.ok() ? served_ : refused_);
                                               --in_flight_;
                                               room_.notify_one();
                                             });
  }
  // The last line counts.
  void Tell() {
    const std::lock_guard lock(mutex_);
    std::cout << served_ << ' ' << refused_ << '\n' << std::flush;
  }

  Asker& asker_;
  const svid_api::BatchNewX509SVIDRequest request_;
  std::mutex mutex_;
  std::condition_variable room_;
  std::size_t in_flight_ = 0, served_ = 0, refused_ = 0;
};

void BeHostile(const Plan& plan) {
  const SystemClock clock;
  auto dialer = net::TlsDialer::Start(clock);
  if (!dialer) Die(dialer.error().Message());
  const auto address = net::Address::Parse(plan.address).value();
  const auto node = JoinNode(Dial(**dialer, address, std::nullopt), plan.hostile_token);
  std::ofstream(plan.file + ".part") << node.path;
  std::filesystem::rename(plan.file + ".part", plan.file);
  std::string entry;
  while (entry.empty()) {
    std::ifstream(plan.file + ".entry") >> entry;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  const auto channel = Dial(**dialer, address, node.identity);
  if (!channel) Die("the hostile agent was not let in");
  Asker asker(channel, entry);
  Flood flood(asker);
  flood.Run(plan.factor * plan.rate);
}

// ---- The others

struct Times {
  std::vector<double> milliseconds;
  std::size_t failed = 0;
};

// Each agent at its rate, from when each call was due.
Times AskFor(std::vector<std::unique_ptr<Asker>>& agents, const Plan& plan, unsigned seed) {
  Times all;
  std::mutex mutex;
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < agents.size(); ++i) {
    threads.emplace_back([&, i] {
      std::mt19937 random(seed + static_cast<unsigned>(i));
      std::exponential_distribution<> gap(plan.rate);
      Times own;
      auto due = Clock::now();
      const auto end = due + duration<double>(plan.time);
      for (std::size_t turn = i;; ++turn) {
        due += std::chrono::duration_cast<Clock::duration>(duration<double>(gap(random)));
        if (due >= end) break;
        std::this_thread::sleep_until(due);
        if (!agents[i]->Ask(turn).ok()) ++own.failed;
        own.milliseconds.push_back(duration<double>(Clock::now() - due).count() * 1e3);
      }
      const std::lock_guard lock(mutex);
      all.milliseconds.insert(all.milliseconds.end(), own.milliseconds.begin(),
                              own.milliseconds.end());
      all.failed += own.failed;
    });
  }
  for (std::thread& thread : threads) thread.join();
  return all;
}

std::string EntryOf(BenchServer& server, const std::string& path, const std::string& name) {
  server.admin().CreateEntries(path, "uid:1", {name});
  return server.admin().last_created();
}

// A hostile process that has attested, has an entry, and is at work until it is destroyed.
class Hostile {
 public:
  Hostile(BenchServer& server, const Plan& plan, int round) {
    const std::string file = fmt::format("{}/hostile-{}", server.folder(), round);
    output_ = file + ".out";
    child_.emplace(
        std::vector<std::string>{"/proc/self/exe", "--hostile-token", server.admin().CreateToken(),
                                 "--address", server.admin().ServerAddress(), "--file", file,
                                 "--rate", fmt::format("{}", plan.rate), "--factor",
                                 fmt::format("{}", plan.factor)},
        output_);
    MustAppear(file);
    std::string path;
    std::ifstream(file) >> path;
    const std::string entry = EntryOf(server, path, fmt::format("/hostile/{}", round));
    std::ofstream(file + ".part") << entry;
    std::filesystem::rename(file + ".part", file + ".entry");
    MustAnswer();
  }
  void AddCounts(double* served, double* refused) {
    child_->Kill();
    std::ifstream lines(output_);
    double a = 0, b = 0;
    while (lines >> a >> b) last_ = {a, b};
    *served += last_.first;
    *refused += last_.second;
  }

 private:
  // Until its first calls were made.
  void MustAnswer() {
    for (int i = 0; i < 1000 && std::filesystem::file_size(output_) == 0; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    if (std::filesystem::file_size(output_) == 0) Die("the hostile agent made no call");
  }
  std::string output_;
  std::optional<Child> child_;
  std::pair<double, double> last_;
};

void Print(const char* what, Times& times, double cpu) {
  auto& sorted = times.milliseconds;
  std::ranges::sort(sorted);
  fmt::print(
      "{:<8}p50 {:.2f} ms, p99 {:.2f} ms, max {:.1f} ms; {} calls, {} failed; server {:.1f} % "
      "of a core\n",
      what, Quantile(sorted, 0.5), Quantile(sorted, 0.99), sorted.back(), sorted.size(),
      times.failed, cpu);
}

void Measure(const Plan& plan) {
  const SystemClock clock;
  auto dialer = net::TlsDialer::Start(clock);
  if (!dialer) Die(dialer.error().Message());
  BenchServer server(plan.bin, "{attestation: false}");
  std::vector<std::unique_ptr<Asker>> agents;
  const auto anonymous = Dial(**dialer, server.address(), std::nullopt);
  for (std::size_t i = 0; i < plan.agents; ++i) {
    const auto node = JoinNode(anonymous, server.admin().CreateToken());
    agents.push_back(
        std::make_unique<Asker>(Dial(**dialer, server.address(), node.identity),
                                EntryOf(server, node.path, fmt::format("/well/{}", i))));
  }
  Times quiet, loud;
  double quiet_cpu = 0, loud_cpu = 0, served = 0, refused = 0;
  const auto measure = [&](int round, Times* into) {
    const double cpu = server.child().CpuSeconds();
    const Times times = AskFor(agents, plan, static_cast<unsigned>(round) * 1000);
    into->milliseconds.insert(into->milliseconds.end(), times.milliseconds.begin(),
                              times.milliseconds.end());
    into->failed += times.failed;
    return (server.child().CpuSeconds() - cpu) * 100 / (plan.time * plan.rounds);
  };
  for (int round = 0; round < plan.rounds; ++round) {
    quiet_cpu += measure(round, &quiet);
    Hostile hostile(server, plan, round);
    loud_cpu += measure(round, &loud);
    hostile.AddCounts(&served, &refused);
  }
  Print("quiet", quiet, quiet_cpu);
  Print("loud", loud, loud_cpu);
  const double time = plan.time * plan.rounds;
  fmt::print("hostile {:.0f} calls/s answered, {:.0f}/s refused; {:.0f}/s is one other's rate\n",
             served / time, refused / time, plan.rate);
  fmt::print("ratio   p50 {:.2f}, p99 {:.2f}\n",
             Quantile(loud.milliseconds, 0.5) / Quantile(quiet.milliseconds, 0.5),
             Quantile(loud.milliseconds, 0.99) / Quantile(quiet.milliseconds, 0.99));
}

}  // namespace
}  // namespace signet::bench

int main(int argc, char** argv) {
  CLI::App app("What well-behaved agents notice of one that asks a hundred times as much.");
  signet::bench::Plan plan;
  app.add_option("--bin", plan.bin, "Folder with signet-server");
  app.add_option("--agents", plan.agents, "Well-behaved agents");
  app.add_option("--rate", plan.rate, "Calls a second of each");
  app.add_option("--factor", plan.factor,
                 "The hostile agent's rate, of that; 0: as fast as it can");
  app.add_option("--time", plan.time, "Seconds of a round");
  app.add_option("--rounds", plan.rounds, "Rounds, quiet and loud");
  app.add_option("--hostile-token", plan.hostile_token)->group("");
  app.add_option("--address", plan.address)->group("");
  app.add_option("--file", plan.file)->group("");
  CLI11_PARSE(app, argc, argv);
  if (plan.hostile_token.empty())
    signet::bench::Measure(plan);
  else
    signet::bench::BeHostile(plan);
  return 0;
}
