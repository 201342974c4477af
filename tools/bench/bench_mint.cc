// bench_mint: what an SVID costs a real signet-server, through gRPC and mTLS with the durable
// journal on and a fresh key and request for each, beside the floor no issuer gets below, measured
// in the same run. With SIGNET_SPIRE_SERVER set to a spire-server program, that one too, on the
// same load in turn.
#include <grpcpp/create_channel_posix.h>
#include <grpcpp/grpcpp.h>
#include <stdlib.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <optional>

#include "base/check.h"
#include "ca/x509/request.h"
#include "net/tls_front.h"
#include "signet/status/v1/status.grpc.pb.h"
#include "spire/api/server/agent/v1/agent.grpc.pb.h"
#include "spire/api/server/entry/v1/entry.grpc.pb.h"
#include "spire/api/server/svid/v1/svid.grpc.pb.h"
#include "tools/bench/child.h"
#include "tools/bench/scrape.h"

namespace {

using namespace signet;
using signet::bench::Child;
namespace agent_api = spire::api::server::agent::v1;
namespace entry_api = spire::api::server::entry::v1;
namespace svid_api = spire::api::server::svid::v1;

constexpr int kConnections = 4;
constexpr int kCallsInFlight = 4;  // of each connection
constexpr int kEntries = 50;

[[noreturn]] void Die(const std::string& what) {
  fmt::print(stderr, "bench_mint: {}\n", what);
  std::exit(1);
}
void Must(const grpc::Status& status, const char* what) {
  if (!status.ok()) Die(fmt::format("{}: {}", what, status.error_message()));
}
template <class T>
T Must(Result<T> result, const char* what) {
  if (!result) Die(fmt::format("{}: {}", what, result.error().Message()));
  return std::move(*result);
}

struct Plan {
  std::string bin;
  int rounds = 5;
  int batches = 120;  // calls of 50 a round
  int singles = 2000;
  int tokens = 2000;
};

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

double ThreadCpuSeconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

ca::PrivateKey NewKey() { return Must(ca::PrivateKey::Generate(ca::KeyType::kEcP256), "key"); }

// The floor: one P-256 verification and one signature, in microseconds of CPU, with both cores at
// it as they are under the load.
double MeasureFloor() {
  constexpr int kOperations = 1500;
  std::atomic<double> total = 0;
  const auto work = [&] {
    const auto algorithm = ca::SignatureAlgorithm::kEcdsaSha256;
    const ca::PrivateKey key = NewKey();
    const Bytes message(450, 0x5a);
    const Bytes signature = Must(key.Sign(algorithm, message), "sign");
    const double begun = ThreadCpuSeconds();
    for (int i = 0; i < kOperations; ++i) {
      CHECK_TRUE(key.public_key().Verify(algorithm, message, signature).has_value());
      CHECK_TRUE(key.Sign(algorithm, message).has_value());
    }
    total = total + (ThreadCpuSeconds() - begun);
  };
  std::thread other(work);
  work();
  other.join();
  return total * 1e6 / (2 * kOperations);
}

// The server is looked at from outside; who it is does not matter here.
class AnyPeer final : public net::PeerVerifier {
 public:
  Result<std::shared_ptr<const net::PeerIdentity>> Verify(
      std::span<const ca::Certificate> presented) const override {
    auto peer = std::make_shared<net::PeerIdentity>();
    peer->chain.assign(presented.begin(), presented.end());
    peer->valid_until = presented.front().not_after();
    return peer;
  }
};

std::shared_ptr<grpc::Channel> Connect(net::TlsDialer& dialer, const net::Address& address,
                                       const std::optional<net::TlsIdentity>& shown) {
  net::TlsOptions options;
  options.role = net::TlsRole::kClient;
  options.alpn = {"h2"};
  const auto context =
      Must(net::TlsContext::Create(options, shown, std::make_shared<AnyPeer>()), "TLS context");
  auto dialed = Must(dialer.Dial(address, context, std::chrono::seconds(10)), "connect");
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  return grpc::CreateCustomInsecureChannelFromFd("localhost", dialed.plain.Release(), arguments);
}

// A server with one attested agent and its entries, and connections of that agent.
class Subject {
 public:
  Subject(std::string name, std::unique_ptr<Child> child, const std::string& admin_socket,
          net::TlsDialer& dialer, const std::function<std::string(grpc::Channel*)>& find_address)
      : name_(std::move(name)), child_(std::move(child)) {
    if (!bench::AwaitFile(admin_socket)) Die(name_ + " did not start");
    const auto admin =
        grpc::CreateChannel("unix:" + admin_socket, grpc::InsecureChannelCredentials());
    if (!admin->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(20)))
      Die(name_ + " does not answer");
    const auto address =
        Must(net::Address::Parse(find_address(admin.get())), "the server's address");
    const std::string agent_path = Attest(admin, dialer, address);
    CreateEntries(admin, agent_path);
    for (int i = 0; i < kConnections; ++i)
      connections_.push_back(Connect(dialer, address, identity_));
  }

