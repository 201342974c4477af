// What workers tell of their traffic: figures by peer that a scrape sums, and a record of each
// request and connection on its way to the access log and the span exporter, which have a thread
// of their own. A worker never waits for it: what the ring does not hold is dropped and counted.
//
// Threads: a TelemetryLane is one worker's. Telemetry is safe from any thread; it outlives the
// workers.
#pragma once

#include <memory>
#include <thread>
#include <vector>

#include "base/random.h"
#include "proxy/telemetry/access_log.h"
#include "proxy/telemetry/record_ring.h"
#include "proxy/telemetry/request_series.h"
#include "proxy/telemetry/tap.h"
#include "proxy/telemetry/telemetry_config.h"

namespace signet::proxy {

class Telemetry;

class TelemetryLane {
 public:
  TelemetryLane(Telemetry& owner, std::uint64_t seed,
                std::shared_ptr<RequestSeries::Budget> budget);

  // Somebody may want records: what a record alone needs is worth the finding out.
  bool wants_records() const;
  TraceSource& traces() { return traces_; }
  RequestSeries& series() { return series_; }
  // Counts it, and hands it on when somebody wants it. Sampling is decided here.
  void RequestEnded(Record record);
  // Of kinds kConnection and kRefusal.
  void ConnectionEnded(Record record);

 private:
  friend class Telemetry;
  // In the access log's sample.
  bool Sampled(bool failed);
  void HandOn(Record* record);

  Telemetry& owner_;
  std::mt19937_64 random_;
  TraceSource traces_;
  RequestSeries series_;
  RecordRing ring_;
  std::atomic<bool> asked_{false};  // the thread was woken and will look
};

class Telemetry {
 public:
  struct Parts {
    const Clock& clock;
    Random& random;
  };
  // `exporter`: where sampled spans go; null: nowhere. Fails with kAccessLogUnusable. `parts`
  // outlive this.
  static Result<std::unique_ptr<Telemetry>> Start(const TelemetryConfig& config,
                                                  std::size_t workers,
                                                  std::unique_ptr<RecordSink> exporter,
                                                  const Parts& parts);
  // Hands on what is left. The workers have ended.
  ~Telemetry();
  Telemetry(const Telemetry&) = delete;

  TelemetryLane& lane(std::size_t worker) { return *lanes_[worker]; }
  const TelemetryConfig& config() const { return config_; }
  // The access log's file was moved away.
  void Reopen();
  // The request figures of all workers, in the text format of Prometheus or of OpenMetrics.
  std::string Text(bool open_metrics) const;
  // The same sums as JSON: [{"direction":…,"listener":…,"peer":…,"route":…,"classes":[…],…}].
  std::string SeriesJson() const;
  // Null unless config.admin is set.
  Tap* tap() { return tap_; }

 private:
  friend class TelemetryLane;
  Telemetry(const TelemetryConfig& config, const Parts& parts);
  void Wake();
  void Run();
  // Until somebody wakes it, or for `limit`; negative: no limit.
  void Await(int limit_ms) const;
  std::size_t DrainAll();

  const TelemetryConfig config_;
  const Clock& clock_;
  AccessLog* access_log_ = nullptr;  // among sinks_
  Tap* tap_ = nullptr;               // likewise
  bool exports_ = false;
  std::vector<std::unique_ptr<RecordSink>> sinks_;
  std::vector<std::unique_ptr<TelemetryLane>> lanes_;
  UniqueFd wake_;
  std::atomic<bool> urgent_{false};  // the thread was woken and will look at once
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace signet::proxy
