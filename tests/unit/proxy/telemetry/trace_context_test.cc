#include "proxy/telemetry/trace_context.h"

#include <catch2/catch.hpp>
#include <set>

#include "base/bytes.h"

namespace signet::proxy {
namespace {

// The example of the recommendation.
constexpr const char* kTrace = "4bf92f3577b34da6a3ce929d0e0e4736";
constexpr const char* kSpan = "00f067aa0ba902b7";
const std::string kParent = std::string("00-") + kTrace + "-" + kSpan + "-01";

Fields Of(std::initializer_list<std::pair<const char*, std::string>> list) {
  Fields fields;
  for (const auto& [name, value] : list) fields.Add(name, value);
  return fields;
}

}  // namespace

TEST_CASE("a traceparent is read as its recommendation says") {
  const auto parent = ReadTraceparent(kParent);
  REQUIRE(parent);
  CHECK(EncodeHex(parent->trace) == kTrace);
  CHECK(EncodeHex(parent->span) == kSpan);
  CHECK(parent->sampled == true);
  CHECK(ReadTraceparent(kParent.substr(0, 53) + "00")->sampled == false);
  CHECK(ReadTraceparent(kParent.substr(0, 53) + "03")->sampled == true);
  // A version to come may say more behind a dash; its first parts are those of 00.
  CHECK(ReadTraceparent("cc" + kParent.substr(2)));
  CHECK(ReadTraceparent("cc" + kParent.substr(2) + "-what-follows"));
}

TEST_CASE("what is no traceparent is not read") {
  std::string upper = kParent;
  upper[4] = 'B';
  const auto bad = GENERATE_COPY(
      std::string(), std::string("00"), kParent + "-", kParent + "-more", kParent + "0",
      kParent.substr(0, 54), "ff" + kParent.substr(2), "0" + kParent.substr(1, 53), upper,
      std::string("00-00000000000000000000000000000000-00f067aa0ba902b7-01"),
      std::string("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"),
      std::string("00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01"),
      std::string("00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
      "cc" + kParent.substr(2) + ".what-follows", "cc" + kParent.substr(2) + std::string(200, '-'));
  INFO(bad);
  CHECK_FALSE(ReadTraceparent(bad));
}

TEST_CASE("B3 is read in one field and in several") {
  const auto single = ReadB3(std::string(kTrace) + "-" + kSpan + "-1-05e3ac9a4f6e3b90");
  REQUIRE(single);
  CHECK(EncodeHex(single->trace) == kTrace);
  CHECK(single->sampled == true);
  CHECK(ReadB3(std::string(kTrace) + "-" + kSpan + "-d")->sampled == true);
  CHECK(ReadB3(std::string(kTrace) + "-" + kSpan + "-0")->sampled == false);
  CHECK(ReadB3(std::string(kTrace) + "-" + kSpan)->sampled == std::nullopt);
  const auto half = ReadB3(std::string("a3ce929d0e0e4736-") + kSpan);
  REQUIRE(half);
  CHECK(EncodeHex(half->trace) == "0000000000000000a3ce929d0e0e4736");
  for (const char* bad : {"0", "1", "", "a3ce929d0e0e4736", "a3ce929d0e0e4736-00f067aa0ba902b7-x",
                          "a3ce929d0e0e4736-00f067aa0ba902b7-1-short"})
    CHECK_FALSE(ReadB3(bad));

  const Fields several =
      Of({{"X-B3-TraceId", kTrace}, {"X-B3-SpanId", kSpan}, {"X-B3-Sampled", "0"}});
  REQUIRE(FindTraceParent(several));
  CHECK(FindTraceParent(several)->sampled == false);
  CHECK(FindTraceParent(Of({{"x-b3-traceid", kTrace}, {"x-b3-spanid", kSpan}, {"x-b3-flags", "1"}}))
            ->sampled == true);
  CHECK_FALSE(FindTraceParent(Of({{"x-b3-traceid", kTrace}})));
  CHECK_FALSE(FindTraceParent(
      Of({{"x-b3-traceid", kTrace}, {"x-b3-spanid", kSpan}, {"x-b3-spanid", kSpan}})));
}

TEST_CASE("a trace is continued: its traceparent names our span, its tracestate passes") {
  TraceSource source(true, 0, 7);
  Fields fields = Of({{"accept", "*/*"}, {"TraceParent", kParent}, {"tracestate", "a=1,b=2"}});
  const RequestTrace trace = source.Begin(&fields);
  CHECK(EncodeHex(trace.trace) == kTrace);
  CHECK(EncodeHex(trace.parent) == kSpan);
  CHECK(trace.sampled);  // as its caller decided, though the ratio is 0
  CHECK_FALSE(fields.Has("traceparent"));
  trace.AddTo(&fields);
  CHECK(fields.Count("traceparent") == 1);
  CHECK(fields.First("tracestate") == "a=1,b=2");
  const auto told = ReadTraceparent(fields.First("traceparent"));
  REQUIRE(told);
  CHECK(told->trace == trace.trace);
  CHECK(told->span == trace.span);
  CHECK(told->span != trace.parent);
}

TEST_CASE("a traceparent that cannot be read begins a trace, and its tracestate goes") {
  TraceSource source(true, 1, 7);
  Fields twice = Of({{"traceparent", kParent}, {"traceparent", kParent}, {"tracestate", "a=1"}});
  Fields broken = Of({{"traceparent", "00-nonsense"}, {"tracestate", "a=1"}});
  for (Fields* fields : {&twice, &broken}) {
    const RequestTrace trace = source.Begin(fields);
    CHECK(trace.known());
    CHECK(trace.continued());
    CHECK(EncodeHex(trace.trace) != kTrace);
    CHECK(trace.parent == SpanId{});
    CHECK(fields->empty());
  }
}

TEST_CASE("without a collector a trace passes as it came, and its id is known to the log") {
  TraceSource source(false, 1, 7);
  Fields fields = Of({{"traceparent", kParent}, {"tracestate", "a=1"}});
  const RequestTrace trace = source.Begin(&fields);
  CHECK(EncodeHex(trace.trace) == kTrace);
  CHECK_FALSE(trace.continued());
  trace.AddTo(&fields);
  CHECK(fields.size() == 2);
  CHECK(fields.First("traceparent") == kParent);
  Fields none;
  CHECK_FALSE(source.Begin(&none).known());
}

TEST_CASE("of traces that begin here the share asked for is sampled, and ids differ") {
  for (const double ratio : {0.0, 0.25, 1.0}) {
    TraceSource source(true, ratio, 11);
    std::set<TraceId> traces;
    int sampled = 0;
    constexpr int kMany = 4000;
    for (int i = 0; i < kMany; ++i) {
      Fields none;
      const RequestTrace trace = source.Begin(&none);
      traces.insert(trace.trace);
      sampled += trace.sampled ? 1 : 0;
    }
    CHECK(traces.size() == kMany);
    CHECK(sampled == Approx(kMany * ratio).margin(120));
  }
}

}  // namespace signet::proxy
