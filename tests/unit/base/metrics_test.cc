#include "base/metrics.h"

#include <catch2/catch.hpp>
#include <thread>

namespace signet {
namespace {

using Catch::Contains;

TEST_CASE("counters, gauges and histograms appear in the text with help, type and labels") {
  Metrics metrics;
  metrics.Counter("signet_issued_total", "SVIDs issued", {{"kind", "x509"}}).Add(2);
  metrics.Gauge("signet_streams", "Open streams").Set(3);
  signet::Histogram& histogram = metrics.Histogram("signet_wait_seconds", "Waits", {0.1, 1});
  histogram.Observe(0.05);
  histogram.Observe(5);
  const std::string text = metrics.Text();
  CHECK_THAT(text, Contains("# HELP signet_issued_total SVIDs issued\n"));
  CHECK_THAT(text, Contains("# TYPE signet_issued_total counter\n"));
  CHECK_THAT(text, Contains("signet_issued_total{kind=\"x509\"} 2\n"));
  CHECK_THAT(text, Contains("signet_streams 3\n"));
  CHECK_THAT(text, Contains("signet_wait_seconds_bucket{le=\"0.1\"} 1\n"));
  CHECK_THAT(text, Contains("signet_wait_seconds_bucket{le=\"+Inf\"} 2\n"));
  CHECK_THAT(text, Contains("signet_wait_seconds_count 2\n"));
}

TEST_CASE("the same name and labels are the same series, other labels another one") {
  Metrics metrics;
  signet::Counter& first = metrics.Counter("c_total", "c", {{"k", "a"}});
  CHECK(&metrics.Counter("c_total", "c", {{"k", "a"}}) == &first);
  CHECK(&metrics.Counter("c_total", "c", {{"k", "b"}}) != &first);
  first.Add();
  CHECK_THAT(metrics.Text(), Contains("c_total{k=\"a\"} 1\n") && Contains("c_total{k=\"b\"} 0\n"));
}

TEST_CASE("values from callbacks are read at each scrape and share one family") {
  Metrics metrics;
  double depth = 1;
  metrics.GaugeFrom("depth", "Queue", [&] { return depth; }, {{"queue", "a"}});
  metrics.GaugeFrom("depth", "Queue", [] { return 9; }, {{"queue", "b"}});
  metrics.CounterFrom("seen_total", "Seen", [] { return 4; });
  CHECK_THAT(metrics.Text(), Contains("depth{queue=\"a\"} 1\n"));
  depth = 2;
  const std::string text = metrics.Text();
  CHECK_THAT(text, Contains("depth{queue=\"a\"} 2\n") && Contains("depth{queue=\"b\"} 9\n"));
  CHECK_THAT(text, Contains("# TYPE seen_total counter\nseen_total 4\n"));
  CHECK(text.find("# TYPE depth") == text.rfind("# TYPE depth"));
}

TEST_CASE("a gauge goes both ways") {
  Metrics metrics;
  signet::Gauge& gauge = metrics.Gauge("g", "g");
  gauge.Add(5);
  gauge.Add(-2);
  CHECK_THAT(metrics.Text(), Contains("g 3\n"));
}

TEST_CASE("counting from several threads loses nothing") {
  Metrics metrics;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (int k = 0; k < 1000; ++k) metrics.Counter("c_total", "c").Add();
    });
  for (std::thread& thread : threads) thread.join();
  CHECK_THAT(metrics.Text(), Contains("c_total 4000\n"));
}

}  // namespace
}  // namespace signet
