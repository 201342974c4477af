// bench_agent: what an agent costs on its node, with real signet-server and signet-agent processes
// it starts: memory idle, per SVID and per open stream; the first answer on a warm and on a new
// connection, closed loop and at a steady rate; 1,000 workloads that come back at once; a restart
// without a server; all SVIDs minted anew as their authority is tainted.
#include <CLI/CLI.hpp>
#include <atomic>
#include <condition_variable>
#include <mutex>

#include "spiffe/workload.grpc.pb.h"
#include "spire/api/server/localauthority/v1/localauthority.grpc.pb.h"
#include "tools/bench/bench_node.h"
#include "tools/bench/scrape.h"

namespace signet::bench {
namespace {

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::duration<double, std::milli>;
namespace authority_api = spire::api::server::localauthority::v1;

double Since(Clock::time_point begun) { return Milliseconds(Clock::now() - begun).count(); }

std::shared_ptr<grpc::Channel> OwnChannel(const std::string& socket) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetMaxReceiveMessageSize(-1);
  return grpc::CreateCustomChannel("unix:" + socket, grpc::InsecureChannelCredentials(), arguments);
}

// One FetchX509SVID stream that counts its first message.
class Stream final : public grpc::ClientReadReactor<X509SVIDResponse> {
 public:
  Stream(const std::shared_ptr<grpc::Channel>& channel, std::atomic<int>* served)
      : channel_(channel), stub_(SpiffeWorkloadAPI::NewStub(channel)), served_(*served) {
    context_.AddMetadata("workload.spiffe.io", "true");
    stub_->async()->FetchX509SVID(&context_, &request_, this);
    StartRead(&response_);
    StartCall();
  }
  ~Stream() override {
    context_.TryCancel();
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return done_; });
  }

 private:
  void OnReadDone(bool ok) override {
    if (!ok) return;
    if (!std::exchange(counted_, true)) ++served_;
    response_ = X509SVIDResponse();
    StartRead(&response_);
  }
  void OnDone(const grpc::Status&) override {
    const std::lock_guard lock(mutex_);
    done_ = true;
    changed_.notify_all();
  }
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<SpiffeWorkloadAPI::Stub> stub_;
  std::atomic<int>& served_;
  grpc::ClientContext context_;
  X509SVIDRequest request_;
  X509SVIDResponse response_;
  bool counted_ = false;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool done_ = false;
};

// The first answer, or death.
double FetchOnce(const std::shared_ptr<grpc::Channel>& channel) {
  const auto begun = Clock::now();
  grpc::ClientContext context;
  context.AddMetadata("workload.spiffe.io", "true");
  const auto reader = SpiffeWorkloadAPI::NewStub(channel)->FetchX509SVID(&context, {});
  X509SVIDResponse response;
  if (!reader->Read(&response)) Die("no answer: " + reader->Finish().error_message());
  const double took = Since(begun);
  context.TryCancel();
  reader->Finish();
  return took;
}

class Bench {
 public:
  Bench(const std::string& bin, int svids, int streams)
      : svids_(svids),
        streams_(streams),
        port_(FreePort()),
        node_(bin, fmt::format("metrics: 127.0.0.1:{}\nlimits: {{svids: 100000, "
                               "connections_per_user: 8000}}\n",
                               port_)) {}

  void Run() {
    Idle();
    Fill();
    Latency();
    Crowd();
    Taint();
    Restart();
  }

 private:
  static constexpr const char* kMinted = "signet_agent_svids_minted_total";

