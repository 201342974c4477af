#include "proxy/telemetry/request_series.h"

#include <fmt/format.h>

#include <catch2/catch.hpp>

#include "base/open_metrics.h"

namespace signet::proxy {
namespace {

using namespace std::chrono_literals;

bool Has(const std::string& text, const std::string& line) {
  return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

std::size_t Lines(const std::string& text) {
  return static_cast<std::size_t>(std::ranges::count(text, '\n'));
}

RequestTrace Sampled() {
  RequestTrace trace;
  trace.trace.fill(0xab);
  trace.sampled = true;
  return trace;
}

const WallTime kNow = FromUnixSeconds(1'800'000'000);
constexpr const char* kShop = "spiffe://example.org/shop";

std::shared_ptr<RequestSeries::Budget> NewBudget() {
  return std::make_shared<RequestSeries::Budget>();
}

}  // namespace

TEST_CASE("requests of all workers are summed by peer, route and class") {
  const auto budget = NewBudget();
  RequestSeries one(budget), two(budget);
  one.Observe({Direction::kInbound, "web", kShop, "read"}, 200, 3ms, {}, kNow);
  two.Observe({Direction::kInbound, "web", kShop, "read"}, 204, 30ms, {}, kNow);
  two.Observe({Direction::kInbound, "web", kShop, "read"}, 503, 1min, {}, kNow);
  two.Observe({Direction::kOutbound, "out", "", ""}, 0, 1ms, {}, kNow);
  const std::string text = RequestSeries::Text({&one, &two}, false);
  const std::string labels =
      R"(direction="inbound",listener="web",peer="spiffe://example.org/shop",route="read")";
  CHECK(Has(text, "signet_proxy_peer_requests_total{" + labels + ",class=\"2xx\"} 2"));
  CHECK(Has(text, "signet_proxy_peer_requests_total{" + labels + ",class=\"5xx\"} 1"));
  CHECK(Has(
      text,
      R"(signet_proxy_peer_requests_total{direction="outbound",listener="out",peer="",route="",class="none"} 1)"));
  CHECK(Has(text, "signet_proxy_request_seconds_bucket{" + labels + ",le=\"0.0025\"} 0"));
  CHECK(Has(text, "signet_proxy_request_seconds_bucket{" + labels + ",le=\"0.005\"} 1"));
  CHECK(Has(text, "signet_proxy_request_seconds_bucket{" + labels + ",le=\"0.05\"} 2"));
  CHECK(Has(text, "signet_proxy_request_seconds_bucket{" + labels + ",le=\"10\"} 2"));
  CHECK(Has(text, "signet_proxy_request_seconds_bucket{" + labels + ",le=\"+Inf\"} 3"));
  CHECK(Has(text, "signet_proxy_request_seconds_sum{" + labels + "} 60.033"));
  CHECK(Has(text, "signet_proxy_request_seconds_count{" + labels + "} 3"));
}

TEST_CASE("attack 46: a million peers and routes make no more series than the bound") {
  RequestSeries series(NewBudget());
  for (int i = 0; i < 1'000'000; ++i) {
    const std::string peer = fmt::format("spiffe://example.org/p/{}", i);
    series.Observe({Direction::kInbound, "web", peer, ""}, 200, 1ms, {}, kNow);
    series.SeePeer(peer, kNow);
  }
  const std::string text = RequestSeries::Text({&series}, false);
  CHECK(Lines(text) <
        (RequestSeries::kMaxSeries + 1) * (kBuckets + 3) + RequestSeries::kMaxPeers + 16);
  CHECK(Has(
      text,
      fmt::format(
          R"(signet_proxy_peer_requests_total{{direction="inbound",listener="web",peer="other",route="other",class="2xx"}} {})",
          1'000'000 - RequestSeries::kMaxSeries)));
  // A peer that has a series keeps it.
  series.Observe({Direction::kInbound, "web", "spiffe://example.org/p/7", ""}, 200, 1ms, {}, kNow);
  CHECK(Has(
      RequestSeries::Text({&series}, false),
      R"(signet_proxy_peer_requests_total{direction="inbound",listener="web",peer="spiffe://example.org/p/7",route="",class="2xx"} 2)"));
}

TEST_CASE("attack 46: workers that see different peers make no more series together") {
  const auto budget = NewBudget();
  RequestSeries one(budget), two(budget);
  for (int i = 0; i < 1000; ++i)
    for (RequestSeries* each : {&one, &two}) {
      const std::string peer =
          fmt::format("spiffe://example.org/{}/{}", each == &one ? "one" : "two", i);
      each->Observe({Direction::kInbound, "web", peer, ""}, 200, 1ms, {}, kNow);
      each->SeePeer(peer, kNow);
    }
  const std::string text = RequestSeries::Text({&one, &two}, false);
  CHECK(Lines(text) <
        (RequestSeries::kMaxSeries + 1) * (kBuckets + 3) + RequestSeries::kMaxPeers + 16);
  // What one of them shows already costs nothing more at the other.
  two.Observe({Direction::kInbound, "web", "spiffe://example.org/one/0", ""}, 200, 1ms, {}, kNow);
  CHECK(Has(
      RequestSeries::Text({&one, &two}, false),
      R"(signet_proxy_peer_requests_total{direction="inbound",listener="web",peer="spiffe://example.org/one/0",route="",class="2xx"} 2)"));
}

TEST_CASE("attack 46: listeners beyond the room for their own \"other\" share one") {
  RequestSeries series(NewBudget());
  for (int i = 0; i < 1000; ++i)
    for (int peer = 0; peer < 2; ++peer)
      series.Observe({Direction::kInbound, fmt::format("l{}", i), fmt::format("p{}", peer), ""},
                     200, 1ms, {}, kNow);
  const std::string text = RequestSeries::Text({&series}, false);
  CHECK(Lines(text) < (RequestSeries::kMaxSeries + 100) * (kBuckets + 3) + 16);
}

TEST_CASE("who asks for OpenMetrics gets examples of sampled traces, others do not") {
  RequestSeries series(NewBudget());
  series.Observe({Direction::kInbound, "web", kShop, ""}, 200, 3ms, Sampled(), kNow);
  RequestTrace unsampled = Sampled();
  unsampled.sampled = false;
  series.Observe({Direction::kInbound, "web", kShop, ""}, 200, 30ms, unsampled, kNow);
  const std::string open = RequestSeries::Text({&series}, true);
  const std::string labels =
      R"(direction="inbound",listener="web",peer="spiffe://example.org/shop",route="")";
  CHECK(Has(open, "signet_proxy_request_seconds_bucket{" + labels +
                      ",le=\"0.005\"} 1 # {trace_id=\"" +
                      "abababababababababababababababab\"} 0.003 1800000000.000"));
  CHECK(Has(open, "signet_proxy_request_seconds_bucket{" + labels + ",le=\"0.05\"} 2"));
  CHECK(Has(open, "# TYPE signet_proxy_peer_requests counter"));
  CHECK(RequestSeries::Text({&series}, false).find("trace_id") == std::string::npos);
}

TEST_CASE("when peers' SVIDs end is told") {
  const auto budget = NewBudget();
  RequestSeries one(budget), two(budget);
  one.SeePeer(kShop, kNow);
  two.SeePeer(kShop, kNow + 10s);
  one.SeePeer("spiffe://example.org/db", kNow);
  const std::string text = RequestSeries::Text({&one, &two}, false);
  CHECK(Has(
      text,
      R"(signet_proxy_peer_svid_expiry_timestamp_seconds{peer="spiffe://example.org/shop"} 1800000010)"));
  CHECK(Has(
      text,
      R"(signet_proxy_peer_svid_expiry_timestamp_seconds{peer="spiffe://example.org/db"} 1800000000)"));
}

TEST_CASE("Prometheus text becomes OpenMetrics: families of counters by their name, and an end") {
  const std::string text =
      "# HELP a_total Things.\n# TYPE a_total counter\na_total{x=\"1\"} 2\n"
      "# HELP b What.\n# TYPE b gauge\nb 3\n";
  CHECK(ToOpenMetrics(text) ==
        "# HELP a Things.\n# TYPE a counter\na_total{x=\"1\"} 2\n"
        "# HELP b What.\n# TYPE b gauge\nb 3\n# EOF\n");
  CHECK(AcceptsOpenMetrics("application/openmetrics-text;version=1.0.0,text/plain;q=0.5"));
  CHECK_FALSE(AcceptsOpenMetrics("text/plain"));
}

}  // namespace signet::proxy
