#include "agent/config.h"

#include <catch2/catch.hpp>

using namespace signet;
using namespace signet::agent;
using namespace std::chrono_literals;

namespace {

constexpr const char* kGood = R"(
trust_domain: example.org
data_dir: /var/lib/signet/agent
server: 127.0.0.1:8081
trust_bundle: /etc/signet/bundle.pem
)";

AgentConfig Read(const std::string& text, ConfigProblems* problems,
                 const ConfigOverrides& overrides = {}) {
  return ParseConfig(text, "agent.yaml", overrides, problems);
}

// The one problem's line and message.
std::string OnlyProblem(const std::string& more) {
  ConfigProblems problems;
  Read(kGood + more, &problems);
  REQUIRE(problems.all().size() == 1);
  return problems.all()[0].message;
}

}  // namespace

TEST_CASE("what is not said has its default") {
  ConfigProblems problems;
  const AgentConfig config = Read(kGood, &problems);
  REQUIRE(problems.Text() == "");
  CHECK(config.trust_domain.name() == "example.org");
  CHECK(config.attest.trust_domain == config.trust_domain);
  CHECK(config.socket == "/run/signet/agent/api.sock");
  CHECK(config.socket_mode == 0777);
  CHECK(config.sync_interval == 5s);
  CHECK_FALSE(config.unix_attestor.discover_path);
  CHECK_FALSE(config.workload_attestors.systemd);
  CHECK_FALSE(config.workload_attestors.docker);
  CHECK_FALSE(config.metrics);
  CHECK_FALSE(std::get<JoinTokenOptions>(config.node_attestor).token);
}

TEST_CASE("everything can be said") {
  ConfigProblems problems;
  const AgentConfig config = Read(R"(
trust_domain: spiffe://example.org
data_dir: /d
server: signet.example.org:8081
socket: unix:///tmp/api.sock
socket_mode: "0770"
trust_bundle_digest: "9F:86:d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
join_token: abc
attestors:
  unix:
    discover_path: true
    sha256_limit: 1000
  systemd: {fragment_path: false}
  docker: {docker_socket_path: "unix:///d.sock", env: [MODE]}
  timeout: 2s
sync_interval: 1s
limits: {connections: 10, connections_per_user: 5, streams_per_user: 6}
log: {level: debug, format: json}
metrics: 127.0.0.1:0
)",
                                  &problems);
  REQUIRE(problems.Text() == "");
  CHECK(config.socket == "/tmp/api.sock");
  CHECK(config.socket_mode == 0770);
  REQUIRE(config.attest.pin);
  CHECK((*config.attest.pin)[0] == 0x9f);
  CHECK(AsText(std::get<JoinTokenOptions>(config.node_attestor).token->view()) == "abc");
  CHECK(config.unix_attestor.discover_path);
  CHECK(config.unix_attestor.sha256_limit == 1000);
  CHECK(config.workload_attestors.systemd);
  CHECK_FALSE(config.workload_attestors.fragment_path);
  CHECK(config.workload_attestors.timeout == 2s);
  REQUIRE(config.workload_attestors.docker);
  CHECK(config.workload_attestors.docker->docker_socket == "/d.sock");
  CHECK(config.workload_attestors.docker->podman_socket == "/run/podman/podman.sock");
  CHECK(config.workload_attestors.docker->allowed_variables.contains("MODE"));
  CHECK(config.limits.connections_per_uid == 5);
  CHECK(config.log_level == LogLevel::kDebug);
  CHECK(config.log_format == LogFormat::kJson);
  REQUIRE(config.metrics);
}

TEST_CASE("all problems come at once, each with its line") {
  ConfigProblems problems;
  Read("trust_domain: Ex ample\nserver: nowhere\nsocket: a\nsockets: b\nlog: {level: loud}\n",
       &problems);
  std::vector<int> lines;
  for (const ConfigProblem& problem : problems.all()) {
    lines.push_back(problem.line);
    CHECK_FALSE(problem.hint.empty());
  }
  std::sort(lines.begin(), lines.end());
  CHECK(lines == std::vector<int>{1, 1, 1, 2, 3, 4, 5});  // no data_dir and no trust at line 1
}

TEST_CASE("one of bundle and digest is needed, and not both") {
  CHECK(OnlyProblem("trust_bundle_digest: '00'\n") ==
        "trust_bundle and trust_bundle_digest are both set");
  ConfigProblems problems;
  Read("trust_domain: a\ndata_dir: /d\nserver: h:1\ntrust_bundle_digest: '00'\n", &problems);
  REQUIRE(problems.all().size() == 1);
  CHECK(problems.all()[0].message == "not a SHA-256 digest");
}

