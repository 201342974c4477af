// bench_propagation: how long from an entry created over the admin socket to its SVID on a
// workload's open Workload API stream, with real signet-server and signet-agent processes it
// starts.
#include <fmt/format.h>
#include <grpcpp/grpcpp.h>
#include <stdlib.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>

#include "base/bytes.h"
#include "ca/x509/certificate.h"
#include "signet/status/v1/status.grpc.pb.h"
#include "spiffe/workload.grpc.pb.h"
#include "spire/api/server/agent/v1/agent.grpc.pb.h"
#include "spire/api/server/bundle/v1/bundle.grpc.pb.h"
#include "spire/api/server/entry/v1/entry.grpc.pb.h"
#include "tools/bench/child.h"

namespace {

using Clock = std::chrono::steady_clock;
using signet::ToString;
using signet::bench::Child;
namespace agent_api = spire::api::server::agent::v1;
namespace bundle_api = spire::api::server::bundle::v1;
namespace entry_api = spire::api::server::entry::v1;

[[noreturn]] void Die(const std::string& what) {
  fmt::print(stderr, "bench_propagation: {}\n", what);
  std::exit(1);
}

void Must(const grpc::Status& status, const char* what) {
  if (!status.ok()) Die(fmt::format("{}: {}", what, status.error_message()));
}

void AwaitFile(const std::string& path) {
  if (!signet::bench::AwaitFile(path)) Die(path + " did not appear");
}

// The workload: one open stream, and when each SPIFFE ID was first seen on it.
class Workload {
 public:
  explicit Workload(const std::string& socket)
      : channel_(grpc::CreateChannel("unix:" + socket, grpc::InsecureChannelCredentials())),
        thread_([this] { Read(); }) {}
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

class Admin {
 public:
  explicit Admin(const std::string& socket)
      : channel_(grpc::CreateChannel("unix:" + socket, grpc::InsecureChannelCredentials())),
        entries_(entry_api::Entry::NewStub(channel_)) {}

  std::string CreateToken() {
    grpc::ClientContext context;
    agent_api::CreateJoinTokenRequest request;
    spire::api::types::JoinToken token;
    request.set_ttl(600);
    Must(agent_api::Agent::NewStub(channel_)->CreateJoinToken(&context, request, &token),
         "CreateJoinToken");
    return token.value();
  }
  std::string ServerAddress() {
    grpc::ClientContext context;
    signet::status::v1::GetStatusResponse status;
    Must(signet::status::v1::Status::NewStub(channel_)->GetStatus(&context, {}, &status),
         "GetStatus");
    return status.listen_address();
  }
  std::string BundlePem() {
    grpc::ClientContext context;
    spire::api::types::Bundle bundle;
    Must(bundle_api::Bundle::NewStub(channel_)->GetBundle(&context, {}, &bundle), "GetBundle");
    std::string pem;
    for (const auto& authority : bundle.x509_authorities())
      pem += signet::ca::ToPem(*signet::ca::Certificate::Parse(signet::AsBytes(authority.asn1())));
    return pem;
  }
  std::string AgentPath() {
    grpc::ClientContext context;
    agent_api::ListAgentsResponse agents;
    Must(agent_api::Agent::NewStub(channel_)->ListAgents(&context, {}, &agents), "ListAgents");
    if (agents.agents_size() != 1) Die("one agent expected");
    return agents.agents(0).id().path();
  }
  void CreateEntries(const std::string& parent, const std::string& selector,
                     const std::vector<std::string>& paths) {
    entry_api::BatchCreateEntryRequest request;
    for (const std::string& path : paths) {
      auto* entry = request.add_entries();
      entry->mutable_spiffe_id()->set_trust_domain("example.org");
      entry->mutable_spiffe_id()->set_path(path);
      entry->mutable_parent_id()->set_trust_domain("example.org");
      entry->mutable_parent_id()->set_path(parent);
      entry->add_selectors()->set_type("unix");
      entry->mutable_selectors(0)->set_value(selector);
    }
    grpc::ClientContext context;
    entry_api::BatchCreateEntryResponse response;
    Must(entries_->BatchCreateEntry(&context, request, &response), "BatchCreateEntry");
    for (const auto& result : response.results()) {
      if (result.status().code() != 0) Die("BatchCreateEntry: " + result.status().message());
      created_.push_back(result.entry().id());
    }
  }
  // The last `count` created.
  void DeleteEntries(std::size_t count) {
    entry_api::BatchDeleteEntryRequest request;
    for (; count > 0; --count) {
      request.add_ids(created_.back());
      created_.pop_back();
    }
    grpc::ClientContext context;
    entry_api::BatchDeleteEntryResponse response;
    Must(entries_->BatchDeleteEntry(&context, request, &response), "BatchDeleteEntry");
  }

