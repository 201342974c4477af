// A real signet-proxy whose identity comes from an AgentProcess.
//
// Threads: none.
#pragma once

#include <catch2/catch.hpp>
#include <memory>
#include <string>

#include "base/file.h"
#include "tests/support/agent_process.h"
#include "tests/support/eventually.h"
#include "tests/support/stream_client.h"

namespace signet::test {

class AgentProxy {
 public:
  // `settings`: its listeners, on port 0, as YAML.
  AgentProxy(const AgentProcess& agent, const std::string& settings) {
    const std::string config = folder_.File("proxy.yaml");
    REQUIRE(WriteFileAtomically(
        config, AsBytes(settings + "workload_api: " + agent.socket() + "\nmetrics: 127.0.0.1:0\n"),
        0600));
    process_ = std::make_unique<Process>(
        std::vector<std::string>{SIGNET_BIN "/signet-proxy", "run", "--config", config},
        folder_.File("log"));
  }
  net::SocketAddress Listener(const std::string& name) const {
    const auto text = [&] { return Logged(process_->Output(), "listener=" + name, "address="); };
    REQUIRE(Eventually([&] { return !text().empty(); }));
    return net::Address::Parse(text())->Resolve()->front();
  }
  bool IsReady() const { return Get("/ready").starts_with("HTTP/1.1 200"); }
  bool BecomesReady() const {
    return Eventually([&] { return IsReady(); });
  }
  // The value of a series, "name{labels}", or -1.
  double Series(const std::string& series) const {
    const std::string text = Get("/metrics");
    const auto at = text.find("\n" + series + " ");
    return at == std::string::npos ? -1 : std::stod(text.substr(at + series.size() + 2));
  }
  std::string Output() const { return process_->Output(); }

 private:
  std::string Get(const std::string& path) const {
    const auto port = [&] { return Logged(process_->Output(), "health and metrics", "port="); };
    REQUIRE(Eventually([&] { return !port().empty(); }));
    auto http =
        StreamClient::Connect(net::Address::Parse("127.0.0.1:" + port())->Resolve()->front());
    http.Send("GET " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    return http.ReceiveToEnd();
  }

  TempDir folder_;
  std::unique_ptr<Process> process_;
};

}  // namespace signet::test
