// Where a request stands in a distributed trace: read from what its caller sent (W3C Trace Context
// level 1, or B3 in one field or several), continued by a span of ours, and told to the next hop as
// a traceparent. What cannot be read is as if it had not come: the trace begins here.
//
// Threads: values. TraceSource: one worker's.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <string_view>

#include "proxy/http/message.h"

namespace signet::proxy {

using TraceId = std::array<std::uint8_t, 16>;
using SpanId = std::array<std::uint8_t, 8>;

// What a caller says of its own span.
struct TraceParent {
  TraceId trace{};
  SpanId span{};
  std::optional<bool> sampled;  // absent: B3 that leaves it to the receiver
};

// "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" (W3C Trace Context, 3.2): lower case,
// ids that are not all zero, version 00 exactly and later ones by their first four parts.
std::optional<TraceParent> ReadTraceparent(std::string_view text);
// "{trace}-{span}[-{0|1|d}[-{parent}]]" (B3 single); traces of 64 bits are filled up with zeros.
std::optional<TraceParent> ReadB3(std::string_view text);
// Whichever of both, or B3's X-B3-… fields, `fields` has; traceparent first. A field that comes
// twice is not read.
std::optional<TraceParent> FindTraceParent(const Fields& fields);

// One request's place: the trace, the span that stands for it here, and whose child that is.
struct RequestTrace {
  TraceId trace{};
  SpanId span{};    // all zero: no span is made here, and fields pass as they came
  SpanId parent{};  // all zero: the trace begins here
  bool sampled = false;

  bool known() const { return trace != TraceId{}; }
  bool continued() const { return span != SpanId{}; }
  // The traceparent of `span`, for the next hop; nothing unless continued().
  void AddTo(Fields* fields) const;
};

// Begins requests' spans.
class TraceSource {
 public:
  // `makes_spans`: false passes everything on as it came. `ratio`: of traces that begin here, how
  // many are sampled, 0 to 1; a caller's own decision is followed.
  TraceSource(bool makes_spans, double ratio, std::uint64_t seed);

  // Takes the caller's traceparent out of `fields` when a span continues it, and a tracestate whose
  // traceparent cannot be read.
  RequestTrace Begin(Fields* fields);

 private:
  void Fill(std::uint8_t* out, std::size_t size);
  bool Chance(const TraceId& trace) const;

  const bool makes_spans_;
  const double ratio_;
  std::mt19937_64 random_;  // ids are no secrets: they must differ, not surprise
};

}  // namespace signet::proxy
