// bench_revoke: how long from the call that revokes an identity until the last of its live
// connections is cut, with a real signet-server, signet-agent and signet-proxy, and further
// watchers that speak the proxies' protocol with the agent. Meanwhile the revoked identity keeps
// calling: when did it last succeed?
#include <fmt/format.h>
#include <grpcpp/grpcpp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <mutex>

#include "base/clock.h"
#include "ca/x509/request.h"
#include "net/address.h"
#include "net/tls.h"
#include "signet/mesh/v1/mesh.grpc.pb.h"
#include "signet/revocation/v1/revocation.grpc.pb.h"
#include "signet/status/v1/status.grpc.pb.h"
#include "spire/api/server/agent/v1/agent.grpc.pb.h"
#include "spire/api/server/bundle/v1/bundle.grpc.pb.h"
#include "spire/api/server/entry/v1/entry.grpc.pb.h"
#include "spire/api/server/svid/v1/svid.grpc.pb.h"
#include "tools/bench/child.h"

namespace {

using namespace signet;         // NOLINT: a program of its own
using namespace signet::bench;  // NOLINT
using Steady = std::chrono::steady_clock;
namespace agent_api = spire::api::server::agent::v1;
namespace bundle_api = spire::api::server::bundle::v1;
namespace entry_api = spire::api::server::entry::v1;
namespace svid_api = spire::api::server::svid::v1;
namespace mesh_api = signet::mesh::v1;
namespace revocation_api = signet::revocation::v1;

[[noreturn]] void Die(const std::string& what) {
  fmt::print(stderr, "bench_revoke: {}\n", what);
  std::exit(1);
}

void MustAppear(const std::string& path) {
  if (!AwaitFile(path)) Die(path + " did not appear");
}

double Milliseconds(Steady::duration d) {
  return std::chrono::duration<double, std::milli>(d).count();
}

void Must(const grpc::Status& status, const char* what) {
  if (!status.ok()) Die(fmt::format("{}: {}", what, status.error_message()));
}
template <class T>
T Must(Result<T> result) {
  if (!result) Die(result.error().Message());
  return *std::move(result);
}

class Admin {
 public:
  explicit Admin(const std::string& socket)
      : channel_(grpc::CreateChannel("unix:" + socket, grpc::InsecureChannelCredentials())) {}

  std::string CreateToken() {
    grpc::ClientContext context;
    agent_api::CreateJoinTokenRequest request;
    spire::api::types::JoinToken token;
    request.set_ttl(600);
    Must(agent_api::Agent::NewStub(channel_)->CreateJoinToken(&context, request, &token), "token");
    return token.value();
  }
  std::string ServerAddress() {
    grpc::ClientContext context;
    signet::status::v1::GetStatusResponse status;
    Must(signet::status::v1::Status::NewStub(channel_)->GetStatus(&context, {}, &status), "status");
    return status.listen_address();
  }
  std::string BundlePem() {
    grpc::ClientContext context;
    spire::api::types::Bundle bundle;
    Must(bundle_api::Bundle::NewStub(channel_)->GetBundle(&context, {}, &bundle), "bundle");
    std::string pem;
    for (const auto& authority : bundle.x509_authorities())
      pem += ca::ToPem(*ca::Certificate::Parse(AsBytes(authority.asn1())));
    return pem;
  }
  void CreateEntry(const std::string& path) {
    grpc::ClientContext list_context;
    agent_api::ListAgentsResponse agents;
    Must(agent_api::Agent::NewStub(channel_)->ListAgents(&list_context, {}, &agents), "agents");
    entry_api::BatchCreateEntryRequest request;
    auto* entry = request.add_entries();
    entry->mutable_spiffe_id()->set_trust_domain("example.org");
    entry->mutable_spiffe_id()->set_path(path);
    *entry->mutable_parent_id() = agents.agents(0).id();
    entry->add_selectors()->set_type("unix");
    entry->mutable_selectors(0)->set_value(fmt::format("uid:{}", geteuid()));
    grpc::ClientContext context;
    entry_api::BatchCreateEntryResponse response;
    Must(entry_api::Entry::NewStub(channel_)->BatchCreateEntry(&context, request, &response),
         "entry");
  }
  net::TlsIdentity Mint(const std::string& id) {
    const auto key = std::make_shared<const ca::PrivateKey>(
        Must(ca::PrivateKey::Generate(ca::KeyType::kEcP256)));
    grpc::ClientContext context;
    svid_api::MintX509SVIDRequest request;
    request.set_csr(ToString(Must(ca::MakeRequest(*key, id))));
    svid_api::MintX509SVIDResponse response;
    Must(svid_api::SVID::NewStub(channel_)->MintX509SVID(&context, request, &response), "mint");
    net::TlsIdentity identity;
    identity.key = key;
    for (const std::string& der : response.svid().cert_chain())
      identity.chain.push_back(Must(ca::Certificate::Parse(AsBytes(der))));
    return identity;
  }
  void Revoke(const std::string& id) {
    grpc::ClientContext context;
    revocation_api::RevokeRequest request;
    request.set_kind(revocation_api::DENIAL_KIND_SPIFFE_ID);
    request.set_subject(id);
    revocation_api::RevokeResponse response;
    Must(revocation_api::Revocation::NewStub(channel_)->Revoke(&context, request, &response),
         "revoke");
  }

