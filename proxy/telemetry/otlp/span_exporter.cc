#include "proxy/telemetry/otlp/span_exporter.h"

#include <grpcpp/create_channel.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string_view>
#include <thread>
#include <vector>

#include "opentelemetry/proto/collector/trace/v1/trace_service.grpc.pb.h"

namespace signet::proxy {
namespace {

namespace trace = opentelemetry::proto::trace::v1;
namespace collector = opentelemetry::proto::collector::trace::v1;
using opentelemetry::proto::common::v1::KeyValue;
using Attributes = google::protobuf::RepeatedPtrField<KeyValue>;

constexpr std::chrono::seconds kExportTime(2);
constexpr std::chrono::seconds kLastExportTime(1);
constexpr std::chrono::milliseconds kGather(500);
constexpr std::uint32_t kSampledFlag = 1;
// Bits 8 and 9 of the flags: it is known whether the parent is another process's, and it is.
constexpr std::uint32_t kRemoteParent = 0x300;

template <class Bytes>
std::string Text(const Bytes& bytes) {
  return std::string(bytes.begin(), bytes.end());
}

void Add(Attributes* attributes, const char* key, std::string_view value) {
  if (value.empty()) return;
  KeyValue* added = attributes->Add();
  added->set_key(key);
  added->mutable_value()->set_string_value(std::string(value));
}

void Add(Attributes* attributes, const char* key, std::uint64_t value) {
  KeyValue* added = attributes->Add();
  added->set_key(key);
  added->mutable_value()->set_int_value(static_cast<std::int64_t>(value));
}

std::uint64_t Nanoseconds(WallTime time) {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count());
}

// Names of attributes are those of OpenTelemetry's semantic conventions for HTTP where it has any.
trace::Span SpanOf(const Record& record) {
  const Record::Figures& figures = record.figures;
  const bool inbound = figures.direction == Direction::kInbound;
  trace::Span span;
  span.set_trace_id(Text(figures.trace.trace));
  span.set_span_id(Text(figures.trace.span));
  if (figures.trace.parent != SpanId{}) {
    span.set_parent_span_id(Text(figures.trace.parent));
    span.set_flags(kSampledFlag | kRemoteParent);
  } else {
    span.set_flags(kSampledFlag);
  }
  span.set_name(record.route.empty()
                    ? std::string(record.method)
                    : std::string(record.method) + " " + std::string(record.route));
  span.set_kind(inbound ? trace::Span::SPAN_KIND_SERVER : trace::Span::SPAN_KIND_CLIENT);
  span.set_end_time_unix_nano(Nanoseconds(figures.ended));
  span.set_start_time_unix_nano(Nanoseconds(figures.ended) -
                                static_cast<std::uint64_t>(figures.duration.count()));
  Attributes* attributes = span.mutable_attributes();
  Add(attributes, "http.request.method", record.method);
  Add(attributes, "url.path", record.path);
  Add(attributes, "server.address", record.host);
  Add(attributes, "client.address", record.remote);
  Add(attributes, "signet.listener", record.listener);
  Add(attributes, "http.route", record.route);
  Add(attributes, "signet.caller", record.caller);
  Add(attributes, "signet.callee", record.callee);
  Add(attributes, "signet.end", record.end);
  Add(attributes, "signet.rule", record.rule);
  Add(attributes, "signet.refusal_id", record.id);
  Add(attributes, "http.request.body.size", figures.received);
  Add(attributes, "http.response.body.size", figures.sent);
  if (figures.status > 0)
    Add(attributes, "http.response.status_code", static_cast<std::uint64_t>(figures.status));
  if (figures.grpc_status >= 0)
    Add(attributes, "rpc.grpc.status_code", static_cast<std::uint64_t>(figures.grpc_status));
  // Of a server 4xx is the caller's doing, of a client it is an error (conventions, "Status").
  const int failed_from = inbound ? 500 : 400;
  if (figures.status >= failed_from || figures.status == 0) {
    span.mutable_status()->set_code(trace::Status::STATUS_CODE_ERROR);
    span.mutable_status()->set_message(std::string(record.end));
  }
  return span;
}

}  // namespace

struct SpanExporter::State {
  explicit State(const TelemetryConfig& c) : config(c) {}

