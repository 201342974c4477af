// bench_rotation: the worst day on real programs. Agents hold thousands of SVIDs, and connections
// are made by mutual TLS all the while, between a client and a server that live by the Workload
// API of different agents: an authority is prepared, activated, tainted and, when all SVIDs below
// it are minted anew, revoked. How long that takes, and how many handshakes fail.
#include <CLI/CLI.hpp>
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <mutex>

#include "identity/workload/agent_channel.h"
#include "identity/workload/expected_peer.h"
#include "identity/workload/workload_response.h"
#include "net/tls_front.h"
#include "spiffe/workload.grpc.pb.h"
#include "spire/api/server/localauthority/v1/localauthority.grpc.pb.h"
#include "tools/bench/bench_node.h"
#include "tools/bench/scrape.h"

namespace signet::bench {
namespace {

using Steady = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;
namespace authority_api = spire::api::server::localauthority::v1;

constexpr const char* kMinted = "signet_agent_svids_minted_total";

template <class T>
T Must(Result<T> result, const char* what) {
  if (!result) Die(fmt::format("{}: {}", what, result.error().Message()));
  return std::move(*result);
}
using bench::Must;

double Since(Steady::time_point begun) { return Seconds(Steady::now() - begun).count(); }

// An agent more on the server of a Node.
class Agent {
 public:
  Agent(const std::string& bin, Node& node, int number)
      : port_(FreePort()), socket_(node.File(fmt::format("api{}.sock", number))) {
    const std::string config = node.File(fmt::format("agent{}.yaml", number));
    std::ofstream(config) << "trust_domain: example.org\ndata_dir: "
                          << node.File(fmt::format("agent{}", number))
                          << "\nserver: " << node.admin().ServerAddress() << "\nsocket: " << socket_
                          << "\ntrust_bundle: " << node.File("bundle.pem")
                          << "\nlog: {level: warn}\nmetrics: 127.0.0.1:" << port_
                          << "\nlimits: {svids: 100000}\n";
    child_.emplace(std::vector<std::string>{bin + "/signet-agent", "run", "--config", config,
                                            "--join-token", node.admin().CreateToken()},
                   node.File("log"));
    MustAppear(socket_);
  }
  double Minted() const { return Metric(port_, kMinted); }
  double CpuSeconds() const { return child_->CpuSeconds(); }
  const std::string& socket() const { return socket_; }

 private:
  const int port_;
  const std::string socket_;
  std::optional<Child> child_;
};

// A workload: the newest answer of its agent's FetchX509SVID, as a TLS context of one role.
class Workload {
 public:
  Workload(const std::string& socket, net::TlsRole role, const Clock& clock)
      : role_(role), clock_(clock), channel_(identity::DialAgent(socket, 16 << 20)) {
    context_.AddMetadata("workload.spiffe.io", "true");
    thread_ = std::thread([this] { Read(); });
  }
  ~Workload() {
    context_.TryCancel();
    thread_.join();
  }
  // Waits for the first answer.
  std::shared_ptr<const net::TlsContext> Context() {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, std::chrono::seconds(60), [this] { return tls_ != nullptr; }))
      Die("the agent gives no identity");
    return tls_;
  }
  std::size_t answers() const { return answers_; }

 private:
  void Read() {
    const auto reader = SpiffeWorkloadAPI::NewStub(channel_)->FetchX509SVID(&context_, {});
    X509SVIDResponse response;
    while (reader->Read(&response)) {
      auto workload = identity::ReadX509SvidResponse(&response, clock_.Now());
      if (!workload) Die(workload.error().Message());
      net::TlsOptions options;
      options.role = role_;
      auto tls = Must(net::TlsContext::Create(options, workload->tls,
                                              std::make_shared<const identity::ExpectedPeer>(
                                                  workload->id, workload->bundles, clock_)),
                      "TLS context");
      ++answers_;
      const std::lock_guard lock(mutex_);
      tls_ = std::move(tls);
      changed_.notify_all();
    }
    reader->Finish();
  }

  const net::TlsRole role_;
  const Clock& clock_;
  std::shared_ptr<grpc::Channel> channel_;
  grpc::ClientContext context_;
  std::atomic<std::size_t> answers_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::shared_ptr<const net::TlsContext> tls_;
  std::thread thread_;
};