 private:
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<entry_api::Entry::Stub> entries_;
  std::vector<std::string> created_;
};

struct Plan {
  std::string bin = ".";
  int rounds = 200;
  int others = 0;
};

double Quantile(std::vector<double> sorted, double q) {
  return sorted[std::min(sorted.size() - 1,
                         static_cast<std::size_t>(q * static_cast<double>(sorted.size())))];
}

int Run(const Plan& plan) {
  std::string folder = (std::filesystem::temp_directory_path() / "signet-bench-XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) Die("no temporary folder");
  std::ofstream(folder + "/server.yaml")
      << "trust_domain: example.org\ndata_dir: " << folder
      << "/server\nlisten: 127.0.0.1:0\nadmin_socket: " << folder
      << "/admin.sock\nratelimit: {signing: false}\nlog: {level: warn}\n";
  std::vector<double> milliseconds;
  {
    const Child server({plan.bin + "/signet-server", "run", "--config", folder + "/server.yaml"},
                       folder + "/log");
    AwaitFile(folder + "/admin.sock");
    Admin admin(folder + "/admin.sock");
    std::ofstream(folder + "/bundle.pem") << admin.BundlePem();
    std::ofstream(folder + "/agent.yaml")
        << "trust_domain: example.org\ndata_dir: " << folder
        << "/agent\nserver: " << admin.ServerAddress() << "\nsocket: " << folder
        << "/api.sock\ntrust_bundle: " << folder << "/bundle.pem\nlog: {level: warn}\n";
    const Child agent({plan.bin + "/signet-agent", "run", "--config", folder + "/agent.yaml",
                       "--join-token", admin.CreateToken()},
                      folder + "/log");
    AwaitFile(folder + "/api.sock");
    const std::string parent = admin.AgentPath();
    std::vector<std::string> others;
    for (int i = 0; i < plan.others; ++i) others.push_back(fmt::format("/other/{}", i));
    for (std::size_t i = 0; i < others.size(); i += 50)
      admin.CreateEntries(
          parent, "uid:4294967294",
          {others.begin() + static_cast<std::ptrdiff_t>(i),
           others.begin() + static_cast<std::ptrdiff_t>(std::min(i + 50, others.size()))});
    const std::string mine = fmt::format("uid:{}", geteuid());
    admin.CreateEntries(parent, mine, {"/always"});
    Workload workload(folder + "/api.sock");
    workload.Await("spiffe://example.org/always");
    const double cpu_before = agent.CpuSeconds(), server_before = server.CpuSeconds();
    for (int i = 0; i < plan.rounds; ++i) {
      const std::string path = fmt::format("/w/{}", i);
      const auto begun = Clock::now();
      admin.CreateEntries(parent, mine, {path});
      const auto seen = workload.Await("spiffe://example.org" + path);
      milliseconds.push_back(std::chrono::duration<double, std::milli>(seen - begun).count());
      admin.DeleteEntries(1);
    }
    const double rounds = plan.rounds;
    std::sort(milliseconds.begin(), milliseconds.end());
    fmt::print("entry created -> SVID on the open stream, {} rounds, {} other entries\n",
               plan.rounds, plan.others);
    fmt::print(
        "p50 {:.1f} ms  p90 {:.1f} ms  p99 {:.1f} ms  max {:.1f} ms  (bar: p50 <= 100, p99 <= "
        "250)\n",
        Quantile(milliseconds, 0.5), Quantile(milliseconds, 0.9), Quantile(milliseconds, 0.99),
        milliseconds.back());
    fmt::print("CPU per round: agent {:.2f} ms, server {:.2f} ms; agent memory {:.1f} MB\n",
               1000 * (agent.CpuSeconds() - cpu_before) / rounds,
               1000 * (server.CpuSeconds() - server_before) / rounds, agent.ResidentMegabytes());
  }
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
  return Quantile(milliseconds, 0.5) <= 100 && Quantile(milliseconds, 0.99) <= 250 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Entry created -> SVID on a workload's open stream; exit code 1 when the bar is missed");
  Plan plan;
  plan.bin = std::filesystem::path(argv[0]).parent_path().string();
  app.add_option("--bin", plan.bin, "Folder of signet-server and signet-agent")
      ->capture_default_str();
  app.add_option("--rounds", plan.rounds, "Entries created, one after another")
      ->capture_default_str();
  app.add_option("--others", plan.others, "Entries of other workloads on the same agent")
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  return Run(plan);
}
