// signet-proxy as a real process with a Workload API that a test commands.
//
// Threads: none.
#pragma once

#include <catch2/catch.hpp>
#include <csignal>
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "tests/support/eventually.h"
#include "tests/support/fake_workload_api.h"
#include "tests/support/process.h"
#include "tests/support/stream_client.h"
#include "tests/support/temp_dir.h"

namespace signet::test {

// A proxy, its agent and its files.
class ProxyProcess {
 public:
  explicit ProxyProcess(const TestAuthority& root) : api(directory.File("api.sock")), root_(root) {}

  void Configure(const std::string& yaml) {
    const std::string whole =
        yaml + "\nworkload_api: " + directory.File("api.sock") + "\nmetrics: 127.0.0.1:0\n";
    REQUIRE(WriteFileAtomically(config(), AsBytes(whole), 0600));
  }
  // Over it, by hand: what a reload must refuse.
  void ConfigureBadly(const std::string& text) {
    REQUIRE(WriteFileAtomically(config(), AsBytes(text), 0600));
  }
  // `wrapper`: what starts it; `command`: run, or exec; `after`: what follows its options.
  void Start(const std::string& yaml, const std::vector<std::string>& wrapper = {},
             const std::string& command = "run", const std::vector<std::string>& after = {}) {
    Configure(yaml);
    std::vector<std::string> arguments = wrapper;
    for (const std::string& each :
         {std::string(SIGNET_BIN "/signet-proxy"), command, std::string("--config"), config()})
      arguments.push_back(each);
    arguments.insert(arguments.end(), after.begin(), after.end());
    process = std::make_unique<Process>(arguments, directory.File("log"));
    REQUIRE(Eventually([&] { return !Logged("health and metrics", "port=").empty(); }));
    const std::string port = Logged("health and metrics", "port=");
    admin_ = (*net::Address::Parse("127.0.0.1:" + port)->Resolve()).front();
  }
  void Become(const std::string& id) {
    api.Answer({id, root_.Issue(id), {root_.certificate()}, {}});
  }
  bool BecomesReady() {
    return Eventually([&] { return Get("/ready").starts_with("HTTP/1.1 200"); });
  }
  bool BecomesUnready() {
    return Eventually([&] { return Get("/ready").starts_with("HTTP/1.1 503"); });
  }

  std::string Get(const std::string& path) const {
    StreamClient http = StreamClient::Connect(admin_);
    http.Send("GET " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    return http.ReceiveToEnd();
  }
  double Series(const std::string& series) const {
    const std::string text = Get("/metrics");
    const auto at = text.find("\n" + series + " ");
    return at == std::string::npos ? -1 : std::stod(text.substr(at + series.size() + 2));
  }
  double Refused(const std::string& reason) const {
    return Series(R"(signet_proxy_refused_total{direction="inbound",listener="web",reason=")" +
                  reason + "\"}");
  }
  double Closed(const std::string& reason) const {
    return Series(
        R"(signet_proxy_connections_closed_total{direction="inbound",listener="web",reason=")" +
        reason + "\"}");
  }
  // Where a listener on port 0 is: the program says so when it starts.
  net::SocketAddress ListenAddress(const std::string& listener) const {
    const std::string text = Logged("listener=" + listener, "address=");
    INFO(process->Output());
    REQUIRE_FALSE(text.empty());
    return (*net::Address::Parse(text)->Resolve()).front();
  }
  StreamClient CallAs(const std::string& id) const {
    return StreamClient::Connect(ListenAddress("web"), TrustingContext(root_.Issue(id)));
  }
  ProcessEnd Stop() {
    process->Signal(SIGTERM);
    const auto end = process->Wait(std::chrono::seconds(20));
    REQUIRE(end);
    return *end;
  }
  std::string config() const { return directory.File("proxy.yaml"); }

  TempDir directory;
  FakeWorkloadApi api;
  std::unique_ptr<Process> process;

 private:
  // The value after `key` in the first line that holds `mark`; empty when there is none yet.
  std::string Logged(const std::string& mark, const std::string& key) const {
    return test::Logged(process->Output(), mark, key);
  }

  const TestAuthority& root_;
  net::SocketAddress admin_;
};

}  // namespace signet::test