TEST_CASE("a socket path the kernel does not take is refused with the limit") {
  CHECK(OnlyProblem("socket: /" + std::string(107, 'x') + "\n") ==
        "a socket path has at most 107 bytes, this one has 108");
  CHECK(OnlyProblem("socket_mode: '0888'\n") == "not a file mode: 0888");
}

TEST_CASE("two sources of the join token are one too many; the command line wins") {
  CHECK(OnlyProblem("join_token: a\njoin_token_file: /f\n") ==
        "join_token and join_token_file are both set");
  ConfigProblems problems;
  const AgentConfig config =
      Read(std::string(kGood) + "join_token: a\n", &problems, {"b", "/tmp/other.sock"});
  REQUIRE(problems.empty());
  CHECK(AsText(std::get<JoinTokenOptions>(config.node_attestor).token->view()) == "b");
  CHECK(config.socket == "/tmp/other.sock");
}

TEST_CASE("the server is a TCP address, and so is that of metrics") {
  CHECK(OnlyProblem("metrics: unix:/tmp/x\n") == "not a TCP address");
}

TEST_CASE("the key-encryption key comes from a file, a credential or the keyring") {
  const auto source = [](const std::string& text, const std::string& credentials = "/run/creds") {
    ConfigProblems problems;
    const AgentConfig config =
        Read(std::string(kGood) + "seal_key: " + text + "\n", &problems, {"", "", credentials});
    return problems.empty() ? config.seal_key.name : "refused";
  };
  CHECK(source("file:/etc/kek") == "/etc/kek");
  CHECK(source("credential:agent-kek") == "/run/creds/agent-kek");
  CHECK(source("keyring:agent-kek") == "agent-kek");
  CHECK(source("credential:agent-kek", "") == "refused");
  for (const char* text : {"file:relative", "credential:../kek", "credential:.", "'keyring:'", "x"})
    CHECK(source(text) == "refused");
}

TEST_CASE("a node attests by one kind of proof, with SPIRE's names for its settings") {
  const auto read = [](const std::string& more) {
    ConfigProblems problems;
    const auto config = Read(kGood + more, &problems);
    CHECK(problems.Text().empty());
    return config.node_attestor;
  };
  const auto x509pop = std::get<X509PopOptions>(
      read("node_attestor: {x509pop: {certificate_path: /c, private_key_path: /k, "
           "intermediates_path: /i}}\n"));
  CHECK(x509pop.certificate_path == "/c");
  CHECK(x509pop.private_key_path == "/k");
  CHECK(x509pop.intermediates_path == "/i");
  const auto sshpop = std::get<SshPopOptions>(read("node_attestor: {sshpop: {}}\n"));
  CHECK(sshpop.host_key_path == "/etc/ssh/ssh_host_rsa_key");
  CHECK(sshpop.host_cert_path == "/etc/ssh/ssh_host_rsa_key-cert.pub");
  const auto http = std::get<HttpChallengeOptions>(
      read("node_attestor: {http_challenge: {hostname: a.org, agentname: x, port: 8080, "
           "advertised_port: 80}}\n"));
  CHECK(http.host_name == "a.org");
  CHECK(http.agent_name == "x");
  CHECK(http.port == 8080);
  CHECK(http.advertised_port == 80);
  CHECK(std::holds_alternative<JoinTokenOptions>(read("")));
  CHECK(std::holds_alternative<JoinTokenOptions>(
      read("node_attestor: {join_token: {}}\njoin_token_file: /t\n")));
}

TEST_CASE("no proof, or two of them, or one beside a token, is a problem") {
  CHECK(OnlyProblem("node_attestor: {}\n") == "0 kinds of proof are set");
  CHECK(OnlyProblem("node_attestor: {sshpop: {}, http_challenge: {}}\n") ==
        "2 kinds of proof are set");
  CHECK(OnlyProblem("node_attestor: {sshpop: {}}\njoin_token_file: /t\n") ==
        "a join token and another kind of proof are both set");
}

TEST_CASE("attestors that cannot work as they are configured are problems") {
  CHECK(OnlyProblem("attestors: {docker: {docker_socket_path: d.sock}}\n") ==
        "not the path of a Unix socket: d.sock");
  CHECK(OnlyProblem("attestors: {docker: {env: ['A=b']}}\n") == "not the name of a variable: A=b");
  OnlyProblem("attestors: {systemd: {fragments: true}}\n");
  OnlyProblem("attestors: {timeout: 1ms}\n");
}
