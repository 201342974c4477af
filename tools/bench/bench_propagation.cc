// bench_propagation: how long from an entry created over the admin socket to its SVID on a
// workload's open Workload API stream, with real signet-server and signet-agent processes it
// starts.
#include <CLI/CLI.hpp>
#include <condition_variable>
#include <map>
#include <mutex>

#include "spiffe/workload.grpc.pb.h"
#include "tools/bench/bench_node.h"

namespace signet::bench {
namespace {

using Clock = std::chrono::steady_clock;

// A connection that is shared with nobody.
std::shared_ptr<grpc::Channel> OwnChannel(const std::string& socket) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel("unix:" + socket, grpc::InsecureChannelCredentials(), arguments);
}

// The workload: one open stream, and when each SPIFFE ID was first seen on it.
class Workload {
 public:
  explicit Workload(const std::string& socket)
      : channel_(OwnChannel(socket)), thread_([this] { Read(); }) {}
  ~Workload() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
      if (context_ != nullptr) context_->TryCancel();
    }
    thread_.join();
  }
  Clock::time_point Await(const std::string& id) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, std::chrono::seconds(30), [&] { return seen_.contains(id); }))
      Die(id + " never came");
    return seen_[id];
  }

 private:
  void Read() {
    while (true) {
      grpc::ClientContext context;
      context.AddMetadata("workload.spiffe.io", "true");
      {
        const std::lock_guard lock(mutex_);
        if (stopping_) return;
        context_ = &context;
      }
      const auto stub = SpiffeWorkloadAPI::NewStub(channel_);
      const auto stream = stub->FetchX509SVID(&context, X509SVIDRequest());
      X509SVIDResponse response;
      while (stream->Read(&response)) {
        const auto now = Clock::now();
        const std::lock_guard lock(mutex_);
        for (const X509SVID& svid : response.svids()) seen_.emplace(svid.spiffe_id(), now);
        changed_.notify_all();
      }
      stream->Finish();
      const std::lock_guard lock(mutex_);
      context_ = nullptr;
    }
  }
  std::shared_ptr<grpc::Channel> channel_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, Clock::time_point> seen_;
  grpc::ClientContext* context_ = nullptr;
  bool stopping_ = false;
  std::thread thread_;
};

struct Plan {
  std::string bin = ".";
  int rounds = 200;
  int others = 0;
  int streams = 0;
};

int Run(const Plan& plan) {
  std::vector<double> milliseconds;
  Node node(plan.bin, {});
  std::vector<std::string> others;
  for (int i = 0; i < plan.others; ++i) others.push_back(fmt::format("/other/{}", i));
  for (std::size_t i = 0; i < others.size(); i += 50)
    node.admin().CreateEntries(
        node.parent(), "uid:4294967294",
        {others.begin() + static_cast<std::ptrdiff_t>(i),
         others.begin() + static_cast<std::ptrdiff_t>(std::min(i + 50, others.size()))});
  const std::string mine = fmt::format("uid:{}", geteuid());
  node.admin().CreateEntries(node.parent(), mine, {"/always"});
  std::vector<std::unique_ptr<Workload>> attached;
  for (int i = 0; i < plan.streams; ++i)
    attached.push_back(std::make_unique<Workload>(node.socket()));
  Workload workload(node.socket());
  workload.Await("spiffe://example.org/always");
  for (const auto& one : attached) one->Await("spiffe://example.org/always");
  const double cpu_before = node.agent().CpuSeconds(), server_before = node.server().CpuSeconds();
  for (int i = 0; i < plan.rounds; ++i) {
    const std::string path = fmt::format("/w/{}", i);
    const auto begun = Clock::now();
    node.admin().CreateEntries(node.parent(), mine, {path});
    const auto seen = workload.Await("spiffe://example.org" + path);
    milliseconds.push_back(std::chrono::duration<double, std::milli>(seen - begun).count());
    node.admin().DeleteEntries(1);
  }
  const double rounds = plan.rounds;
  std::sort(milliseconds.begin(), milliseconds.end());
  fmt::print(
      "entry created -> SVID on the open stream, {} rounds, {} other entries, {} other streams\n",
      plan.rounds, plan.others, plan.streams);
  fmt::print(
      "p50 {:.1f} ms  p90 {:.1f} ms  p99 {:.1f} ms  max {:.1f} ms  (bar: p50 <= 50, p99 <= 250)\n",
      Quantile(milliseconds, 0.5), Quantile(milliseconds, 0.9), Quantile(milliseconds, 0.99),
      milliseconds.back());
  fmt::print("CPU per round: agent {:.2f} ms, server {:.2f} ms; agent memory {:.1f} MB\n",
             1000 * (node.agent().CpuSeconds() - cpu_before) / rounds,
             1000 * (node.server().CpuSeconds() - server_before) / rounds,
             node.agent().ResidentMegabytes());
  return Quantile(milliseconds, 0.5) <= 50 && Quantile(milliseconds, 0.99) <= 250 ? 0 : 1;
}

}  // namespace
}  // namespace signet::bench

int main(int argc, char** argv) {
  CLI::App app(
      "Entry created -> SVID on a workload's open stream; exit code 1 when the bar is missed");
  signet::bench::Plan plan;
  plan.bin = std::filesystem::path(argv[0]).parent_path().string();
  app.add_option("--bin", plan.bin, "Folder of signet-server and signet-agent")
      ->capture_default_str();
  app.add_option("--rounds", plan.rounds, "Entries created, one after another")
      ->capture_default_str();
  app.add_option("--others", plan.others, "Entries of other workloads on the same agent")
      ->capture_default_str();
  app.add_option("--streams", plan.streams, "Other workloads of the same user with an open stream")
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  return signet::bench::Run(plan);
}