// Counts connections whose caller proved who it is, and closes each.
class Counter final : public net::FrontService {
 public:
  void Attach(net::EventLoop&, OnEnd on_end) override { on_end_ = std::move(on_end); }
  void Adopt(net::FrontConnection connection) override {
    if (connection.peer() != nullptr) ++proven_;
    connection.stream.reset();
    on_end_(connection.id, net::ConnectionEnd::kClosed);
  }
  std::size_t CutWhere(const std::function<bool(const net::PeerIdentity&)>&) override { return 0; }
  void CloseAll() override {}
  long proven() const { return proven_; }

 private:
  OnEnd on_end_;
  std::atomic<long> proven_ = 0;
};

// Connections at a steady rate, each a whole handshake of both ends, from when it was due.
class Load {
 public:
  Load(Workload& client, Workload& server, double per_second, const Clock& clock)
      : client_(client), pause_(1 / per_second), log_(Logger::Null()) {
    dialer_ = Must(net::TlsDialer::Start(clock), "dialer");
    auto listener = Must(net::ListenTcp(*net::Address::Parse("127.0.0.1:0")), "listen");
    const auto bound = Must(net::LocalAddress(listener.get()), "address");
    address_ = *net::Address::Parse(bound.ToString());
    net::TlsFrontLimits limits;
    front_ = Must(net::TlsFront::Start(
                      std::move(listener), [&server] { return server.Context(); }, counter_, limits,
                      clock, log_, metrics_),
                  "TLS front");
    client_.Context();
    server.Context();
    for (int i = 0; i < kThreads; ++i) threads_.emplace_back([this] { Run(); });
  }
  // Made, and failed at either end.
  struct Count {
    long made = 0;
    long failed = 0;
    double worst_ms = 0;
  };
  Count Stop() {
    stopping_ = true;
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
    // What the client has done the server may still be at.
    for (int i = 0; i < 500 && counter_.proven() < made_; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    return {made_ + failed_, failed_ + (made_ - counter_.proven()), worst_ms_};
  }

 private:
  static constexpr int kThreads = 4;

  void Run() {
    while (!stopping_) {
      const auto due = begun_ + std::chrono::duration_cast<Steady::duration>(pause_ * next_++);
      std::this_thread::sleep_until(due);
      const auto dialed = dialer_->Dial(address_, client_.Context(), std::chrono::seconds(10));
      if (dialed) {
        ++made_;
      } else {
        ++failed_;
        fmt::print("failed: {}\n", dialed.error().Message());
      }
      const std::lock_guard lock(mutex_);
      worst_ms_ = std::max(worst_ms_, Since(due) * 1000);
    }
  }

  Workload& client_;
  const Seconds pause_;
  const Steady::time_point begun_ = Steady::now();
  const Logger log_;
  Metrics metrics_;
  net::Address address_;
  std::unique_ptr<net::TlsDialer> dialer_;
  Counter counter_;
  std::unique_ptr<net::TlsFront> front_;
  std::atomic<long> next_ = 0, made_ = 0, failed_ = 0;
  std::atomic<bool> stopping_ = false;
  std::mutex mutex_;
  double worst_ms_ = 0;
  std::vector<std::thread> threads_;
};

struct Plan {
  std::string bin;
  int agents = 2;
  int svids = 10'000;  // of all agents together
  double rate = 200;   // connections a second
};

class Bench {
 public:
  explicit Bench(const Plan& plan) : plan_(plan), node_(plan.bin, {}) {}

  void Run() {
    Fill();
    Workload client(agents_.front()->socket(), net::TlsRole::kClient, clock_);
    Workload server(agents_.back()->socket(), net::TlsRole::kServer, clock_);
    Load load(client, server, plan_.rate, clock_);
    std::this_thread::sleep_for(std::chrono::seconds(2));
    const std::size_t answers = client.answers() + server.answers();
    const double seconds = Rotate();
    std::this_thread::sleep_for(std::chrono::seconds(2));
    const Load::Count count = load.Stop();
    fmt::print(
        "{} SVIDs on {} agents minted anew in {:.1f} s after the taint; CPU agents {:.2f} s, "
        "server {:.2f} s\n",
        plan_.svids, plan_.agents, seconds, agent_cpu_, server_cpu_);
    fmt::print(
        "{} connections by mTLS meanwhile, {:.0f} a second wanted: {} failed, slowest {:.0f} "
        "ms after it was due; {} new answers of the Workload API\n",
        count.made, plan_.rate, count.failed, count.worst_ms,
        client.answers() + server.answers() - answers);
    if (count.failed > 0) Die("handshakes failed");
  }

