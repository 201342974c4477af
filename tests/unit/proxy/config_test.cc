#include "proxy/config.h"

#include <catch2/catch.hpp>

#include "base/file.h"
#include "tests/support/temp_dir.h"

namespace signet::proxy {
namespace {

using namespace std::chrono_literals;

struct Loaded {
  std::shared_ptr<const ProxyConfig> config;
  std::string problems;
};

class Files {
 public:
  std::string Write(const std::string& name, std::string_view text) {
    REQUIRE(WriteFileAtomically(directory_.File(name), AsBytes(text), 0600));
    return directory_.File(name);
  }
  Loaded Load(std::string_view text, const std::string& endpoint = {}) {
    ConfigProblems problems;
    auto config = LoadConfig(Write("proxy.yaml", text), endpoint, &problems);
    return {config, problems.Text()};
  }

 private:
  test::TempDir directory_;
};

bool Says(const Loaded& loaded, const std::string& text) {
  INFO(loaded.problems);
  return loaded.config == nullptr && loaded.problems.find(text) != std::string::npos;
}

constexpr std::string_view kWhole = R"(
workload_api: /tmp/agent.sock
inbound:
  - name: web
    listen: 0.0.0.0:8443
    forward: 127.0.0.1:8080
    allow:
      - name: the shop
        id: spiffe://example.org/shop
outbound:
  - name: orders
    listen: 127.0.0.1:9000
    forward: orders.internal:8443
    expect:
      - ids: [spiffe://example.org/orders, spiffe://example.org/orders/*]
limits: {connections: 100, per_peer: 10, handshakes: 5, handshakes_per_address: 2, handshake_deadline: 3s, idle: 2m,
         connect_timeout: 1s, drain: 5s}
threads: 2
metrics: 127.0.0.1:9102
log: {level: debug, format: json}
)";

identity::SpiffeId Id(std::string_view text) { return *identity::SpiffeId::Parse(text); }

TEST_CASE("a whole configuration is read") {
  Files files;
  const Loaded loaded = files.Load(kWhole);
  INFO(loaded.problems);
  REQUIRE(loaded.config);
  const ProxyConfig& config = *loaded.config;
  CHECK(config.workload_api == "/tmp/agent.sock");
  REQUIRE(config.listeners.size() == 2);
  CHECK(config.listeners[0].name == "web");
  CHECK(config.listeners[0].policy.DecideConnection(Id("spiffe://example.org/shop")).allowed());
  CHECK_FALSE(
      config.listeners[0].policy.DecideConnection(Id("spiffe://example.org/shops")).allowed());
  CHECK(config.listeners[0].policy_place.ends_with("proxy.yaml:7"));
  CHECK(config.listeners[1].direction == Direction::kOutbound);
  CHECK(
      config.listeners[1].policy.DecideConnection(Id("spiffe://example.org/orders/eu")).allowed());
  CHECK(config.limits.connections == 100);
  CHECK(config.limits.per_peer == 10);
  CHECK(config.limits.handshakes == 5);
  CHECK(config.limits.handshakes_per_address == 2);
  CHECK(config.limits.handshake_deadline == 3s);
  CHECK(config.limits.idle == 2min);
  CHECK(config.limits.drain == 5s);
  CHECK(config.threads == 2);
  CHECK(config.metrics->port == 9102);
  CHECK(config.log_format == LogFormat::kJson);
  CHECK(config.warnings.empty());
}

TEST_CASE("limits.http is read, and what it does not say keeps its default") {
  Files files;
  const std::string listener =
      "inbound: [{name: web, protocol: http, listen: '127.0.0.1:0', forward: '127.0.0.1:80'}]\n";
  const Loaded loaded = files.Load(listener + R"(
limits:
  http: {header_bytes: 2048, target_bytes: 256, header_fields: 16, trailer_bytes: 512, streams: 7,
         upstream_connections: 9, header_timeout: 1s, keep_alive: 2s, stream_idle: 3s,
         upstream_idle: 500ms}
)");
  INFO(loaded.problems);
  REQUIRE(loaded.config);
  const HttpSettings& http = loaded.config->limits.http;
  CHECK(http.message.head_bytes == 2048);
  CHECK(http.message.target_bytes == 256);
  CHECK(http.message.fields == 16);
  CHECK(http.message.trailer_bytes == 512);
  CHECK(http.streams == 7);
  CHECK(http.upstream_connections == 9);
  CHECK(http.header_timeout == 1s);
  CHECK(http.keep_alive == 2s);
  CHECK(http.stream_idle == 3s);
  CHECK(http.upstream_idle == 500ms);

  const Loaded partly = files.Load(listener + "limits: {http: {streams: 7}}\n");
  REQUIRE(partly.config);
  CHECK(partly.config->limits.http.streams == 7);
  CHECK(partly.config->limits.http.keep_alive == HttpSettings{}.keep_alive);
  CHECK(partly.config->limits.http.message.head_bytes == HttpSettings{}.message.head_bytes);
}

TEST_CASE("each setting of limits.http has bounds, and a wrong name is a problem") {
  Files files;
  const Loaded loaded = files.Load(R"(
inbound: [{name: web, protocol: http, listen: '127.0.0.1:0', forward: '127.0.0.1:80'}]
limits:
  http:
    header_bytes: 1023
    target_bytes: 127
    header_fields: 7
    trailer_bytes: 255
    streams: 0
    upstream_connections: 0
    header_timeout: 99ms
    keep_alive: 25h
    stream_idle: never
    upstream_idle: 2h
    stream: 100
)");
  for (const char* key :
       {"header_bytes", "target_bytes", "header_fields", "trailer_bytes", "streams",
        "upstream_connections", "header_timeout", "keep_alive", "stream_idle", "upstream_idle"})
    CHECK(Says(loaded, "limits.http." + std::string(key)));
  CHECK(Says(loaded, "(did you mean 'streams'?)"));
}

TEST_CASE("a listener speaks tcp unless it says http or grpc, and upstream as fits") {
  Files files;
  const auto inbound = [&](const std::string& more) {
    return files.Load("inbound: [{name: web, listen: '127.0.0.1:0', forward: '127.0.0.1:80'" +
                      more + "}]");
  };
  const auto speaks = [](const Loaded& loaded, Protocol protocol, UpstreamProtocol upstream) {
    INFO(loaded.problems);
    REQUIRE(loaded.config);
    const ListenerConfig& listener = loaded.config->listeners[0];
    CHECK(listener.protocol == protocol);
    CHECK(listener.upstream_protocol == upstream);
  };
  const Loaded plain = inbound("");
  REQUIRE(plain.config);
  CHECK(plain.config->listeners[0].protocol == Protocol::kTcp);
  speaks(inbound(", protocol: http"), Protocol::kHttp, UpstreamProtocol::kHttp1);
  speaks(inbound(", protocol: http, upstream_protocol: same"), Protocol::kHttp,
         UpstreamProtocol::kSame);
  speaks(inbound(", protocol: grpc"), Protocol::kGrpc, UpstreamProtocol::kHttp2);
  speaks(files.Load("outbound: [{name: web, listen: '127.0.0.1:0', forward: 'h:1', protocol: http, "
                    "expect: [{id: 'spiffe://a/b'}]}]"),
         Protocol::kHttp, UpstreamProtocol::kSame);
  speaks(inbound(", protocol: detect"), Protocol::kDetect, UpstreamProtocol::kHttp1);
  speaks(inbound(", protocol: detect, upstream_protocol: same, proxy_protocol: v2, allow: [{id: "
                 "'spiffe://a/b', methods: [GET]}]"),
         Protocol::kDetect, UpstreamProtocol::kSame);
  CHECK(Says(inbound(", protocol: detect, rate_limits: {total: {requests: 1, per: 1s}}"),
             "'rate_limits' is about HTTP"));
  CHECK(inbound(", protocol: http, connect: true").config->listeners[0].connect);
  CHECK_FALSE(plain.config->listeners[0].connect);
  CHECK(Says(inbound(", connect: true"), "CONNECT is a request of HTTP"));
  CHECK(Says(inbound(", protocol: grpc, connect: true"), "CONNECT is a request of HTTP"));
  CHECK(Says(inbound(", protocol: http, connect: true, routes: [{name: r, rules: [{name: x}]}]"),
             "CONNECT names no path"));
  CHECK(Says(inbound(", protocol: htpp"), "'htpp' is not a protocol"));
  CHECK(Says(inbound(", protocol: http, upstream_protocol: h3"), "'h3' is not a protocol"));
  CHECK(Says(inbound(", upstream_protocol: http2"), "set protocol: http or grpc"));
}

TEST_CASE("a listener's connections have no maximum age unless one is set, of a second at least") {
  Files files;
  const auto load = [&](const std::string& more) {
    return files.Load("inbound: [{name: web, listen: '127.0.0.1:0', forward: '127.0.0.1:80'" +
                      more + "}]");
  };
  CHECK(load("").config->listeners[0].max_connection_age == Duration(0));
  CHECK(load(", max_connection_age: 1h").config->listeners[0].max_connection_age == 1h);
  CHECK(Says(load(", max_connection_age: 0s"), "max_connection_age"));
  CHECK(Says(load(", max_connection_age: soon"), "max_connection_age"));
}

TEST_CASE("the example in the repository is valid") {
  ConfigProblems problems;
  const auto config = LoadConfig(SIGNET_SOURCE "/examples/proxy.yaml", {}, &problems);
  INFO(problems.Text());
  CHECK(config != nullptr);
}

TEST_CASE("all problems are reported at once, with their lines") {
  Files files;
  const Loaded loaded = files.Load(R"(
inbound:
  - name: web
    listen: nowhere
    forward: 127.0.0.1:0
    allow:
      - id: http://example.org/shop
outbuond: []
limits: {idle: soon}
threads: many
)");
  CHECK(Says(loaded, "proxy.yaml:4:"));
  CHECK(Says(loaded, "proxy.yaml:5: 'forward' has no port"));
  CHECK(Says(loaded, "proxy.yaml:7:"));
  CHECK(Says(loaded, "unknown setting 'outbuond' (did you mean 'outbound'?)"));
  CHECK(Says(loaded, "limits.idle"));
  CHECK(Says(loaded, "threads"));
}

TEST_CASE("an inbound listener without rules is valid, refuses everyone and warns") {
  Files files;
  const Loaded loaded =
      files.Load("inbound: [{name: web, listen: '127.0.0.1:0', forward: '127.0.0.1:80'}]");
  REQUIRE(loaded.config);
  CHECK_FALSE(
      loaded.config->listeners[0].policy.DecideConnection(Id("spiffe://example.org/a")).allowed());
  REQUIRE(loaded.config->warnings.size() == 1);
  CHECK(loaded.config->warnings[0].find("refuses every caller") != std::string::npos);
}

TEST_CASE("an outbound listener that others could reach is refused unless said to be meant") {
  Files files;
  const std::string base =
      "outbound: [{name: db, forward: 'h:1', expect: [{id: 'spiffe://a/b'}], listen: ";
  CHECK(Says(files.Load(base + "'0.0.0.0:9000'}]"), "lend them this proxy's identity"));
  CHECK(Says(files.Load(base + "'[::]:9000'}]"), "lend them this proxy's identity"));
  CHECK(Says(files.Load(base + "'10.0.0.1:9000'}]"), "lend them this proxy's identity"));
  CHECK(Says(files.Load(base + "'example.org:9000'}]"), "lend them this proxy's identity"));
  CHECK(files.Load(base + "'127.9.9.9:9000'}]").config);
  CHECK(files.Load(base + "'[::1]:9000'}]").config);
  CHECK(files.Load(base + "'unix:/tmp/x.sock'}]").config);
  CHECK(files.Load(base + "'0.0.0.0:9000', unsafe_listen: true}]").config);
}

TEST_CASE("names and addresses of listeners must differ") {
  Files files;
  CHECK(Says(files.Load(R"(
inbound:
  - {name: web, listen: 127.0.0.1:8443, forward: 127.0.0.1:1}
  - {name: web, listen: 127.0.0.1:8443, forward: 127.0.0.1:1}
)"),
             "a second inbound listener is named 'web'"));
  CHECK(Says(files.Load(R"(
inbound:
  - {name: a, listen: 127.0.0.1:8443, forward: 127.0.0.1:1}
  - {name: b, listen: 127.0.0.1:8443, forward: 127.0.0.1:1}
)"),
             "is also the address of listener 'a'"));
}

TEST_CASE("a listener name is a plain word, because it labels metrics") {
  Files files;
  CHECK(Says(files.Load("inbound: [{name: \"a\\nb\", listen: '127.0.0.1:0', forward: 'h:1'}]"),
             "is not a listener name"));
  CHECK(Says(files.Load("inbound: [{listen: '127.0.0.1:0', forward: 'h:1'}]"), "name"));
}

TEST_CASE("the agent's socket comes from the file, then the environment, then the default") {
  Files files;
  const std::string listener =
      "inbound: [{name: web, listen: '127.0.0.1:0', forward: '127.0.0.1:80'}]\n";
  CHECK(files.Load(listener).config->workload_api == "/run/signet/agent/api.sock");
  CHECK(files.Load(listener, "unix:///run/x.sock").config->workload_api == "/run/x.sock");
  CHECK(files.Load(listener + "workload_api: /run/y.sock", "unix:///run/x.sock")
            .config->workload_api == "/run/y.sock");
  CHECK(Says(files.Load(listener, "tcp://127.0.0.1:8000"), "SPIFFE_ENDPOINT_SOCKET"));
  CHECK(Says(files.Load(listener + "workload_api: agent.sock"), "not the path of a Unix socket"));
}

TEST_CASE("a rules file adds to the listeners it names") {
  Files files;
  files.Write("rules.yaml", R"(
inbound:
  - name: web
    allow: [{id: 'spiffe://example.org/late'}]
)");
  const Loaded loaded = files.Load(std::string(kWhole) + "rules_file: rules.yaml\n");
  INFO(loaded.problems);
  REQUIRE(loaded.config);
  CHECK(loaded.config->listeners[0]
            .policy.DecideConnection(Id("spiffe://example.org/late"))
            .allowed());
  CHECK(loaded.config->listeners[0]
            .policy.DecideConnection(Id("spiffe://example.org/shop"))
            .allowed());
  CHECK(loaded.config->files.size() == 2);
}

TEST_CASE("a rules file that names an unknown listener, or is missing, is a problem") {
  Files files;
  files.Write("rules.yaml", "inbound: [{name: wbe, allow: [{id: 'spiffe://example.org/late'}]}]");
  CHECK(Says(files.Load(std::string(kWhole) + "rules_file: rules.yaml\n"),
             "no inbound listener is named 'wbe'"));
  CHECK(Says(files.Load(std::string(kWhole) + "rules_file: gone.yaml\n"), "gone.yaml"));
}

TEST_CASE("a file without listeners, or no file at all, is a problem") {
  Files files;
  CHECK(Says(files.Load("threads: 1"), "neither 'inbound' nor 'outbound'"));
  ConfigProblems problems;
  CHECK(LoadConfig("/nonexistent/proxy.yaml", {}, &problems) == nullptr);
  CHECK_FALSE(problems.empty());
}

}  // namespace
}  // namespace signet::proxy