  const std::string& name() const { return name_; }
  double ResidentMegabytes() const { return child_->ResidentMegabytes(); }

  struct Cost {
    double cpu_us = 0;  // of the server, for each SVID
    double per_second = 0;
  };
  // `calls` calls in all, kCallsInFlight on each connection at a time; each is worth `worth` SVIDs.
  Cost Load(int calls, int worth, const std::function<void(grpc::Channel*, int)>& call) const {
    std::atomic<int> next = 0;
    std::vector<std::thread> threads;
    const double cpu_before = child_->CpuSeconds();
    const auto begun = std::chrono::steady_clock::now();
    for (int i = 0; i < kConnections * kCallsInFlight; ++i) {
      threads.emplace_back([&, i] {
        grpc::Channel* const channel =
            connections_[static_cast<std::size_t>(i % kConnections)].get();
        for (int at = next++; at < calls; at = next++) call(channel, at);
      });
    }
    for (std::thread& thread : threads) thread.join();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
    const double svids = static_cast<double>(calls) * worth;
    return {(child_->CpuSeconds() - cpu_before) * 1e6 / svids, svids / took.count()};
  }

  Cost Batches(int calls, int size) const {
    std::vector<svid_api::BatchNewX509SVIDRequest> requests(static_cast<std::size_t>(calls));
    for (std::size_t i = 0; i < requests.size(); ++i) {
      for (int j = 0; j < size; ++j) {
        auto* params = requests[i].add_params();
        params->set_entry_id(entries_[(i + static_cast<std::size_t>(j)) % entries_.size()]);
        params->set_csr(ToString(Must(ca::MakeRequest(NewKey()), "request")));
      }
    }
    return Load(calls, size, [&](grpc::Channel* channel, int at) {
      grpc::ClientContext context;
      svid_api::BatchNewX509SVIDResponse response;
      Must(Stub(channel)->BatchNewX509SVID(&context, requests[static_cast<std::size_t>(at)],
                                           &response),
           "BatchNewX509SVID");
      for (const auto& result : response.results())
        if (result.status().code() != 0) Die("BatchNewX509SVID: " + result.status().message());
    });
  }

  Cost Tokens(int calls) const {
    return Load(calls, 1, [&](grpc::Channel* channel, int at) {
      grpc::ClientContext context;
      svid_api::NewJWTSVIDRequest request;
      request.set_entry_id(entries_[static_cast<std::size_t>(at) % entries_.size()]);
      request.add_audience(fmt::format("audience-{}", at));
      svid_api::NewJWTSVIDResponse response;
      Must(Stub(channel)->NewJWTSVID(&context, request, &response), "NewJWTSVID");
    });
  }

 private:
  static std::unique_ptr<svid_api::SVID::Stub> Stub(grpc::Channel* channel) {
    return svid_api::SVID::NewStub({std::shared_ptr<void>(), channel});
  }

