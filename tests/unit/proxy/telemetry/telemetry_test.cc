// What proxies tell of requests, through real sockets, to a real file and a real collector.
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <nlohmann/json.hpp>

#include "opentelemetry/proto/collector/trace/v1/trace_service.grpc.pb.h"
#include "tests/unit/proxy/http/http_world.h"

namespace signet::proxy {
namespace {

using nlohmann::json;
namespace collector = opentelemetry::proto::collector::trace::v1;
using Span = opentelemetry::proto::trace::v1::Span;

constexpr const char* kAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

// Takes spans as an OpenTelemetry collector does.
class Collector final : public collector::TraceService::Service {
 public:
  Collector() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
    REQUIRE(server_ != nullptr);
  }
  ~Collector() override { server_->Shutdown(); }

  grpc::Status Export(grpc::ServerContext*, const collector::ExportTraceServiceRequest* request,
                      collector::ExportTraceServiceResponse*) override {
    const std::lock_guard lock(mutex_);
    for (const auto& resource : request->resource_spans()) {
      services_.push_back(resource.resource().attributes(0).value().string_value());
      for (const auto& scope : resource.scope_spans())
        spans_.insert(spans_.end(), scope.spans().begin(), scope.spans().end());
    }
    return grpc::Status::OK;
  }
  std::vector<Span> spans() const {
    const std::lock_guard lock(mutex_);
    return spans_;
  }
  std::vector<std::string> services() const {
    const std::lock_guard lock(mutex_);
    return services_;
  }
  std::string address() const { return fmt::format("127.0.0.1:{}", port_); }

 private:
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
  mutable std::mutex mutex_;
  std::vector<Span> spans_;
  std::vector<std::string> services_;
};

std::string Attribute(const Span& span, const std::string& key) {
  for (const auto& attribute : span.attributes())
    if (attribute.key() == key)
      return attribute.value().has_int_value() ? std::to_string(attribute.value().int_value())
                                               : attribute.value().string_value();
  return {};
}

std::vector<json> Lines(const std::string& path) {
  std::vector<json> lines;
  const auto read = ReadFile(path, 1 << 20);
  REQUIRE(read);
  std::string_view rest = AsText(*read);
  while (!rest.empty()) {
    const std::size_t end = rest.find('\n');
    REQUIRE(end != std::string_view::npos);
    lines.push_back(json::parse(rest.substr(0, end)));
    rest.remove_prefix(end + 1);
  }
  return lines;
}

// The first line of a request or connection of that direction.
json LineOf(const std::vector<json>& lines, const std::string& kind, const std::string& direction) {
  for (const json& line : lines)
    if (line["kind"] == kind && line["direction"] == direction) return line;
  FAIL("no " << direction << " " << kind);
  return {};
}

}  // namespace