 private:
  std::shared_ptr<grpc::Channel> channel_;
};

// Takes the proxy for who it says it is: what is measured is the other direction.
class AnyPeer final : public net::PeerVerifier {
  Result<std::shared_ptr<const net::PeerIdentity>> Verify(
      std::span<const ca::Certificate> presented) const override {
    return std::make_shared<const net::PeerIdentity>(
        net::PeerIdentity{"peer", {presented.begin(), presented.end()}, WallTime::max()});
  }
};

std::shared_ptr<const net::TlsContext> ClientContext(const net::TlsIdentity& identity) {
  net::TlsOptions options;
  options.role = net::TlsRole::kClient;
  return Must(net::TlsContext::Create(options, identity, std::make_shared<const AnyPeer>()));
}

// The application behind the proxy: sends back what it gets.
class EchoBackend {
 public:
  EchoBackend() {
    listener_ = Must(net::ListenTcp(Must(net::Address::Parse("127.0.0.1:0"))));
    address_ = Must(net::LocalAddress(listener_.get())).ToString();
    thread_ = std::thread([this] { Run(); });
  }
  ~EchoBackend() {
    stopping_ = true;
    thread_.join();
  }
  const std::string& address() const { return address_; }

 private:
  void Run() {
    UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = listener_.get();
    epoll_ctl(epoll.get(), EPOLL_CTL_ADD, listener_.get(), &event);
    std::vector<epoll_event> events(256);
    std::vector<char> bytes(4096);
    while (!stopping_) {
      const int ready = epoll_wait(epoll.get(), events.data(), 256, 100);
      for (int i = 0; i < ready; ++i) {
        const int fd = events[static_cast<std::size_t>(i)].data.fd;
        if (fd == listener_.get()) {
          event.data.fd = accept4(fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
          epoll_ctl(epoll.get(), EPOLL_CTL_ADD, event.data.fd, &event);
          continue;
        }
        const ssize_t got = recv(fd, bytes.data(), bytes.size(), 0);
        if (got <= 0 || send(fd, bytes.data(), static_cast<std::size_t>(got), MSG_NOSIGNAL) != got)
          close(fd);
      }
    }
  }

  UniqueFd listener_;
  std::string address_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

// A caller's connection through the proxy.
class Caller {
 public:
  Caller(const std::string& address, std::shared_ptr<const net::TlsContext> context) {
    auto socket = net::Connect(Must(net::Address::Parse(address)), std::chrono::seconds(10));
    if (socket) stream_.emplace(std::move(context), std::move(*socket));
  }
  // A byte there and back; false when the connection is over, or after two seconds.
  bool Talks() {
    if (!stream_) return false;
    const std::uint8_t byte = 'x';
    std::uint8_t answer = 0;
    const auto end = Steady::now() + std::chrono::seconds(2);
    bool shaken = false, sent = false;
    while (Steady::now() < end) {
      net::IoStatus status = net::IoStatus::kOk;
      if (!shaken) {
        status = stream_->Handshake();
        shaken = status == net::IoStatus::kOk;
      } else if (!sent) {
        status = stream_->Write({&byte, 1}).status;
        sent = status == net::IoStatus::kOk;
      } else {
        status = stream_->Read({&answer, 1}).status;
        if (status == net::IoStatus::kOk) return true;
      }
      if (status == net::IoStatus::kError || status == net::IoStatus::kEof) return false;
      if (status != net::IoStatus::kOk) Wait(status);
    }
    return false;
  }
  bool IsCut() {
    std::uint8_t byte = 0;
    const net::IoStatus status = stream_->Read({&byte, 1}).status;
    return status == net::IoStatus::kError || status == net::IoStatus::kEof;
  }
  int fd() const { return stream_->fd(); }

 private:
  void Wait(net::IoStatus status) {
    pollfd polled{stream_->fd(),
                  static_cast<short>(status == net::IoStatus::kWantWrite ? POLLOUT : POLLIN), 0};
    poll(&polled, 1, 100);
  }
  std::optional<net::TlsStream> stream_;
};

// What a proxy does towards the agent, without the proxy.
class Watcher {
 public:
  explicit Watcher(const std::string& socket) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    channel_ =
        grpc::CreateCustomChannel("unix:" + socket, grpc::InsecureChannelCredentials(), arguments);
    context_.AddMetadata("workload.spiffe.io", "true");
    stream_ = mesh_api::Mesh::NewStub(channel_)->Watch(&context_, {});
    thread_ = std::thread([this] { Read(); });
  }
  ~Watcher() {
    context_.TryCancel();
    thread_.join();
  }
  // When `count` denials were first heard of; the epoch: not yet.
  Steady::time_point HeardOf(std::size_t count) {
    const std::lock_guard lock(mutex_);
    return count < heard_.size() ? heard_[count] : Steady::time_point();
  }

 private:
  void Read() {
    mesh_api::WatchResponse response;
    while (stream_->Read(&response)) {
      const auto now = Steady::now();
      const std::lock_guard lock(mutex_);
      while (heard_.size() <= static_cast<std::size_t>(response.denials_size()))
        heard_.push_back(now);
    }
    (void)stream_->Finish();
  }
  std::shared_ptr<grpc::Channel> channel_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<mesh_api::WatchResponse>> stream_;
  std::mutex mutex_;
  std::vector<Steady::time_point> heard_;
  std::thread thread_;
};

// One identity that keeps calling until it is told to stop.
class Insistent {
 public:
  Insistent(std::string address, std::shared_ptr<const net::TlsContext> context)
      : thread_([this, address = std::move(address), context = std::move(context)] {
          while (!stopping_) {
            Caller caller(address, context);
            if (!caller.Talks()) continue;
            last_success_ = Steady::now().time_since_epoch().count();
            ++successes_;
          }
        }) {}
  ~Insistent() {
    stopping_ = true;
    thread_.join();
  }
  Steady::time_point last_success() const {
    return Steady::time_point(Steady::duration(last_success_.load()));
  }
  std::size_t successes() const { return successes_; }

