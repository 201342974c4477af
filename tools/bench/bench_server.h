// signet-server under measurement, as a child in a folder of its own. Errors end the program.
//
// Threads: none.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "net/address.h"
#include "tools/bench/bench_node.h"

namespace signet::bench {

class BenchServer {
 public:
  static constexpr const char* kUnlimited = "{signing: false, attestation: false, calls: false}";

  // `limits`: its ratelimit.
  explicit BenchServer(std::string bin, std::string limits = kUnlimited)
      : bin_(std::move(bin)), limits_(std::move(limits)) {
    folder_ = (std::filesystem::temp_directory_path() / "signet-bench-XXXXXX").string();
    if (mkdtemp(folder_.data()) == nullptr) Die("no temporary folder");
    Configure("127.0.0.1:0");
    Start();
    Configure(admin_->ServerAddress());  // the same over restarts
  }
  ~BenchServer() {
    child_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  BenchServer(const BenchServer&) = delete;
  BenchServer& operator=(const BenchServer&) = delete;

  void KillAndStart() {
    child_->Kill();
    Start();
  }
  // Told to end, and waited for.
  void Stop() {
    admin_.reset();
    child_.reset();
  }
  void Start() {
    std::filesystem::remove(folder_ + "/admin.sock");
    child_.emplace(std::vector<std::string>{bin_ + "/signet-server", "run", "--config",
                                            folder_ + "/server.yaml"},
                   folder_ + "/log");
    for (int i = 0; i < 12 && !AwaitFile(folder_ + "/admin.sock"); ++i) {  // a million entries
    }
    MustAppear(folder_ + "/admin.sock");
    admin_ = std::make_unique<Admin>(folder_ + "/admin.sock");
  }
  net::Address address() { return net::Address::Parse(admin_->ServerAddress()).value(); }
  Admin& admin() { return *admin_; }
  const Child& child() const { return *child_; }
  const std::string& folder() const { return folder_; }

 private:
  void Configure(const std::string& listen) const {
    std::ofstream(folder_ + "/server.yaml")
        << "trust_domain: example.org\ndata_dir: " << folder_ << "/server\nlisten: " << listen
        << "\nadmin_socket: " << folder_ << "/admin.sock"
        << "\nratelimit: " << limits_ << "\nlog: {level: error}\n"
        << "limits: {connections: 12000, connections_per_address: 12000}\n";
  }

  const std::string bin_, limits_;
  std::string folder_;
  std::optional<Child> child_;
  std::unique_ptr<Admin> admin_;
};

}  // namespace signet::bench