  void Run();
  void Export(std::vector<trace::Span> spans, std::chrono::seconds limit);
  std::vector<trace::Span> TakeBatch();  // `mutex` is held

  const TelemetryConfig config;
  std::unique_ptr<collector::TraceService::Stub> stub;
  std::mutex mutex;
  std::condition_variable wake;
  std::vector<trace::Span> queued;  // guarded by mutex
  bool stopping = false;            // guarded by mutex
  std::atomic<std::uint64_t> exported{0};
  std::atomic<std::uint64_t> dropped{0};
  std::thread thread;
};

std::vector<trace::Span> SpanExporter::State::TakeBatch() {
  const auto count = static_cast<std::ptrdiff_t>(std::min(queued.size(), kMaxBatch));
  std::vector<trace::Span> batch(std::make_move_iterator(queued.begin()),
                                 std::make_move_iterator(queued.begin() + count));
  queued.erase(queued.begin(), queued.begin() + count);
  return batch;
}

void SpanExporter::State::Run() {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  stub = collector::TraceService::NewStub(
      grpc::CreateCustomChannel(config.otlp, grpc::InsecureChannelCredentials(), arguments));
  std::unique_lock lock(mutex);
  while (!stopping) {
    wake.wait(lock, [&] { return stopping || !queued.empty(); });
    wake.wait_for(lock, kGather, [&] { return stopping || queued.size() >= kMaxBatch; });
    while (!queued.empty() && !stopping) {
      auto batch = TakeBatch();
      lock.unlock();
      Export(std::move(batch), kExportTime);
      lock.lock();
    }
  }
  if (queued.empty()) return;
  dropped += queued.size() - std::min(queued.size(), kMaxBatch);
  Export(TakeBatch(), kLastExportTime);
}

void SpanExporter::State::Export(std::vector<trace::Span> spans, std::chrono::seconds limit) {
  const std::size_t count = spans.size();
  collector::ExportTraceServiceRequest request;
  trace::ResourceSpans* of = request.add_resource_spans();
  Add(of->mutable_resource()->mutable_attributes(), "service.name", config.service);
  trace::ScopeSpans* scope = of->add_scope_spans();
  scope->mutable_scope()->set_name("signet-proxy");
  scope->mutable_scope()->set_version(SIGNET_VERSION);
  for (trace::Span& span : spans) *scope->add_spans() = std::move(span);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + limit);
  collector::ExportTraceServiceResponse response;
  const grpc::Status status = stub->Export(&context, request, &response);
  const auto rejected = status.ok()
                            ? std::clamp<std::int64_t>(response.partial_success().rejected_spans(),
                                                       0, static_cast<std::int64_t>(count))
                            : static_cast<std::int64_t>(count);
  dropped += static_cast<std::uint64_t>(rejected);
  exported += count - static_cast<std::uint64_t>(rejected);
}

std::unique_ptr<SpanExporter> SpanExporter::Start(const TelemetryConfig& config) {
  auto state = std::make_unique<State>(config);
  state->thread = std::thread([raw = state.get()] { raw->Run(); });
  return std::unique_ptr<SpanExporter>(new SpanExporter(std::move(state)));
}

SpanExporter::SpanExporter(std::unique_ptr<State> state) : state_(std::move(state)) {}

SpanExporter::~SpanExporter() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  state_->wake.notify_one();
  state_->thread.join();
}

void SpanExporter::Take(const Record& record) {
  const RequestTrace& trace = record.figures.trace;
  if (record.figures.kind != RecordKind::kRequest || !trace.sampled || !trace.continued()) return;
  trace::Span span = SpanOf(record);
  const std::lock_guard lock(state_->mutex);
  if (state_->queued.size() < kMaxQueued)
    state_->queued.push_back(std::move(span));
  else
    ++state_->dropped;
}

void SpanExporter::Flush() { state_->wake.notify_one(); }

std::vector<RecordSink::Count> SpanExporter::counts() const {
  return {{"signet_proxy_spans_exported", "Spans that the collector took.", state_->exported},
          {"signet_proxy_spans_dropped",
           "Spans that the queue had no room for or the collector did not take.", state_->dropped}};
}

}  // namespace signet::proxy