 private:
  std::atomic<bool> stopping_{false};
  std::atomic<Steady::rep> last_success_{0};
  std::atomic<std::size_t> successes_{0};
  std::thread thread_;
};

struct Plan {
  std::string bin = ".";
  int identities = 20;
  int connections = 50;  // of each
  int proxies = 50;      // the real one among them
};

struct Outcome {
  std::vector<double> cut;     // from the call to each connection's end, ms
  std::vector<double> heard;   // from the call to each watcher's word, ms
  double last_success = -1e9;  // of a new call, after the revoking call began, ms
};

double Quantile(std::vector<double> values, double q) {
  std::ranges::sort(values);
  return values[std::min(values.size() - 1,
                         static_cast<std::size_t>(q * static_cast<double>(values.size())))];
}

// Waits for the end of each of the connections.
void AwaitCuts(std::vector<std::unique_ptr<Caller>>& callers, Steady::time_point begun,
               Outcome* outcome) {
  const auto end = begun + std::chrono::seconds(10);
  std::vector<pollfd> polled;
  for (const auto& caller : callers) polled.push_back({caller->fd(), POLLIN | POLLRDHUP, 0});
  std::size_t left = callers.size();
  while (left > 0) {
    if (Steady::now() > end) Die(fmt::format("{} connections were not cut in 10 s", left));
    poll(polled.data(), polled.size(), 100);
    for (std::size_t i = 0; i < polled.size(); ++i) {
      if (polled[i].fd < 0 || polled[i].revents == 0 || !callers[i]->IsCut()) continue;
      outcome->cut.push_back(Milliseconds(Steady::now() - begun));
      polled[i].fd = -1;
      --left;
    }
  }
}

void AwaitWatchers(std::vector<std::unique_ptr<Watcher>>& watchers, std::size_t denials,
                   Steady::time_point begun, Outcome* outcome) {
  for (const auto& watcher : watchers) {
    Steady::time_point heard;
    while ((heard = watcher->HeardOf(denials)) == Steady::time_point()) {
      if (Steady::now() > begun + std::chrono::seconds(10)) Die("a watcher did not hear in 10 s");
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    outcome->heard.push_back(Milliseconds(heard - begun));
  }
}

struct Identity {
  std::string id;
  std::shared_ptr<const net::TlsContext> context;
  std::vector<std::unique_ptr<Caller>> callers;
};

std::vector<Identity> OpenConnections(const Plan& plan, Admin& admin, const std::string& address) {
  std::vector<Identity> identities;
  for (int i = 0; i < plan.identities; ++i) {
    Identity identity{fmt::format("spiffe://example.org/caller/{}", i), nullptr, {}};
    identity.context = ClientContext(admin.Mint(identity.id));
    for (int k = 0; k < plan.connections; ++k) {
      identity.callers.push_back(std::make_unique<Caller>(address, identity.context));
      if (!identity.callers.back()->Talks()) Die("a connection does not stand");
    }
    identities.push_back(std::move(identity));
  }
  return identities;
}

Outcome Measure(const Plan& plan, Admin& admin, const std::string& socket,
                const std::string& address) {
  std::vector<Identity> identities = OpenConnections(plan, admin, address);
  std::vector<std::unique_ptr<Watcher>> watchers;
  for (int i = 1; i < plan.proxies; ++i) watchers.push_back(std::make_unique<Watcher>(socket));
  Outcome outcome;
  AwaitWatchers(watchers, 0, Steady::now(), &outcome);
  outcome.heard.clear();
  for (std::size_t i = 0; i < identities.size(); ++i) {
    Identity& identity = identities[i];
    for (const auto& caller : identity.callers)
      if (!caller->Talks()) Die("a connection of an identity that is not revoked was cut");
    const Insistent insistent(address, identity.context);
    while (insistent.successes() == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    const auto begun = Steady::now();
    admin.Revoke(identity.id);
    AwaitCuts(identity.callers, begun, &outcome);
    AwaitWatchers(watchers, i + 1, begun, &outcome);
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    outcome.last_success =
        std::max(outcome.last_success, Milliseconds(insistent.last_success() - begun));
  }
  return outcome;
}

int Report(const Plan& plan, const Outcome& outcome, double proxy_megabytes) {
  fmt::print("identity revoked -> its connections cut, {} connections, {} proxies attached\n",
             plan.identities * plan.connections, plan.proxies);
  const auto line = [](const char* what, const std::vector<double>& ms) {
    fmt::print("{:<22} p50 {:.1f} ms  p90 {:.1f} ms  p99 {:.1f} ms  max {:.1f} ms\n", what,
               Quantile(ms, 0.5), Quantile(ms, 0.9), Quantile(ms, 0.99), Quantile(ms, 1));
  };
  line("connection cut", outcome.cut);
  line("other proxies told", outcome.heard);
  fmt::print("last new call that succeeded: {:.1f} ms after the revoking call began\n",
             outcome.last_success);
  fmt::print("proxy memory {:.1f} MB; bar: cut p99 <= 1000 ms, nothing succeeds after it\n",
             proxy_megabytes);
  const double cut = Quantile(outcome.cut, 0.99);
  return cut <= 1000 && outcome.last_success <= 1000 ? 0 : 1;
}

int Run(const Plan& plan) {
  std::string folder = (std::filesystem::temp_directory_path() / "signet-revoke-XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) Die("no temporary folder");
  const auto write = [&](const char* name, const std::string& text) {
    std::ofstream(folder + "/" + name) << text;
  };
  write("server.yaml",
        fmt::format("trust_domain: example.org\ndata_dir: {0}/server\nlisten: 127.0.0.1:0\n"
                    "admin_socket: {0}/admin.sock\nratelimit: {{signing: false, calls: false}}\n"
                    "log: {{level: error}}\n",
                    folder));
  int result = 1;
  {
    const Child server({plan.bin + "/signet-server", "run", "--config", folder + "/server.yaml"},
                       folder + "/log");
    MustAppear(folder + "/admin.sock");
    Admin admin(folder + "/admin.sock");
    write("bundle.pem", admin.BundlePem());
    write("agent.yaml",
          fmt::format("trust_domain: example.org\ndata_dir: {0}/agent\nserver: {1}\n"
                      "socket: {0}/api.sock\ntrust_bundle: {0}/bundle.pem\nlog: {{level: error}}\n",
                      folder, admin.ServerAddress()));
    const Child agent({plan.bin + "/signet-agent", "run", "--config", folder + "/agent.yaml",
                       "--join-token", admin.CreateToken()},
                      folder + "/log");
    MustAppear(folder + "/api.sock");
    admin.CreateEntry("/web");
    const EchoBackend backend;
    // Held only until the proxy asks for it.
    std::string address;
    {
      const UniqueFd probe = Must(net::ListenTcp(Must(net::Address::Parse("127.0.0.1:0"))));
      address = Must(net::LocalAddress(probe.get())).ToString();
    }
    write("proxy.yaml", fmt::format("workload_api: {}/api.sock\nlog: {{level: error}}\ninbound:\n"
                                    "  - {{name: web, listen: '{}', forward: '{}', allow: [{{id: "
                                    "'spiffe://example.org/caller/*'}}]}}\n",
                                    folder, address, backend.address()));
    const Child proxy({plan.bin + "/signet-proxy", "run", "--config", folder + "/proxy.yaml"},
                      folder + "/log");
    const auto probe = ClientContext(admin.Mint("spiffe://example.org/caller/probe"));
    const auto end = Steady::now() + std::chrono::seconds(30);
    while (!Caller(address, probe).Talks()) {
      if (Steady::now() > end) Die("the proxy does not serve; its log is in " + folder);
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    const Outcome outcome = Measure(plan, admin, folder + "/api.sock", address);
    result = Report(plan, outcome, proxy.ResidentMegabytes());
  }
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Identity revoked -> its connections cut; exit code 1 when the bar is missed");
  Plan plan;
  plan.bin = std::filesystem::path(argv[0]).parent_path().string();
  app.add_option("--bin", plan.bin, "Folder of the programs")->capture_default_str();
  app.add_option("--identities", plan.identities, "Revoked one after another")
      ->capture_default_str();
  app.add_option("--connections", plan.connections, "Of each identity")->capture_default_str();
  app.add_option("--proxies", plan.proxies, "Attached to the agent")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  return Run(plan);
}
