#include "proxy/telemetry/telemetry.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>

namespace signet::proxy {
namespace {

// Records are written together: a wake a request would cost more than the record.
constexpr int kGatherMs = 50;
// From here on a ring does not wait for others to gather.
constexpr std::size_t kUrgentBytes = RecordRing::kBytes / 2;

void AddCount(const RecordSink::Count& count, bool open_metrics, std::string* out) {
  *out += fmt::format("# HELP {0}{3} {1}\n# TYPE {0}{3} counter\n{0}_total {2}\n", count.name,
                      count.help, count.value, open_metrics ? "" : "_total");
}

}  // namespace

// ---- lane

TelemetryLane::TelemetryLane(Telemetry& owner, std::uint64_t seed,
                             std::shared_ptr<RequestSeries::Budget> budget)
    : owner_(owner),
      random_(seed),
      traces_(owner.config().makes_spans(), owner.config().trace_ratio, ~seed),
      series_(std::move(budget)) {}

bool TelemetryLane::wants_records() const { return !owner_.sinks_.empty(); }

bool TelemetryLane::Sampled(bool failed) {
  if (owner_.access_log_ == nullptr) return false;
  const double share = owner_.config_.access_log_sample;
  return failed || share >= 1 || static_cast<double>(random_() >> 11) < share * 0x1p53;
}

void TelemetryLane::RequestEnded(Record record) {
  Record::Figures& figures = record.figures;
  figures.ended = owner_.clock_.Now();
  const std::string_view peer =
      figures.direction == Direction::kInbound ? record.caller : record.callee;
  series_.Observe({figures.direction, record.listener, peer, record.route}, figures.status,
                  figures.duration, figures.trace, figures.ended);
  if (!wants_records()) return;
  // A query may hold what is nobody else's.
  record.path = record.path.substr(0, record.path.find('?'));
  HandOn(&record);
}

void TelemetryLane::ConnectionEnded(Record record) {
  if (!wants_records()) return;
  record.figures.ended = owner_.clock_.Now();
  record.figures.failed = record.figures.kind == RecordKind::kRefusal;
  HandOn(&record);
}

void TelemetryLane::HandOn(Record* record) {
  record->figures.logged = Sampled(record->figures.failed);
  const RequestTrace& trace = record->figures.trace;
  const bool exported = owner_.exports_ && trace.sampled && trace.continued();
  const bool tapped = owner_.tap_ != nullptr && owner_.tap_->watched();
  if (!record->figures.logged && !exported && !tapped) return;
  ring_.Push(*record);
  // Of two exchanges of one flag the later one sees what went before the earlier: either the thread
  // finds the record as it drains, or this finds that nobody has asked.
  if (!asked_.exchange(true, std::memory_order_acq_rel)) {
    owner_.Wake();
  } else if (ring_.size() >= kUrgentBytes && !owner_.urgent_.load(std::memory_order_relaxed)) {
    if (!owner_.urgent_.exchange(true)) owner_.Wake();
  }
}

// ---- telemetry

Result<std::unique_ptr<Telemetry>> Telemetry::Start(const TelemetryConfig& config,
                                                    std::size_t workers,
                                                    std::unique_ptr<RecordSink> exporter,
                                                    const Parts& parts) {
  std::unique_ptr<Telemetry> telemetry(new Telemetry(config, parts));
  if (!config.access_log.empty()) {
    SIGNET_TRY(std::unique_ptr<AccessLog> log, AccessLog::Open(config.access_log));
    telemetry->access_log_ = log.get();
    telemetry->sinks_.push_back(std::move(log));
  }
  if (!config.admin.empty()) {
    auto tap = std::make_unique<Tap>(parts.clock);
    telemetry->tap_ = tap.get();
    telemetry->sinks_.push_back(std::move(tap));
  }
  telemetry->exports_ = exporter != nullptr;
  if (exporter) telemetry->sinks_.push_back(std::move(exporter));
  const auto budget = std::make_shared<RequestSeries::Budget>();
  for (std::size_t i = 0; i < workers; ++i)
    telemetry->lanes_.push_back(
        std::make_unique<TelemetryLane>(*telemetry, parts.random.Below(UINT64_MAX), budget));
  if (telemetry->sinks_.empty()) return telemetry;
  telemetry->wake_.Reset(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!telemetry->wake_.valid())
    return Fail(Code::kResourceExhausted, kAccessLogUnusable, ErrnoText(errno));
  telemetry->thread_ = std::thread([raw = telemetry.get()] { raw->Run(); });
  return telemetry;
}

Telemetry::Telemetry(const TelemetryConfig& config, const Parts& parts)
    : config_(config), clock_(parts.clock) {}

Telemetry::~Telemetry() {
  if (!thread_.joinable()) return;
  stopping_.store(true);
  Wake();
  thread_.join();
}

void Telemetry::Wake() {
  const std::uint64_t one = 1;
  // It can only fail when a wake is pending already.
  [[maybe_unused]] const ssize_t put = ::write(wake_.get(), &one, sizeof one);
}

void Telemetry::Await(int limit_ms) const {
  pollfd waited{wake_.get(), POLLIN, 0};
  ::poll(&waited, 1, limit_ms);
  std::uint64_t count = 0;
  [[maybe_unused]] const ssize_t got = ::read(wake_.get(), &count, sizeof count);
}

void Telemetry::Run() {
  while (!stopping_.load()) {
    Await(-1);
    if (!stopping_.load()) Await(kGatherMs);
    urgent_.store(false);
    for (const auto& lane : lanes_) lane->asked_.exchange(false, std::memory_order_acq_rel);
    DrainAll();
  }
  DrainAll();
}

std::size_t Telemetry::DrainAll() {
  std::size_t count = 0;
  for (const auto& lane : lanes_)
    count += lane->ring_.Drain([this](const Record& record) {
      for (const auto& sink : sinks_) sink->Take(record);
    });
  for (const auto& sink : sinks_) sink->Flush();
  return count;
}

std::string Telemetry::SeriesJson() const {
  std::vector<const RequestSeries*> series;
  for (const auto& lane : lanes_) series.push_back(&lane->series_);
  return RequestSeries::Json(series);
}

void Telemetry::Reopen() {
  if (access_log_ != nullptr) access_log_->Reopen();
}

std::string Telemetry::Text(bool open_metrics) const {
  std::vector<const RequestSeries*> series;
  for (const auto& lane : lanes_) series.push_back(&lane->series_);
  std::string out = RequestSeries::Text(series, open_metrics);
  std::uint64_t dropped = 0;
  for (const auto& lane : lanes_) dropped += lane->ring_.dropped();
  AddCount({"signet_proxy_telemetry_dropped",
            "Records that no ring had room for: neither logged nor exported.", dropped},
           open_metrics, &out);
  for (const auto& sink : sinks_)
    for (const RecordSink::Count& count : sink->counts()) AddCount(count, open_metrics, &out);
  return out;
}

}  // namespace signet::proxy
