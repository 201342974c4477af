#include "base/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <mutex>

namespace signet {
namespace {

struct Callback {
  std::string name;
  std::string help;
  MetricLabels labels;
  prometheus::MetricType type;
  std::function<double()> read;
};

prometheus::MetricFamily Read(const Callback& callback) {
  prometheus::MetricFamily family;
  family.name = callback.name;
  family.help = callback.help;
  family.type = callback.type;
  prometheus::ClientMetric metric;
  for (const auto& [name, value] : callback.labels) metric.label.push_back({name, value});
  const double value = callback.read();
  if (callback.type == prometheus::MetricType::Counter)
    metric.counter.value = value;
  else
    metric.gauge.value = value;
  family.metric.push_back(std::move(metric));
  return family;
}

}  // namespace

struct Metrics::State {
  mutable std::mutex mutex;
  prometheus::Registry registry{prometheus::Registry::InsertBehavior::Merge};
  std::map<const void*, std::unique_ptr<signet::Counter>> counters;
  std::map<const void*, std::unique_ptr<signet::Gauge>> gauges;
  std::map<const void*, std::unique_ptr<signet::Histogram>> histograms;
  std::vector<Callback> callbacks;
};

void Counter::Add(double amount) { counter_.Increment(amount); }
void Gauge::Set(double value) { gauge_.Set(value); }
void Gauge::Add(double amount) { gauge_.Increment(amount); }
void Histogram::Observe(double value) { histogram_.Observe(value); }

Metrics::Metrics() : state_(std::make_unique<State>()) {}
Metrics::~Metrics() = default;

Counter& Metrics::Counter(const std::string& name, const std::string& help,
                          const MetricLabels& labels) {
  const std::lock_guard lock(state_->mutex);
  auto& metric =
      prometheus::BuildCounter().Name(name).Help(help).Register(state_->registry).Add(labels);
  auto& held = state_->counters[&metric];
  if (!held) held.reset(new signet::Counter(metric));
  return *held;
}

Gauge& Metrics::Gauge(const std::string& name, const std::string& help,
                      const MetricLabels& labels) {
  const std::lock_guard lock(state_->mutex);
  auto& metric =
      prometheus::BuildGauge().Name(name).Help(help).Register(state_->registry).Add(labels);
  auto& held = state_->gauges[&metric];
  if (!held) held.reset(new signet::Gauge(metric));
  return *held;
}

Histogram& Metrics::Histogram(const std::string& name, const std::string& help,
                              const std::vector<double>& bounds, const MetricLabels& labels) {
  const std::lock_guard lock(state_->mutex);
  auto& metric = prometheus::BuildHistogram()
                     .Name(name)
                     .Help(help)
                     .Register(state_->registry)
                     .Add(labels, bounds);
  auto& held = state_->histograms[&metric];
  if (!held) held.reset(new signet::Histogram(metric));
  return *held;
}

void Metrics::GaugeFrom(const std::string& name, const std::string& help,
                        std::function<double()> read, const MetricLabels& labels) {
  const std::lock_guard lock(state_->mutex);
  state_->callbacks.push_back({name, help, labels, prometheus::MetricType::Gauge, std::move(read)});
}

void Metrics::CounterFrom(const std::string& name, const std::string& help,
                          std::function<double()> read, const MetricLabels& labels) {
  const std::lock_guard lock(state_->mutex);
  state_->callbacks.push_back(
      {name, help, labels, prometheus::MetricType::Counter, std::move(read)});
}

std::string Metrics::Text() const {
  std::vector<Callback> callbacks;
  {
    const std::lock_guard lock(state_->mutex);
    callbacks = state_->callbacks;
  }
  std::vector<prometheus::MetricFamily> families = state_->registry.Collect();
  for (const Callback& callback : callbacks) {
    prometheus::MetricFamily read = Read(callback);
    auto same = std::ranges::find_if(families,
                                     [&](const auto& family) { return family.name == read.name; });
    if (same == families.end())
      families.push_back(std::move(read));
    else
      same->metric.push_back(std::move(read.metric.front()));
  }
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace signet
