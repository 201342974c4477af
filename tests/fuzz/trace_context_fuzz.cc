// traceparent and B3 from any text: what is read is printed as it was meant, and a request's place
// in its trace is one that the next hop can read.
#include <string>

#include "base/bytes.h"
#include "base/check.h"
#include "proxy/telemetry/trace_context.h"

using namespace signet;         // NOLINT: a fuzz target is a program of its own
using namespace signet::proxy;  // NOLINT

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto parent = ReadTraceparent(text)) {
    CHECK_TRUE(parent->trace != TraceId{} && parent->span != SpanId{} && parent->sampled);
    CHECK_TRUE(text.substr(3, 32) == EncodeHex(parent->trace));
    CHECK_TRUE(text.substr(36, 16) == EncodeHex(parent->span));
  }
  if (const auto parent = ReadB3(text)) CHECK_TRUE(parent->span != SpanId{});
  for (const char* name : {"traceparent", "b3", "x-b3-traceid"}) {
    Fields fields;
    fields.Add(name, text);
    fields.Add("x-b3-spanid", text.substr(0, 16));
    fields.Add("tracestate", text);
    TraceSource source(true, 0.5, size);
    const RequestTrace trace = source.Begin(&fields);
    trace.AddTo(&fields);
    const auto told = FindTraceParent(fields);
    CHECK_TRUE(told && told->trace == trace.trace && told->span == trace.span &&
               told->sampled == trace.sampled);
  }
  return 0;
}