TEST_CASE("one request through two proxies is one trace, two spans and a line each") {
  Collector receiver;
  const test::TempDir directory;
  const std::string log = directory.File("access.json");
  ScriptedBackend backend{kAnswer};
  const std::string more =
      fmt::format("access_log: {{path: '{}'}}\ntracing: {{otlp: '{}', ratio: 1, service: shop}}\n",
                  log, receiver.address());
  {
    HttpPair pair(backend.address(), "", more);
    auto caller = pair.Call();
    REQUIRE(
        caller.Send("GET /items?token=secret HTTP/1.1\r\nHost: web\r\nAuthorization: "
                    "Bearer secret\r\ntracestate: lost=1\r\n\r\n"));
    const auto answer = MessageReader(caller).Next();
    REQUIRE(answer);
    CHECK(answer->body == "hello");
    caller.CloseWrite();
    CHECK(caller.ReceiveToEnd().empty());
    // Sampled requests are examples for who asks.
    const std::string figures = pair.inbound.proxy->MetricsText(true);
    CHECK(figures.find("# {trace_id=\"") != std::string::npos);
    CHECK(figures.ends_with("# EOF\n"));
    CHECK(
        pair.inbound.proxy->MetricsText(false).find(
            R"(signet_proxy_peer_requests_total{direction="inbound",listener="web",peer="spiffe://example.org/shop",route="",class="2xx"} 1)") !=
        std::string::npos);
    CHECK(
        pair.outbound.proxy->MetricsText(false).find(
            R"(signet_proxy_peer_requests_total{direction="outbound",listener="out",peer="spiffe://example.org/web",route="",class="2xx"} 1)") !=
        std::string::npos);
  }  // what is left is handed over

  const std::vector<Span> spans = receiver.spans();
  REQUIRE(spans.size() == 2);
  const bool first_is_server = spans[0].kind() == Span::SPAN_KIND_SERVER;
  const Span& server = spans[first_is_server ? 0 : 1];
  const Span& client = spans[first_is_server ? 1 : 0];
  CHECK(server.kind() == Span::SPAN_KIND_SERVER);
  CHECK(client.kind() == Span::SPAN_KIND_CLIENT);
  CHECK(server.trace_id() == client.trace_id());
  CHECK(server.trace_id().size() == 16);
  CHECK(client.parent_span_id().empty());
  CHECK(server.parent_span_id() == client.span_id());
  CHECK(receiver.services().front() == "shop");
  CHECK(Attribute(server, "http.response.status_code") == "200");
  CHECK(Attribute(server, "url.path") == "/items");
  CHECK(Attribute(server, "signet.caller") == kShop);
  CHECK(Attribute(client, "signet.callee") == kWeb);
  CHECK(server.end_time_unix_nano() >= server.start_time_unix_nano());

  const std::string told = backend.requests().front().Field("traceparent");
  CHECK(told == "00-" + EncodeHex(AsBytes(server.trace_id())) + "-" +
                    EncodeHex(AsBytes(server.span_id())) + "-01");
  CHECK_FALSE(backend.requests().front().Has("tracestate"));

  const std::vector<json> lines = Lines(log);
  const json inbound = LineOf(lines, "request", "inbound");
  CHECK(inbound["caller"] == kShop);
  CHECK(inbound["callee"] == kWeb);
  CHECK(inbound["path"] == "/items");
  CHECK(inbound["status"] == 200);
  CHECK(inbound["sent"] == 5);
  CHECK(inbound["end"] == "answered");
  CHECK(inbound["trace_id"] == EncodeHex(AsBytes(server.trace_id())));
  CHECK(inbound["span_id"] == EncodeHex(AsBytes(server.span_id())));
  const json outbound = LineOf(lines, "request", "outbound");
  CHECK(outbound["caller"] == kShop);
  CHECK(outbound["callee"] == kWeb);
  CHECK(LineOf(lines, "connection", "inbound")["caller"] == kShop);
  const auto whole = ReadFile(log, 1 << 20);
  CHECK(AsText(*whole).find("secret") == std::string_view::npos);
}

TEST_CASE("with a sample of none, what was refused is written and what went well is not") {
  const test::TempDir directory;
  const std::string log = directory.File("access.json");
  ScriptedBackend backend{kAnswer};
  World world(HttpInboundYaml(backend.address(),
                              "{name: reads, id: 'spiffe://example.org/shop', methods: [GET]}", "",
                              fmt::format("access_log: {{path: '{}', sample: 0}}\n", log)));
  world.Become(kWeb);
  {
    auto caller = world.CallAs(kShop);
    MessageReader reader(caller);
    REQUIRE(caller.Send("GET / HTTP/1.1\r\nHost: web\r\n\r\n"));
    CHECK(reader.Next()->start_line == "HTTP/1.1 200 OK");
    REQUIRE(caller.Send("DELETE / HTTP/1.1\r\nHost: web\r\n\r\n"));
    const auto refused = reader.Next();
    CHECK(refused->start_line == "HTTP/1.1 403 Forbidden");
    world.proxy.reset();
    const std::vector<json> lines = Lines(log);
    REQUIRE(lines.size() == 1);
    CHECK(lines[0]["method"] == "DELETE");
    CHECK(lines[0]["status"] == 403);
    CHECK(lines[0]["end"] == "not_allowed");
    CHECK(lines[0]["id"] == refused->Field("signet-request-id"));
  }
}

TEST_CASE("a TCP connection leaves a line with both identities and its bytes") {
  const test::TempDir directory;
  const std::string log = directory.File("access.json");
  TestBackend backend([](StreamClient& stream) {
    stream.Send(stream.ReceiveSome(5));
    stream.CloseWrite();
  });
  World world(InboundYaml(backend.address(), "{id: 'spiffe://example.org/shop'}",
                          fmt::format("access_log: {{path: '{}'}}\n", log)));
  world.Become(kWeb);
  auto caller = world.CallAs(kShop);
  REQUIRE(caller.Send("hello"));
  caller.CloseWrite();
  CHECK(caller.ReceiveToEnd() == "hello");
  REQUIRE(World::Eventually([&] { return world.Closed("finished") == 1; }));
  auto stranger = world.CallAs("spiffe://example.org/stranger");
  CHECK(stranger.ReceiveToEnd().empty());
  world.proxy.reset();
  const std::vector<json> lines = Lines(log);
  const json carried = LineOf(lines, "connection", "inbound");
  CHECK(carried["caller"] == kShop);
  CHECK(carried["callee"] == kWeb);
  CHECK(carried["received"] == 5);
  CHECK(carried["sent"] == 5);
  CHECK(carried["protocol"] == "tcp");
  const json refused = LineOf(lines, "refusal", "inbound");
  CHECK(refused["caller"] == "spiffe://example.org/stranger");
  CHECK(refused["end"] == "not_allowed");
}

TEST_CASE("a collector that is away costs its spans and nothing else") {
  const auto nobody = net::ListenTcp(*net::Address::Parse("127.0.0.1:0"));
  REQUIRE(nobody);  // bound, and never answers
  const auto address = net::LocalAddress(nobody->get())->ToString();
  ScriptedBackend backend{kAnswer};
  World world(HttpInboundYaml(backend.address(), "{id: 'spiffe://example.org/*'}", "",
                              fmt::format("tracing: {{otlp: '{}', ratio: 1}}\n", address)));
  world.Become(kWeb);
  auto caller = world.CallAs(kShop);
  MessageReader reader(caller);
  for (int i = 0; i < 3; ++i) {
    REQUIRE(caller.Send("GET / HTTP/1.1\r\nHost: web\r\n\r\n"));
    CHECK(reader.Next()->body == "hello");
  }
  CHECK(World::Eventually([&] {
    return world.proxy->MetricsText(false).find("signet_proxy_spans_dropped_total 3\n") !=
           std::string::npos;
  }));
}

TEST_CASE("telemetry's settings are checked with file, line and hint") {
  const test::TempDir directory;
  const std::string base =
      "inbound: [{name: web, listen: '127.0.0.1:0', forward: '127.0.0.1:1', allow: []}]\n";
  struct Case {
    const char* yaml;
    const char* problem;
  };
  const auto bad = GENERATE(
      Case{"access_log: {sample: 0.5}", "path"}, Case{"access_log: {path: relative}", "absolute"},
      Case{"access_log: {path: /x, sample: 1.5}", "not a share"},
      Case{"access_log: {path: /x, sample: nan}", "not a share"},
      Case{"tracing: {ratio: 1}", "otlp"}, Case{"tracing: {otlp: 'nowhere:x'}", "otlp"},
      Case{"tracing: {otlp: '127.0.0.1:4317', ratio: -1}", "not a share"},
      Case{"tracing: {otlp: '127.0.0.1:4317', service: ''}", "service"},
      Case{"access_log: {path: /x, colour: red}", "colour"});
  INFO(bad.yaml);
  REQUIRE(WriteFileAtomically(directory.File("proxy.yaml"), AsBytes(base + bad.yaml + "\n"), 0600));
  ConfigProblems problems;
  CHECK(LoadConfig(directory.File("proxy.yaml"), {}, &problems) == nullptr);
  CHECK(problems.Text().find(bad.problem) != std::string::npos);
  CHECK(problems.Text().find("proxy.yaml:2") != std::string::npos);
}

}  // namespace signet::proxy