  // Answers the agent's path.
  std::string Attest(const std::shared_ptr<grpc::Channel>& admin, net::TlsDialer& dialer,
                     const net::Address& address) {
    grpc::ClientContext token_context, context;
    agent_api::CreateJoinTokenRequest ask;
    spire::api::types::JoinToken token;
    ask.set_ttl(600);
    Must(agent_api::Agent::NewStub(admin)->CreateJoinToken(&token_context, ask, &token),
         "CreateJoinToken");
    auto key = std::make_shared<ca::PrivateKey>(NewKey());
    agent_api::AttestAgentRequest request;
    request.mutable_params()->mutable_data()->set_type("join_token");
    request.mutable_params()->mutable_data()->set_payload(token.value());
    request.mutable_params()->mutable_params()->set_csr(
        ToString(Must(ca::MakeRequest(*key), "request")));
    const auto anonymous = Connect(dialer, address, std::nullopt);
    const auto stub = agent_api::Agent::NewStub(anonymous);
    const auto stream = stub->AttestAgent(&context);
    stream->Write(request);
    agent_api::AttestAgentResponse response;
    const bool answered = stream->Read(&response);
    stream->WritesDone();
    Must(stream->Finish(), "AttestAgent");
    if (!answered) Die("AttestAgent: no answer");
    ca::Chain chain;
    for (const auto& der : response.result().svid().cert_chain())
      chain.push_back(Must(ca::Certificate::Parse(AsBytes(der)), "agent SVID"));
    identity_ = net::TlsIdentity{std::move(chain), std::move(key)};
    return response.result().svid().id().path();
  }

  void CreateEntries(const std::shared_ptr<grpc::Channel>& admin, const std::string& agent_path) {
    entry_api::BatchCreateEntryRequest request;
    for (int i = 0; i < kEntries; ++i) {
      auto* entry = request.add_entries();
      entry->mutable_spiffe_id()->set_trust_domain("example.org");
      entry->mutable_spiffe_id()->set_path(fmt::format("/workload/{}", i));
      entry->mutable_parent_id()->set_trust_domain("example.org");
      entry->mutable_parent_id()->set_path(agent_path);
      entry->add_selectors()->set_type("unix");
      entry->mutable_selectors(0)->set_value(fmt::format("uid:{}", 10000 + i));
    }
    grpc::ClientContext context;
    entry_api::BatchCreateEntryResponse response;
    Must(entry_api::Entry::NewStub(admin)->BatchCreateEntry(&context, request, &response),
         "BatchCreateEntry");
    for (const auto& result : response.results()) {
      if (result.status().code() != 0) Die("BatchCreateEntry: " + result.status().message());
      entries_.push_back(result.entry().id());
    }
  }

  const std::string name_;
  std::unique_ptr<Child> child_;
  std::optional<net::TlsIdentity> identity_;
  std::vector<std::string> entries_;
  std::vector<std::shared_ptr<grpc::Channel>> connections_;
};

std::unique_ptr<Subject> StartSignet(const Plan& plan, const std::string& folder,
                                     net::TlsDialer& dialer) {
  std::ofstream(folder + "/server.yaml")
      << "trust_domain: example.org\ndata_dir: " << folder
      << "/signet\nlisten: 127.0.0.1:0\nadmin_socket: " << folder
      << "/signet.sock\nratelimit: {signing: false, calls: false}\nlog: {level: warn}\n";
  auto child =
      std::make_unique<Child>(std::vector<std::string>{plan.bin + "/signet-server", "run",
                                                       "--config", folder + "/server.yaml"},
                              folder + "/signet.log");
  return std::make_unique<Subject>(
      "signet", std::move(child), folder + "/signet.sock", dialer, [](grpc::Channel* admin) {
        grpc::ClientContext context;
        status::v1::GetStatusResponse status;
        Must(status::v1::Status::NewStub({std::shared_ptr<void>(), admin})
                 ->GetStatus(&context, {}, &status),
             "GetStatus");
        return status.listen_address();
      });
}

