#include <catch2/catch.hpp>

#include "identity/server/config.h"

namespace signet::identity {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr const char* kMinimal = "trust_domain: example.org\ndata_dir: /var/lib/x\n";

ServerConfig Parse(const std::string& text, ConfigProblems* problems) {
  return ParseServerConfig(text, "server.yaml", problems);
}

ServerConfig MustParse(const std::string& text) {
  ConfigProblems problems;
  auto config = Parse(text, &problems);
  INFO(problems.Text());
  REQUIRE(problems.empty());
  return config;
}

// The one problem of `text`.
ConfigProblem ProblemOf(const std::string& text) {
  ConfigProblems problems;
  Parse(text, &problems);
  INFO(problems.Text());
  REQUIRE(problems.all().size() == 1);
  return problems.all().front();
}

TEST_CASE("a minimal configuration gets SPIRE's defaults") {
  const auto config = MustParse(kMinimal);
  CHECK(config.trust_domain.name() == "example.org");
  CHECK(config.listen.ToString() == "0.0.0.0:8081");
  CHECK(config.admin_socket.path == "/var/lib/x/admin.sock");
  CHECK(config.admin_socket.mode == 0770);
  CHECK(config.admin_socket.owner == -1);
  CHECK(config.ca_ttl == hours(24));
  CHECK(config.ca_key_type == ca::KeyType::kEcP256);
  CHECK(config.jwt_key_type == ca::KeyType::kEcP256);
  CHECK(config.default_x509_svid_ttl == hours(1));
  CHECK(config.agent_ttl == hours(1));
  CHECK(config.default_jwt_svid_ttl == minutes(5));
  CHECK(config.jwt_issuer.empty());
  CHECK_FALSE(config.disable_jwt_svids);
  CHECK(config.ca_subject.empty());
  CHECK_FALSE(config.metrics);
  CHECK(config.key_store.kek_file == "/var/lib/x/kek");
  CHECK(config.limit_signing);
  CHECK(config.limit_attestation);
  CHECK(config.limit_calls);
  CHECK_FALSE(config.agent_id_selector);
  CHECK(ConfigWarnings(config).empty());
}

TEST_CASE("JWT-SVIDs have a lifetime, an issuer and a switch; a lifetime too long is warned of") {
  const auto config = MustParse(std::string(kMinimal) +
                                "default_jwt_svid_ttl: 5h\njwt_issuer: https://idp.example\n");
  CHECK(config.default_jwt_svid_ttl == hours(5));
  CHECK(config.jwt_issuer == "https://idp.example");
  CHECK(ConfigWarnings(config).size() == 1);
  const auto off =
      MustParse(std::string(kMinimal) + "default_jwt_svid_ttl: 5h\ndisable_jwt_svids: true\n");
  CHECK(off.disable_jwt_svids);
  CHECK(ConfigWarnings(off).empty());
}

TEST_CASE("what is derived follows what is stated") {
  const auto config = MustParse(std::string(kMinimal) +
                                "ca_key_type: rsa-2048\ndefault_x509_svid_ttl: 20m\nmetrics: on\n");
  CHECK(config.jwt_key_type == ca::KeyType::kRsa2048);
  CHECK(config.agent_ttl == minutes(20));
  REQUIRE(config.metrics);
  CHECK(config.metrics->ToString() == "127.0.0.1:9988");
}

TEST_CASE("every key of a full configuration arrives") {
  const auto config = MustParse(std::string(kMinimal) + R"(
listen: 127.0.0.1:0
admin_socket: unix:/run/signet/admin.sock
admin: {mode: "0700", owner: 0, group: root}
ca_ttl: 6h
jwt_key_type: ec-p384
ca_subject: {country: [DE], organization: [One, Two], common_name: root}
agent_ttl: 30m
admin_ids: ["spiffe://example.org/admin"]
ratelimit: {attestation: false, signing: false, calls: false}
experimental: {agent_spiffe_id_as_selector: true}
log: {level: debug, format: json}
metrics: 127.0.0.1:0
kek_file: /etc/kek
limits: {connections: 7, connections_per_address: 6, workers: 5, queued_calls: 4, message_bytes: 70000}
)");
  CHECK(config.admin_socket.path == "/run/signet/admin.sock");
  CHECK(config.admin_socket.mode == 0700);
  CHECK(config.admin_socket.owner == 0);
  CHECK(config.admin_socket.group == 0);
  CHECK(config.ca_ttl == hours(6));
  CHECK(config.jwt_key_type == ca::KeyType::kEcP384);
  REQUIRE(config.ca_subject.size() == 4);
  CHECK(config.ca_subject[0].oid == "2.5.4.6");
  CHECK(config.ca_subject[2].value == "Two");
  CHECK(config.agent_ttl == minutes(30));
  REQUIRE(config.admin_ids.size() == 1);
  CHECK_FALSE(config.limit_signing);
  CHECK_FALSE(config.limit_attestation);
  CHECK_FALSE(config.limit_calls);
  CHECK(config.agent_id_selector);
  CHECK(config.log_level == LogLevel::kDebug);
  CHECK(config.log_format == LogFormat::kJson);
  CHECK(config.key_store.kek_file == "/etc/kek");
  CHECK(config.limits.connections == 7);
  CHECK(config.limits.connections_per_address == 6);
  CHECK(config.limits.workers == 5);
  CHECK(config.limits.queued_calls == 4);
  CHECK(config.limits.message_bytes == 70000);
}

TEST_CASE("all problems are told at once, each with its line") {
  ConfigProblems problems;
  Parse("trust_domain: Example\nca_ttl: soon\nlisten: nowhere\nca_keytype: ec-p256\n", &problems);
  INFO(problems.Text());
  REQUIRE(problems.all().size() == 5);
  std::vector<int> lines;
  for (const auto& problem : problems.all()) {
    CHECK(problem.file == "server.yaml");
    CHECK_FALSE(problem.message.empty());
    lines.push_back(problem.line);
  }
  for (const int line : {1, 2, 3, 4})
    CHECK(std::find(lines.begin(), lines.end(), line) != lines.end());
}

TEST_CASE("each refused value names its line and what to write") {
  const auto at_line_3 = [](const std::string& line) {
    const auto problem = ProblemOf(kMinimal + line + "\n");
    INFO(line);
    CHECK(problem.line == 3);
    CHECK_FALSE(problem.hint.empty());
  };
  at_line_3("ca_key_type: ed25519");
  at_line_3("jwt_key_type: rsa-1024");
  at_line_3("listen: unix:/x");
  at_line_3("metrics: sometimes");
  at_line_3("admin_socket: relative.sock");
  at_line_3("admin_socket: /" + std::string(107, 'a'));
  at_line_3("admin: {mode: \"9\"}");
  at_line_3("admin: {owner: no-such-user-here}");
  at_line_3("admin: {group: no-such-group-here}");
  at_line_3("log: {level: loud}");
  at_line_3("log: {format: xml}");
  at_line_3("ca_subject: {country: [Germany]}");
  at_line_3("admin_ids: [\"spiffe://other.org/admin\"]");
  at_line_3("admin_ids: [\"admin\"]");
  at_line_3("key_store: {type: usb}");
  at_line_3("key_store: {kek_credential: ../kek}");
  at_line_3("key_store: {kek_credential: \"\"}");
}

TEST_CASE("a key store in a token, in a credential and in memory arrive as configured") {
  const auto with = [](const std::string& line) {
    return MustParse(std::string(kMinimal) + line + "\n");
  };
  const auto token =
      with("key_store: {type: pkcs11, module: /m.so, token: t, pin_file: /pin, sessions: 3}")
          .key_store;
  CHECK(token.type == KeyStoreType::kPkcs11);
  CHECK(token.pkcs11.module == "/m.so");
  CHECK(token.pkcs11.token == "t");
  CHECK(token.pkcs11.pin_file == "/pin");
  CHECK(token.pkcs11.sessions == 3);
  const auto credential = with("key_store: {kek_credential: signet-kek}").key_store;
  CHECK(KekSourceOf(credential, "").error().reason == ca::kKeyStoreUnusable);
  const auto source = KekSourceOf(credential, "/run/credentials/signet").value();
  CHECK(source.is_credential);
  CHECK(source.path == "/run/credentials/signet/signet-kek");
  CHECK(with("key_store: {kek_file: /elsewhere}").key_store.kek_file == "/elsewhere");
  const auto memory = with("key_store: {type: memory}");
  CHECK(memory.key_store.type == KeyStoreType::kMemory);
  CHECK(ConfigWarnings(memory).size() == 1);
  ConfigProblems problems;
  Parse(std::string(kMinimal) + std::string("key_store: {type: pkcs11}\n"), &problems);
  CHECK(problems.all().size() == 3);
}

TEST_CASE("a missing data directory and a relative one are refused") {
  CHECK(ProblemOf("trust_domain: example.org\nadmin_socket: /a.sock\n").message.find("data_dir") !=
        std::string::npos);
  CHECK(ProblemOf("trust_domain: example.org\nadmin_socket: /a.sock\ndata_dir: here\n").line == 3);
}

TEST_CASE("a TTL that a rotation would cut is warned of, and a safe one is not") {
  CHECK(ConfigWarnings(MustParse(std::string(kMinimal) + "default_x509_svid_ttl: 4h\n")).empty());
  const auto warnings =
      ConfigWarnings(MustParse(std::string(kMinimal) + "default_x509_svid_ttl: 5h\n"));
  REQUIRE(warnings.size() == 2);  // agents' TTL follows
  CHECK(warnings[0].find("ca_ttl") != std::string::npos);
}

TEST_CASE("the example in the repository is valid and states the defaults") {
  ConfigProblems problems;
  const auto config = LoadServerConfig(SIGNET_SOURCE "/examples/server.yaml", &problems);
  INFO(problems.Text());
  REQUIRE(problems.empty());
  const auto defaults = MustParse("trust_domain: example.org\ndata_dir: /var/lib/signet/server\n");
  CHECK(config.ca_ttl == defaults.ca_ttl);
  CHECK(config.listen.ToString() == defaults.listen.ToString());
  CHECK(config.admin_socket.path == defaults.admin_socket.path);
  CHECK(config.limits.queued_calls == defaults.limits.queued_calls);
  CHECK(config.limits.message_bytes == defaults.limits.message_bytes);
}

TEST_CASE("an unreadable file is one problem, not a list of missing keys") {
  ConfigProblems problems;
  LoadServerConfig("/no/such/file.yaml", &problems);
  CHECK(problems.all().size() == 1);
}

TEST_CASE("limits of authorities below ours are read, and those that would break them refused") {
  CHECK_FALSE(MustParse(kMinimal).downstream.path_length);
  const auto limits = MustParse(std::string(kMinimal) +
                                "downstream_ca:\n  path_length: 0\n"
                                "  permitted_uri_hosts: [example.org]\n"
                                "  permitted_dns_names: [example.org, .internal]\n")
                          .downstream;
  CHECK(limits.path_length == 0);
  CHECK(limits.permitted_uri_hosts == std::vector<std::string>{"example.org"});
  CHECK(limits.permitted_dns_names == std::vector<std::string>{"example.org", ".internal"});
  const auto problem = [](const std::string& line) {
    return ProblemOf(std::string(kMinimal) + "downstream_ca:\n  " + line + "\n");
  };
  CHECK(problem("path_length: 7").line == 4);
  CHECK(problem("path_length: -1").line == 4);
  CHECK(problem("permitted_uri_hosts: [other.org]").line == 4);
  CHECK(problem("permitted_dns_names: ['https://x']").line == 4);
}

TEST_CASE("a CA in files above ours is read, with its key in a file or in a token") {
  CHECK_FALSE(MustParse(kMinimal).upstream);
  const std::string disk =
      std::string(kMinimal) + "upstream_authority:\n  type: disk\n  certificate_file: /ca.pem\n";
  const auto read = MustParse(disk +
                              "  key_file: /ca.key\n  bundle_file: /root.pem\n  path_length: 1\n"
                              "  permitted_uri_hosts: [example.org]\n")
                        .upstream;
  REQUIRE(read);
  const auto* const files = std::get_if<DiskUpstreamConfig>(&*read);
  REQUIRE(files != nullptr);
  CHECK(files->certificate_file == "/ca.pem");
  CHECK(files->key_file == "/ca.key");
  CHECK(files->bundle_file == "/root.pem");
  CHECK(files->limits.path_length == 1);
  const std::string token = "  pkcs11: {module: /m.so, token: t, pin_file: /pin, key_label: ca}\n";
  const auto with_token = MustParse(disk + token).upstream;
  REQUIRE(with_token);
  const auto* const in_token = std::get_if<DiskUpstreamConfig>(&*with_token);
  REQUIRE(in_token != nullptr);
  CHECK(in_token->key_label == "ca");
  CHECK(in_token->token.token == "t");
  const auto problem = [&](const std::string& lines) { return ProblemOf(disk + lines); };
  CHECK(problem("").message == "there is no key");
  CHECK(problem("  key_file: /ca.key\n" + token).line == 6);
  CHECK(problem("  key_file: /ca.key\n  path_length: 9\n").line == 7);
  CHECK(problem("  key_file: /ca.key\n  permitted_uri_hosts: [other.org]\n").line == 7);
  CHECK(problem("  key_file: /ca.key\n  certificate: /x\n").line == 7);
  CHECK(ProblemOf(std::string(kMinimal) +
                  "upstream_authority:\n  type: vault\n  certificate_file: /c\n  key_file: /k\n")
            .line == 4);
  CHECK(ProblemOf(std::string(kMinimal) + "upstream_authority:\n  type: disk\n  key_file: /k\n")
            .message.find("certificate_file") != std::string::npos);
}

TEST_CASE("which keys are certified is a list of known types; all of them without one") {
  CHECK(MustParse(kMinimal).csr_key_types.empty());
  const std::string key = std::string(kMinimal) + "csr_key_types: ";
  CHECK(MustParse(key + "[ec-p384, rsa-4096]\n").csr_key_types ==
        std::vector<std::string>{"ec-p384", "rsa-4096"});
  CHECK(ProblemOf(key + "[ec-p256, dsa-1024]\n").message.find("dsa-1024") != std::string::npos);
  CHECK(ProblemOf(key + "[]\n").line == 3);
}

TEST_CASE("a server above ours is read: where it listens, and an agent of it on this host") {
  const std::string signet = std::string(kMinimal) + "upstream_authority:\n  type: signet\n";
  const std::string server = "  server: upstream.example.org:8081\n";
  const std::string socket = "  workload_api_socket: unix:///run/signet/agent/api.sock\n";
  const auto read = MustParse(signet + server + socket).upstream;
  REQUIRE(read);
  const auto* const above = std::get_if<SignetUpstreamConfig>(&*read);
  REQUIRE(above != nullptr);
  CHECK(above->server.ToString() == "upstream.example.org:8081");
  CHECK(above->workload_api_socket == "/run/signet/agent/api.sock");
  const auto problem = [&](const std::string& lines) { return ProblemOf(signet + lines); };
  CHECK(problem(server).message.find("workload_api_socket") != std::string::npos);
  CHECK(problem(socket).message.find("server") != std::string::npos);
  CHECK(problem("  server: unix:/run/x.sock\n" + socket).line == 5);
  CHECK(problem("  server: nowhere\n" + socket).line == 5);
  CHECK(problem(server + "  workload_api_socket: agent.sock\n").line == 6);
  CHECK(problem(server + socket + "  key_file: /ca.key\n").line == 7);
}

}  // namespace
}  // namespace signet::identity
