// Real signet-server and signet-agent on loopback, for each kind of proof: joining without a token,
// attesting again by themselves, and who is kept out. Certificates are the openssl program's and
// ssh-keygen's.

#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <functional>

#include "tests/support/agent_process.h"
#include "tests/support/eventually.h"
#include "tests/support/server_process.h"
#include "tests/support/tools.h"

namespace signet::test {
namespace {

namespace agent_api = spire::api::server::agent::v1;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Agent = spire::api::types::Agent;

// Certificates of nodes and of what vouches for them, as files.
struct NodePki {
  NodePki() {
    Openssl(dir, {"req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                  "-keyout", dir.File("ca.key"), "-out", dir.File("ca.pem"), "-subj",
                  "/CN=node authority", "-days", "30"});
    Issue("node");
    SshKeygen(dir, {"-q", "-N", "", "-t", "ed25519", "-f", dir.File("ssh_ca")});
    SshKeygen(dir, {"-q", "-N", "", "-t", "ed25519", "-f", dir.File("host")});
    SshKeygen(dir, {"-q", "-s", dir.File("ssh_ca"), "-I", "node", "-h", "-n", "web1.example.org",
                    dir.File("host.pub")});
  }
  void Issue(const std::string& name) {
    WriteText(dir.File("ext"), "keyUsage=critical,digitalSignature\n");
    Openssl(dir,
            {"req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
             dir.File(name + ".key"), "-out", dir.File(name + ".csr"), "-subj", "/CN=" + name});
    Openssl(dir, {"x509", "-req", "-in", dir.File(name + ".csr"), "-CA", dir.File("ca.pem"),
                  "-CAkey", dir.File("ca.key"), "-CAcreateserial", "-days", "30", "-extfile",
                  dir.File("ext"), "-out", dir.File(name + ".pem")});
  }
  std::string ServerX509Pop(const std::string& more = {}) const {
    return "node_attestors:\n  x509pop:\n    ca_bundle_path: " + dir.File("ca.pem") + "\n" + more;
  }
  std::string AgentX509Pop(const std::string& name = "node") const {
    return "node_attestor:\n  x509pop:\n    certificate_path: " + dir.File(name + ".pem") +
           "\n    private_key_path: " + dir.File(name + ".key") + "\n";
  }
  TempDir dir;
};

std::vector<Agent> ListAgents(const ServerProcess& server) {
  grpc::ClientContext context;
  agent_api::ListAgentsResponse response;
  REQUIRE(agent_api::Agent::NewStub(server.Admin())
              ->ListAgents(&context, agent_api::ListAgentsRequest(), &response)
              .ok());
  return {response.agents().begin(), response.agents().end()};
}

Agent OnlyAgent(const ServerProcess& server) {
  const auto agents = ListAgents(server);
  REQUIRE(agents.size() == 1);
  return agents[0];
}

void Evict(const ServerProcess& server, const Agent& agent) {
  grpc::ClientContext context;
  agent_api::DeleteAgentRequest request;
  *request.mutable_id() = agent.id();
  google::protobuf::Empty nothing;
  REQUIRE(agent_api::Agent::NewStub(server.Admin())->DeleteAgent(&context, request, &nothing).ok());
}

void Ban(const ServerProcess& server, const Agent& agent) {
  grpc::ClientContext context;
  agent_api::BanAgentRequest request;
  *request.mutable_id() = agent.id();
  google::protobuf::Empty nothing;
  REQUIRE(agent_api::Agent::NewStub(server.Admin())->BanAgent(&context, request, &nothing).ok());
}

std::vector<std::string> Selectors(const Agent& agent) {
  std::vector<std::string> selectors;
  for (const auto& selector : agent.selectors())
    selectors.push_back(selector.type() + ":" + selector.value());
  return selectors;
}

}  // namespace

TEST_CASE("x509pop: an agent joins by its certificate, and again by itself when it was evicted") {
  NodePki pki;
  ServerProcess server(SIGNET_BIN, pki.ServerX509Pop());
  server.Start();
  PinPort(server);
  AgentProcess agent(SIGNET_BIN, server, pki.AgentX509Pop());
  agent.Start();
  CHECK(agent.AgentId().starts_with("spiffe://example.org/spire/agent/x509pop/"));
  const Agent joined = OnlyAgent(server);
  CHECK(joined.attestation_type() == "x509pop");
  CHECK(joined.can_reattest());
  const auto selectors = Selectors(joined);
  CHECK(std::find(selectors.begin(), selectors.end(), "x509pop:subject:cn:node") !=
        selectors.end());

  Evict(server, joined);
  CHECK(Eventually([&] { return ListAgents(server).size() == 1; }));
  CHECK(OnlyAgent(server).id().path() == joined.id().path());
  CHECK(agent.process().running());
}

TEST_CASE("x509pop: an agent renews by attesting again, over one SVID's life after another") {
  NodePki pki;
  ServerProcess server(SIGNET_BIN, pki.ServerX509Pop() + "agent_ttl: 4s\n");
  server.Start();
  AgentProcess agent(SIGNET_BIN, server, pki.AgentX509Pop());
  agent.Start();
  agent.AgentId();
  std::vector<std::string> serials = {OnlyAgent(server).x509svid_serial_number()};
  CHECK(Eventually([&] {
    const std::string now = OnlyAgent(server).x509svid_serial_number();
    if (now != serials.back()) serials.push_back(now);
    return serials.size() >= 3;
  }));
  CHECK(agent.process().running());
}

TEST_CASE("x509pop: a banned agent stays out, though its certificate is good") {
  NodePki pki;
  ServerProcess server(SIGNET_BIN, pki.ServerX509Pop());
  server.Start();
  AgentProcess agent(SIGNET_BIN, server, pki.AgentX509Pop());
  agent.Start();
  agent.AgentId();
  Ban(server, OnlyAgent(server));
  const auto end = agent.process().Wait(seconds(20));
  INFO(agent.Output());
  REQUIRE(end);
  CHECK(end->code == 4);
  CHECK(agent.StartRefused().code == 3);
  CHECK(agent.Output().find("banned") != std::string::npos);
}

TEST_CASE(
    "x509pop: authorities are read again when their file changes; a bad file changes nothing") {
  NodePki old_pki;
  NodePki new_pki;
  ServerProcess server(SIGNET_BIN, old_pki.ServerX509Pop());
  server.Start();
  AgentProcess stranger(SIGNET_BIN, server, new_pki.AgentX509Pop());
  CHECK(stranger.StartRefused().code == 3);
  WriteText(old_pki.dir.File("ca.pem"), "no certificate");
  AgentProcess known(SIGNET_BIN, server, old_pki.AgentX509Pop());
  known.Start();
  CHECK(known.AgentId().find("/x509pop/") != std::string::npos);
  WriteText(old_pki.dir.File("ca.pem"), ReadText(new_pki.dir.File("ca.pem")));
  stranger.Start();
  CHECK(stranger.AgentId().find("/x509pop/") != std::string::npos);
}

TEST_CASE("sshpop: an agent joins by its host certificate, under the name in it") {
  NodePki pki;
  ServerProcess server(
      SIGNET_BIN,
      "node_attestors:\n  sshpop:\n    cert_authorities_path: " + pki.dir.File("ssh_ca.pub") +
          "\n    canonical_domain: example.org\n"
          "    agent_path_template: \"/{{ .PluginName }}/{{ .Hostname }}\"\n");
  server.Start();
  AgentProcess agent(SIGNET_BIN, server,
                     "node_attestor:\n  sshpop:\n    host_key_path: " + pki.dir.File("host") +
                         "\n    host_cert_path: " + pki.dir.File("host-cert.pub") + "\n");
  agent.Start();
  CHECK(agent.AgentId() == "spiffe://example.org/spire/agent/sshpop/web1");
  CHECK(OnlyAgent(server).can_reattest());
  CHECK(Selectors(OnlyAgent(server)).empty());
}

TEST_CASE("http_challenge: an agent joins once under its name, and again when it was evicted") {
  // Loopback is no target unless it is opened, and its names are refused: so an address is used.
  const std::string settings = "node_attestor:\n  http_challenge:\n    hostname: 127.0.0.1\n";
  ServerProcess server(SIGNET_BIN,
                       "node_attestors:\n  http_challenge:\n"
                       "    allowed_dns_patterns: ['127\\.0\\.0\\.1']\n"
                       "    allowed_addresses: [127.0.0.1]\n");
  server.Start();
  AgentProcess agent(SIGNET_BIN, server, settings);
  agent.Start();
  CHECK(agent.AgentId() == "spiffe://example.org/spire/agent/http_challenge/127.0.0.1");
  CHECK_FALSE(OnlyAgent(server).can_reattest());
  CHECK(Selectors(OnlyAgent(server)) ==
        std::vector<std::string>{"http_challenge:hostname:127.0.0.1"});

  AgentProcess second(SIGNET_BIN, server, settings);
  CHECK(second.StartRefused().code == 3);
  CHECK(second.Output().find("already been used") != std::string::npos);
  agent.Stop();
  Evict(server, OnlyAgent(server));
  second.Start();
  CHECK(second.AgentId() == "spiffe://example.org/spire/agent/http_challenge/127.0.0.1");
}

TEST_CASE("A11: http_challenge does not call loopback unless an operator opens it") {
  ServerProcess server(SIGNET_BIN, "node_attestors: {http_challenge: {}}\n");
  server.Start();
  AgentProcess agent(SIGNET_BIN, server,
                     "node_attestor:\n  http_challenge:\n    hostname: 127.0.0.1\n");
  CHECK(agent.StartRefused().code == 3);
  CHECK(agent.Output().find("loopback") == std::string::npos);
  CHECK(server.Output().find("loopback") != std::string::npos);
  CHECK(ListAgents(server).empty());
}

TEST_CASE("expired agents are purged by command, and named first when that is asked for") {
  NodePki pki;
  ServerProcess server(SIGNET_BIN, pki.ServerX509Pop() + "agent_ttl: 1s\n");
  server.Start();
  AgentProcess agent(SIGNET_BIN, server, pki.AgentX509Pop());
  agent.Start();
  agent.AgentId();
  agent.Kill();
  const auto purge = [&](std::vector<std::string> options) {
    std::vector<std::string> arguments = {std::string(SIGNET_BIN) + "/signet", "--socket",
                                          server.admin_socket(), "agent", "purge"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    return RunTool(pki.dir, arguments);
  };
  CHECK(purge({"--expired-for", "1h"}).find("no agent") != std::string::npos);
  CHECK(Eventually([&] {
    return purge({"--expired-for", "0s", "--dry-run"}).find("would evict") != std::string::npos;
  }));
  CHECK(ListAgents(server).size() == 1);
  CHECK(purge({"--expired-for", "0s"}).find("evicted spiffe://") != std::string::npos);
  CHECK(ListAgents(server).empty());
}

TEST_CASE("what is wrong with node attestors is said with line and hint, all at once") {
  NodePki pki;
  const std::string config = pki.dir.File("server.yaml");
  WriteText(config, "trust_domain: example.org\ndata_dir: " + pki.dir.File("data") +
                        "\nnode_attestors:\n"
                        "  x509pop:\n"
                        "    ca_bundle_path: /nonexistent.pem\n"
                        "    agent_path_template: \"/{{ .Nonsense }}\"\n"
                        "    max_intermediates: 99\n"
                        "  sshpop: {canonical_domain: example.org}\n"
                        "  http_challenge:\n"
                        "    tofu: false\n"
                        "    allowed_dns_patterns: ['a(b']\n"
                        "  tpm: {}\n");
  std::string output;
  const auto end =
      RunProcess({std::string(SIGNET_BIN) + "/signet-server", "validate", "--config", config},
                 pki.dir.File("validate.out"), &output);
  CHECK(end.code != 0);
  for (const char* part : {":5: ", "/nonexistent.pem", ":6: ", ".Nonsense", ".Fingerprint",
                           ":7: ", ":8: ", "cert_authorities", ":10: ", "allow_non_root_ports",
                           ":11: ", ":12: ", "tpm"}) {
    CAPTURE(part, output);
    CHECK(output.find(part) != std::string::npos);
  }
}

}  // namespace signet::test
