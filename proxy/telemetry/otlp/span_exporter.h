// Sampled requests as spans, handed to an OTLP collector over gRPC in batches. A collector that is
// away or slow costs spans, never traffic: the queue is bounded, and what it does not hold, or the
// collector does not take, is dropped and counted.
//
// Threads: Take() and Flush() are the telemetry thread's; a thread of its own exports.
#pragma once

#include <memory>
#include <string>

#include "proxy/telemetry/record.h"
#include "proxy/telemetry/telemetry_config.h"

namespace signet::proxy {

class SpanExporter final : public RecordSink {
 public:
  static constexpr std::size_t kMaxQueued = 4096;
  static constexpr std::size_t kMaxBatch = 512;

  // `config.otlp` is not empty. Connects with the first batch.
  static std::unique_ptr<SpanExporter> Start(const TelemetryConfig& config);
  // Hands over what is queued, if the collector takes it within a second.
  ~SpanExporter() override;

  void Take(const Record& record) override;
  void Flush() override;
  std::vector<Count> counts() const override;

 private:
  struct State;
  explicit SpanExporter(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace signet::proxy