 private:
  double Minted() const {
    double sum = 0;
    for (const auto& agent : agents_) sum += agent->Minted();
    return sum;
  }
  double AgentCpu() const {
    double sum = 0;
    for (const auto& agent : agents_) sum += agent->CpuSeconds();
    return sum;
  }
  void AwaitMinted(double count) const {
    const auto begun = Steady::now();
    while (Minted() < count) {
      if (Since(begun) > 300) Die("SVIDs are not minted");
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }

  // Each agent has its share of the SVIDs, one of them this process's.
  void Fill() {
    std::vector<std::string> known = {node_.parent()};
    for (int i = 0; i < plan_.agents; ++i) {
      agents_.push_back(std::make_unique<Agent>(plan_.bin, node_, i));
      const std::string parent = NewAgentPath(&known);
      node_.admin().CreateEntries(parent, fmt::format("uid:{}", geteuid()), {"/mine"});
      std::vector<std::string> paths;
      const int share = plan_.svids / plan_.agents;
      for (int j = 1; j < share; ++j) {
        paths.push_back(fmt::format("/{}/{}", i, j));
        if (paths.size() < 50 && j + 1 < share) continue;
        node_.admin().CreateEntries(parent, "uid:4294967294", paths);
        paths.clear();
      }
    }
    AwaitMinted(plan_.svids);
  }
  std::string NewAgentPath(std::vector<std::string>* known) {
    for (int tries = 0; tries < 500; ++tries) {
      grpc::ClientContext context;
      agent_api::ListAgentsResponse agents;
      Must(agent_api::Agent::NewStub(node_.admin().channel())->ListAgents(&context, {}, &agents),
           "ListAgents");
      for (const auto& agent : agents.agents()) {
        if (std::ranges::find(*known, agent.id().path()) != known->end()) continue;
        known->push_back(agent.id().path());
        return known->back();
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    Die("the agent does not attest");
  }

  double Rotate() {
    const auto stub = authority_api::LocalAuthority::NewStub(node_.admin().channel());
    grpc::ClientContext one, two, three, four, five;
    authority_api::GetX509AuthorityStateResponse state;
    Must(stub->GetX509AuthorityState(&one, {}, &state), "GetX509AuthorityState");
    const std::string old = state.active().authority_id();
    authority_api::PrepareX509AuthorityResponse prepared;
    Must(stub->PrepareX509Authority(&two, {}, &prepared), "PrepareX509Authority");
    std::this_thread::sleep_for(std::chrono::seconds(1));  // agents acknowledge it
    authority_api::ActivateX509AuthorityRequest activate;
    activate.set_authority_id(prepared.prepared_authority().authority_id());
    authority_api::ActivateX509AuthorityResponse activated;
    Must(stub->ActivateX509Authority(&three, activate, &activated), "ActivateX509Authority");
    const double minted = Minted(), cpu = AgentCpu(), server = node_.server().CpuSeconds();
    const auto begun = Steady::now();
    authority_api::TaintX509AuthorityRequest taint;
    taint.set_authority_id(old);
    authority_api::TaintX509AuthorityResponse tainted;
    Must(stub->TaintX509Authority(&four, taint, &tainted), "TaintX509Authority");
    AwaitMinted(minted + plan_.svids);
    const double took = Since(begun);
    agent_cpu_ = AgentCpu() - cpu;
    server_cpu_ = node_.server().CpuSeconds() - server;
    authority_api::RevokeX509AuthorityRequest revoke;
    revoke.set_authority_id(old);
    authority_api::RevokeX509AuthorityResponse revoked;
    Must(stub->RevokeX509Authority(&five, revoke, &revoked), "RevokeX509Authority");
    return took;
  }

  const Plan plan_;
  const SystemClock clock_;
  Node node_;
  std::vector<std::unique_ptr<Agent>> agents_;
  double agent_cpu_ = 0, server_cpu_ = 0;
};

}  // namespace
}  // namespace signet::bench

int main(int argc, char** argv) {
  CLI::App app("A compromised authority replaced under load: how long, and who noticed");
  signet::bench::Plan plan;
  plan.bin = std::filesystem::path(argv[0]).parent_path().string();
  app.add_option("--bin", plan.bin, "Folder of signet-server and signet-agent")
      ->capture_default_str();
  app.add_option("--agents", plan.agents, "Agents that hold the SVIDs")->capture_default_str();
  app.add_option("--svids", plan.svids, "SVIDs of all agents together")->capture_default_str();
  app.add_option("--rate", plan.rate, "Connections a second")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  signet::bench::Bench(plan).Run();
  return 0;
}
