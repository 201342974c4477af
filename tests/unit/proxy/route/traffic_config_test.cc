// Routes and backends in the proxy's configuration: where they may stand, and what is refused
// whole.
#include <catch2/catch.hpp>

#include "base/file.h"
#include "proxy/config.h"
#include "tests/support/temp_dir.h"

namespace signet::proxy {
namespace {

class Files {
 public:
  std::string Write(const std::string& name, std::string_view text) {
    REQUIRE(WriteFileAtomically(directory_.File(name), AsBytes(text), 0600));
    return directory_.File(name);
  }
  std::shared_ptr<const ProxyConfig> Load(std::string_view text) {
    problems = {};
    return LoadConfig(Write("proxy.yaml", text), "/run/agent.sock", &problems);
  }
  bool Says(std::string_view text, const std::string& what) {
    const auto config = Load(text);
    INFO(problems.Text());
    return config == nullptr && problems.Text().find(what) != std::string::npos;
  }
  ConfigProblems problems;

 private:
  test::TempDir directory_;
};

constexpr char kListener[] = "outbound:\n  - name: web\n    listen: 127.0.0.1:0\n";
constexpr char kBackends[] =
    "    backends: [{name: a, expect: [{id: 'spiffe://td/a'}], endpoints: [{address: 'h:1'}]}]\n";

TEST_CASE("a listener may have backends instead of one address to forward to") {
  Files files;
  const auto config = files.Load(std::string(kListener) + "    protocol: http\n" + kBackends);
  INFO(files.problems.Text());
  REQUIRE(config);
  const ListenerConfig& listener = config->listeners.front();
  CHECK_FALSE(listener.has_forward());
  CHECK(listener.traffic.routes);
  CHECK(listener.traffic.backends.at(0).endpoints.at(0).expect.rules().size() == 1);
  CHECK(config->warnings.empty());
}

TEST_CASE("routes may stand in the rules file, but not in two places") {
  Files files;
  files.Write("rules.yaml", "outbound: [{name: web, routes: [{rules: [{}]}]}]");
  const std::string plain = std::string(kListener) +
                            "    protocol: http\n    forward: 'h:1'\n"
                            "    expect: [{id: 'spiffe://td/a'}]\n";
  const auto config = files.Load(plain + "rules_file: rules.yaml\n");
  INFO(files.problems.Text());
  REQUIRE(config);
  CHECK(config->listeners.front().traffic.routes->routes().size() == 1);
  CHECK(files.Says(plain + "    routes: [{rules: [{}]}]\nrules_file: rules.yaml\n",
                   "keep one place"));
}

TEST_CASE("what cannot be routed is refused with its line") {
  Files files;
  CHECK(files.Says(std::string(kListener) + kBackends, "carries TCP"));
  CHECK(files.Says(std::string(kListener) +
                       "    protocol: http\n    backends:\n      - name: a\n        expect: [{id: "
                       "'spiffe://td/a'}]\n        endpoints:\n          - address: nowhere\n",
                   "proxy.yaml:9: "));
  CHECK(files.Says(std::string(kListener) + "    protocol: http\n    routes: [{rules: [{}]}]\n",
                   "forward"));
}

}  // namespace
}  // namespace signet::proxy
