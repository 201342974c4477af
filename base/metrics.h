// Prometheus metrics behind our own names: counters, gauges and histograms made once and held, so
// that a hot path only adds to a number. Values read at scrape time come from callbacks.
//
// Threads: safe from any thread. What Counter() and friends return lives as long as the Metrics.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace prometheus {
class Counter;
class Gauge;
class Histogram;
}  // namespace prometheus

namespace signet {

using MetricLabels = std::map<std::string, std::string>;

class Counter {
 public:
  void Add(double amount = 1);

 private:
  friend class Metrics;
  explicit Counter(prometheus::Counter& counter) : counter_(counter) {}
  prometheus::Counter& counter_;
};

class Gauge {
 public:
  void Set(double value);
  void Add(double amount);

 private:
  friend class Metrics;
  explicit Gauge(prometheus::Gauge& gauge) : gauge_(gauge) {}
  prometheus::Gauge& gauge_;
};

class Histogram {
 public:
  void Observe(double value);

 private:
  friend class Metrics;
  explicit Histogram(prometheus::Histogram& histogram) : histogram_(histogram) {}
  prometheus::Histogram& histogram_;
};

class Metrics {
 public:
  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  // The same name and labels give the same series. Names are full, such as
  // "signet_server_svids_issued_total"; labels must come from a small closed set.
  signet::Counter& Counter(const std::string& name, const std::string& help,
                           const MetricLabels& labels = {});
  signet::Gauge& Gauge(const std::string& name, const std::string& help,
                       const MetricLabels& labels = {});
  // `bounds`: upper bounds of the buckets, rising.
  signet::Histogram& Histogram(const std::string& name, const std::string& help,
                               const std::vector<double>& bounds, const MetricLabels& labels = {});
  // `read` is called at each scrape, from the scraping thread; it must be quick.
  void GaugeFrom(const std::string& name, const std::string& help, std::function<double()> read,
                 const MetricLabels& labels = {});
  void CounterFrom(const std::string& name, const std::string& help, std::function<double()> read,
                   const MetricLabels& labels = {});

  // Prometheus text exposition format.
  std::string Text() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace signet