std::unique_ptr<Subject> StartSpire(const std::string& program, const std::string& folder,
                                    net::TlsDialer& dialer) {
  const int port = bench::FreePort();  // SPIRE's server does not take 0
  std::filesystem::create_directories(folder + "/spire");
  std::ofstream(folder + "/spire.conf") << fmt::format(
      R"(server {{
  bind_address = "127.0.0.1"
  bind_port = "{1}"
  socket_path = "{0}/spire.sock"
  trust_domain = "example.org"
  data_dir = "{0}/spire"
  log_level = "WARN"
  ca_ttl = "24h"
  ratelimit {{ attestation = false  signing = false }}
}}
plugins {{
  DataStore "sql" {{ plugin_data {{ database_type = "sqlite3"  connection_string = "{0}/spire/db" }} }}
  NodeAttestor "join_token" {{ plugin_data {{}} }}
  KeyManager "memory" {{ plugin_data {{}} }}
}}
)",
      folder, port);
  auto child = std::make_unique<Child>(
      std::vector<std::string>{program, "run", "-config", folder + "/spire.conf"},
      folder + "/spire.log");
  auto subject = std::make_unique<Subject>(
      "spire", std::move(child), folder + "/spire.sock", dialer,
      [port](grpc::Channel*) { return fmt::format("127.0.0.1:{}", port); });
  // Its entry cache is filled every five seconds.
  std::this_thread::sleep_for(std::chrono::seconds(6));
  return subject;
}

struct Figures {
  std::vector<double> batch, single, token, batch_rate, single_rate, token_rate;

  void Add(const Subject& subject, const Plan& plan) {
    const auto keep = [](const Subject::Cost& cost, std::vector<double>& cpu,
                         std::vector<double>& rate) {
      cpu.push_back(cost.cpu_us);
      rate.push_back(cost.per_second);
    };
    keep(subject.Batches(plan.batches, 50), batch, batch_rate);
    keep(subject.Batches(plan.singles, 1), single, single_rate);
    keep(subject.Tokens(plan.tokens), token, token_rate);
  }
};

void Print(const std::string& what, const std::vector<double>& cpu, const std::vector<double>& rate,
           const std::vector<double>& floors) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < cpu.size(); ++i) ratios.push_back(cpu[i] / floors[i]);
  fmt::print("{:<44} {:8.1f} us CPU {:9.0f} /s {:6.2f} x floor\n", what, Median(cpu), Median(rate),
             Median(ratios));
}

int Run(const Plan& plan) {
  std::string folder = (std::filesystem::temp_directory_path() / "signet-bench-XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) Die("no temporary folder");
  {
    const SystemClock clock;
    const auto dialer = Must(net::TlsDialer::Start(clock), "dialer");
    std::vector<std::unique_ptr<Subject>> subjects;
    subjects.push_back(StartSignet(plan, folder, *dialer));
    if (const char* spire = std::getenv("SIGNET_SPIRE_SERVER"); spire != nullptr && *spire != 0)
      subjects.push_back(StartSpire(spire, folder, *dialer));
    std::vector<Figures> figures(subjects.size());
    std::vector<double> floors;
    for (int round = 0; round < plan.rounds; ++round) {
      const double before = MeasureFloor();
      for (std::size_t i = 0; i < subjects.size(); ++i) figures[i].Add(*subjects[i], plan);
      floors.push_back((before + MeasureFloor()) / 2);
    }
    fmt::print("medians of {} rounds; {} connections x {} calls in flight; journal on\n",
               plan.rounds, kConnections, kCallsInFlight);
    fmt::print("{:<44} {:8.1f} us CPU\n", "floor: one P-256 verification, one signature",
               Median(floors));
    for (std::size_t i = 0; i < subjects.size(); ++i) {
      const std::string& name = subjects[i]->name();
      const Figures& of = figures[i];
      Print(name + ": X.509-SVID, 50 a call", of.batch, of.batch_rate, floors);
      Print(name + ": X.509-SVID, 1 a call", of.single, of.single_rate, floors);
      Print(name + ": JWT-SVID", of.token, of.token_rate, floors);
      fmt::print("{:<44} {:8.1f} MB\n", name + ": memory", subjects[i]->ResidentMegabytes());
    }
  }
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Server CPU for each SVID through gRPC and mTLS, beside the floor of the same run");
  Plan plan;
  plan.bin = std::filesystem::path(argv[0]).parent_path().string();
  app.add_option("--bin", plan.bin, "Folder of signet-server")->capture_default_str();
  app.add_option("--rounds", plan.rounds, "Rounds; medians are printed")->capture_default_str();
  app.add_option("--batches", plan.batches, "Calls of 50 requests a round")->capture_default_str();
  app.add_option("--singles", plan.singles, "Calls of 1 request a round")->capture_default_str();
  app.add_option("--tokens", plan.tokens, "JWT-SVIDs a round")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  return Run(plan);
}