  void AwaitMinted(double count) const {
    const auto begun = Clock::now();
    while (Metric(port_, kMinted) < count) {
      if (Since(begun) > 120'000) Die("SVIDs are not minted");
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }
  // Memory once nothing changes any more, and the agent has given back what it can.
  double Memory() const {
    std::this_thread::sleep_for(std::chrono::seconds(4));
    return node_.agent().ResidentMegabytes();
  }

  void Idle() {
    const std::string mine = fmt::format("uid:{}", geteuid());
    node_.admin().CreateEntries(node_.parent(), mine, {"/mine"});
    AwaitMinted(1);
    fmt::print("memory idle, 1 SVID: {:.1f} MB\n", Memory());
  }

  void Fill() {
    const double cpu = node_.agent().CpuSeconds(), server = node_.server().CpuSeconds();
    const auto begun = Clock::now();
    std::vector<std::string> paths;
    for (int i = 1; i < svids_; ++i) {
      paths.push_back(fmt::format("/other/{}", i));
      if (paths.size() < 50 && i + 1 < svids_) continue;
      node_.admin().CreateEntries(node_.parent(), "uid:4294967294", paths);
      paths.clear();
    }
    AwaitMinted(svids_);
    fmt::print("{} entries created and minted in {:.1f} s; CPU agent {:.2f} s, server {:.2f} s\n",
               svids_, Since(begun) / 1000, node_.agent().CpuSeconds() - cpu,
               node_.server().CpuSeconds() - server);
    full_ = Memory();
    fmt::print("memory with {} SVIDs: {:.1f} MB\n", svids_, full_);
  }

  void Print(const char* what, std::vector<double> milliseconds, double cpu) const {
    std::sort(milliseconds.begin(), milliseconds.end());
    fmt::print("{}: p50 {:.0f} us  p99 {:.0f} us; agent CPU {:.0f} us a call\n", what,
               1000 * Quantile(milliseconds, 0.5), 1000 * Quantile(milliseconds, 0.99),
               1e6 * cpu / static_cast<double>(milliseconds.size()));
  }

  void Latency() {
    const auto measure = [&](const char* what, int count, const auto& call) {
      std::vector<double> milliseconds;
      const double cpu = node_.agent().CpuSeconds();
      for (int i = 0; i < count; ++i) milliseconds.push_back(call());
      Print(what, std::move(milliseconds), node_.agent().CpuSeconds() - cpu);
    };
    const auto warm = OwnChannel(node_.socket());
    FetchOnce(warm);
    measure("first answer, warm connection", 2000, [&] { return FetchOnce(warm); });
    measure("first answer, new connection", 1000, [&] {
      const auto begun = Clock::now();
      FetchOnce(OwnChannel(node_.socket()));
      return Since(begun);
    });
    auto due = Clock::now();
    measure("first answer, new connection, 200 a second (from when it was due)", 1000, [&] {
      due += std::chrono::milliseconds(5);
      std::this_thread::sleep_until(due);
      const auto begun = due;
      FetchOnce(OwnChannel(node_.socket()));
      return Since(begun);
    });
    fmt::print("memory at work: {:.1f} MB\n", node_.agent().ResidentMegabytes());
  }

  // `streams_` workloads, each with a connection of its own.
  void Crowd() {
    const double before = Memory();
    const double cpu = node_.agent().CpuSeconds();
    std::atomic<int> served{0};
    const auto begun = Clock::now();
    std::vector<std::unique_ptr<Stream>> streams;
    for (int i = 0; i < streams_; ++i)
      streams.push_back(std::make_unique<Stream>(OwnChannel(node_.socket()), &served));
    while (served < streams_) {
      if (Since(begun) > 60'000) Die(fmt::format("{} of {} served", served.load(), streams_));
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    const double took = Since(begun) / 1000, used = node_.agent().CpuSeconds() - cpu;
    fmt::print("{} workloads at once: all served in {:.2f} s, {:.2f} s of agent CPU\n", streams_,
               took, used);
    fmt::print("memory per open stream, connection included: {:.1f} kB\n",
               1000 * (Memory() - before) / streams_);
  }

  void Taint() {
    auto stub = authority_api::LocalAuthority::NewStub(node_.admin().channel());
    grpc::ClientContext one, two, three, four;
    authority_api::GetX509AuthorityStateResponse state;
    Must(stub->GetX509AuthorityState(&one, {}, &state), "GetX509AuthorityState");
    authority_api::PrepareX509AuthorityResponse prepared;
    Must(stub->PrepareX509Authority(&two, {}, &prepared), "PrepareX509Authority");
    std::this_thread::sleep_for(std::chrono::seconds(1));  // the agent acknowledges it
    authority_api::ActivateX509AuthorityRequest activate;
    activate.set_authority_id(prepared.prepared_authority().authority_id());
    authority_api::ActivateX509AuthorityResponse activated;
    Must(stub->ActivateX509Authority(&three, activate, &activated), "ActivateX509Authority");
    const double minted = Metric(port_, kMinted);
    const double cpu = node_.agent().CpuSeconds(), server = node_.server().CpuSeconds();
    const auto begun = Clock::now();
    authority_api::TaintX509AuthorityRequest taint;
    taint.set_authority_id(state.active().authority_id());
    authority_api::TaintX509AuthorityResponse tainted;
    Must(stub->TaintX509Authority(&four, taint, &tainted), "TaintX509Authority");
    AwaitMinted(minted + svids_);
    fmt::print(
        "{} SVIDs minted anew after a taint in {:.1f} s; CPU agent {:.2f} s, server {:.2f} s\n",
        svids_, Since(begun) / 1000, node_.agent().CpuSeconds() - cpu,
        node_.server().CpuSeconds() - server);
    fmt::print("memory after it: {:.1f} MB\n", Memory());
  }

  void Restart() {
    node_.EndServer();
    node_.KillAgent();
    std::filesystem::remove(node_.socket());
    const auto begun = Clock::now();
    node_.StartAgent();
    FetchOnce(OwnChannel(node_.socket()));
    fmt::print("killed, started without a server, first SVID served after {:.0f} ms\n",
               Since(begun));
  }

  const int svids_;
  const int streams_;
  const int port_;
  Node node_;
  double full_ = 0;
};

}  // namespace
}  // namespace signet::bench

int main(int argc, char** argv) {
  CLI::App app("What an agent costs on its node: memory, latency, crowds, rotation, restart");
  std::string bin = std::filesystem::path(argv[0]).parent_path().string();
  int svids = 1000, streams = 1000;
  app.add_option("--bin", bin, "Folder of signet-server and signet-agent")->capture_default_str();
  app.add_option("--svids", svids, "Entries, each with an SVID")->capture_default_str();
  app.add_option("--streams", streams, "Workloads that come at once")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  signet::bench::Bench(bin, svids, streams).Run();
  return 0;
}
