// What benches of a node share: signet-server and signet-agent as children in a folder of their
// own, and the admin's calls. Errors end the program.
//
// Threads: none.
#pragma once

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/bytes.h"
#include "ca/x509/certificate.h"
#include "signet/status/v1/status.grpc.pb.h"
#include "spire/api/server/agent/v1/agent.grpc.pb.h"
#include "spire/api/server/bundle/v1/bundle.grpc.pb.h"
#include "spire/api/server/entry/v1/entry.grpc.pb.h"
#include "tools/bench/child.h"

namespace signet::bench {

namespace agent_api = spire::api::server::agent::v1;
namespace bundle_api = spire::api::server::bundle::v1;
namespace entry_api = spire::api::server::entry::v1;

[[noreturn]] inline void Die(const std::string& what) {
  fmt::print(stderr, "bench: {}\n", what);
  std::exit(1);
}

inline void Must(const grpc::Status& status, const char* what) {
  if (!status.ok()) Die(fmt::format("{}: {}", what, status.error_message()));
}

inline void MustAppear(const std::string& path) {
  if (!AwaitFile(path)) Die(path + " did not appear");
}

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
    status::v1::GetStatusResponse status;
    Must(status::v1::Status::NewStub(channel_)->GetStatus(&context, {}, &status), "GetStatus");
    return status.listen_address();
  }
  std::string BundlePem() {
    grpc::ClientContext context;
    spire::api::types::Bundle bundle;
    Must(bundle_api::Bundle::NewStub(channel_)->GetBundle(&context, {}, &bundle), "GetBundle");
    std::string pem;
    for (const auto& authority : bundle.x509_authorities())
      pem += ca::ToPem(*ca::Certificate::Parse(AsBytes(authority.asn1())));
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
  std::shared_ptr<grpc::Channel> channel() const { return channel_; }
  const std::string& last_created() const { return created_.back(); }
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

// A server and an agent of it; `agent_settings` are lines of YAML.
class Node {
 public:
  Node(const std::string& bin, const std::string& agent_settings) : bin_(bin) {
    folder_ = (std::filesystem::temp_directory_path() / "signet-bench-XXXXXX").string();
    if (mkdtemp(folder_.data()) == nullptr) Die("no temporary folder");
    std::ofstream(File("server.yaml"))
        << "trust_domain: example.org\ndata_dir: " << File("server")
        << "\nlisten: 127.0.0.1:0\nadmin_socket: " << File("admin.sock")
        << "\nratelimit: {signing: false, calls: false}\nlog: {level: warn}\n";
    server_.emplace(
        std::vector<std::string>{bin + "/signet-server", "run", "--config", File("server.yaml")},
        File("log"));
    MustAppear(File("admin.sock"));
    admin_ = std::make_unique<Admin>(File("admin.sock"));
    std::ofstream(File("bundle.pem")) << admin_->BundlePem();
    std::ofstream(File("agent.yaml"))
        << "trust_domain: example.org\ndata_dir: " << File("agent")
        << "\nserver: " << admin_->ServerAddress() << "\nsocket: " << socket()
        << "\ntrust_bundle: " << File("bundle.pem") << "\nlog: {level: warn}\n"
        << agent_settings;
    StartAgent(admin_->CreateToken());
    parent_ = admin_->AgentPath();
  }
  ~Node() {
    agent_.reset();
    server_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  void StartAgent(const std::string& token = {}) {
    std::vector<std::string> arguments{bin_ + "/signet-agent", "run", "--config",
                                       File("agent.yaml")};
    if (!token.empty()) arguments.insert(arguments.end(), {"--join-token", token});
    agent_.emplace(arguments, File("log"));
    MustAppear(socket());
  }
  void KillAgent() {
    agent_->Kill();
    agent_.reset();
  }
  void EndServer() { server_.reset(); }

  std::string File(const std::string& name) const { return folder_ + "/" + name; }
  std::string socket() const { return File("api.sock"); }
  const std::string& parent() const { return parent_; }
  const Child& agent() const { return *agent_; }
  const Child& server() const { return *server_; }
  Admin& admin() { return *admin_; }

 private:
  const std::string bin_;
  std::string folder_;
  std::string parent_;
  std::optional<Child> server_;
  std::optional<Child> agent_;
  std::unique_ptr<Admin> admin_;
};

inline double Quantile(const std::vector<double>& sorted, double q) {
  return sorted[std::min(sorted.size() - 1,
                         static_cast<std::size_t>(q * static_cast<double>(sorted.size())))];
}

}  // namespace signet::bench
