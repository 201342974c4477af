#include "proxy/telemetry/trace_context.h"

#include <algorithm>
#include <cstring>

#include "base/bytes.h"
#include "proxy/http/syntax.h"

namespace signet::proxy {
namespace {

constexpr std::string_view kTraceparent = "traceparent";
constexpr std::string_view kTracestate = "tracestate";
constexpr std::size_t kLongestTraceparent = 128;  // of a version to come

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;  // upper case is not valid in either format
}

// `text` has two digits a byte; false unless all are and one is not zero.
template <std::size_t N>
bool ReadId(std::string_view text, std::array<std::uint8_t, N>* id) {
  if (text.size() != 2 * N) return false;
  bool any = false;
  for (std::size_t i = 0; i < N; ++i) {
    const int high = HexDigit(text[2 * i]);
    const int low = HexDigit(text[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    (*id)[i] = static_cast<std::uint8_t>(high * 16 + low);
    any |= (*id)[i] != 0;
  }
  return any;
}

// The part up to the next dash; `rest` keeps what follows it.
std::string_view NextPart(std::string_view* rest) {
  const std::size_t dash = std::min(rest->find('-'), rest->size());
  const std::string_view part = rest->substr(0, dash);
  rest->remove_prefix(std::min(dash + 1, rest->size()));
  return part;
}

bool ReadB3Trace(std::string_view text, TraceId* trace) {
  if (text.size() == 32) return ReadId(text, trace);
  SpanId half;
  if (!ReadId(text, &half)) return false;
  *trace = {};
  std::ranges::copy(half, trace->begin() + 8);
  return true;
}

// B3's sampling state; false when it is none of them.
bool ReadB3Sampling(std::string_view text, std::optional<bool>* sampled) {
  if (text == "1" || text == "d" || text == "true")
    *sampled = true;
  else if (text == "0" || text == "false")
    *sampled = false;
  else
    return false;
  return true;
}

std::optional<TraceParent> ReadB3Fields(const Fields& fields) {
  for (const std::string_view name : {"x-b3-traceid", "x-b3-spanid", "x-b3-sampled", "x-b3-flags"})
    if (fields.Count(name) > 1) return std::nullopt;
  TraceParent parent;
  if (!ReadB3Trace(fields.First("x-b3-traceid"), &parent.trace) ||
      !ReadId(fields.First("x-b3-spanid"), &parent.span))
    return std::nullopt;
  const std::string_view sampled = fields.First("x-b3-sampled");
  if (!sampled.empty() && !ReadB3Sampling(sampled, &parent.sampled)) return std::nullopt;
  if (fields.First("x-b3-flags") == "1") parent.sampled = true;  // debug
  return parent;
}

}  // namespace

std::optional<TraceParent> ReadTraceparent(std::string_view text) {
  if (text.size() > kLongestTraceparent) return std::nullopt;
  std::string_view rest = text;
  std::array<std::uint8_t, 1> version{};
  std::array<std::uint8_t, 1> flags{};
  TraceParent parent;
  const std::string_view version_text = NextPart(&rest);
  const bool first = version_text == "00";  // the only one that is all zero
  if (!first && !ReadId(version_text, &version)) return std::nullopt;
  if (version[0] == 0xff) return std::nullopt;
  if (!ReadId(NextPart(&rest), &parent.trace) || !ReadId(NextPart(&rest), &parent.span))
    return std::nullopt;
  const std::string_view flags_text = rest.substr(0, 2);
  if (flags_text != "00" && !ReadId(flags_text, &flags)) return std::nullopt;
  if (rest.size() > 2 && (first || rest[2] != '-')) return std::nullopt;
  parent.sampled = (flags[0] & 1) != 0;
  return parent;
}

std::optional<TraceParent> ReadB3(std::string_view text) {
  std::string_view rest = text;
  TraceParent parent;
  if (!ReadB3Trace(NextPart(&rest), &parent.trace) || !ReadId(NextPart(&rest), &parent.span))
    return std::nullopt;
  if (rest.empty()) return parent;
  if (!ReadB3Sampling(NextPart(&rest), &parent.sampled)) return std::nullopt;
  SpanId grandparent;
  if (!rest.empty() && !ReadId(rest, &grandparent)) return std::nullopt;
  return parent;
}

std::optional<TraceParent> FindTraceParent(const Fields& fields) {
  if (fields.Count(kTraceparent) == 1)
    if (const auto parent = ReadTraceparent(fields.First(kTraceparent))) return parent;
  if (fields.Count("b3") == 1)
    if (const auto parent = ReadB3(fields.First("b3"))) return parent;
  return ReadB3Fields(fields);
}

void RequestTrace::AddTo(Fields* fields) const {
  if (!continued()) return;
  const std::string value =
      "00-" + EncodeHex(trace) + "-" + EncodeHex(span) + (sampled ? "-01" : "-00");
  fields->Add(kTraceparent, value);
}

TraceSource::TraceSource(bool makes_spans, double ratio, std::uint64_t seed)
    : makes_spans_(makes_spans), ratio_(ratio), random_(seed) {}

RequestTrace TraceSource::Begin(Fields* fields) {
  RequestTrace begun;
  const auto parent = FindTraceParent(*fields);
  if (parent) begun.trace = parent->trace;
  if (!makes_spans_) {
    begun.sampled = parent && parent->sampled.value_or(false);
    return begun;
  }
  if (parent) begun.parent = parent->span;
  // A tracestate says more about a traceparent, and nothing without it (W3C, 3.3.1.1).
  const bool keeps_state =
      fields->Count(kTraceparent) == 1 && ReadTraceparent(fields->First(kTraceparent)).has_value();
  fields->RemoveIf([&](const Fields::Field& field) {
    return EqualsIgnoreCase(field.name, kTraceparent) ||
           (!keeps_state && EqualsIgnoreCase(field.name, kTracestate));
  });
  if (!parent) Fill(begun.trace.data(), begun.trace.size());
  Fill(begun.span.data(), begun.span.size());
  begun.sampled = parent && parent->sampled ? *parent->sampled : Chance(begun.trace);
  return begun;
}

void TraceSource::Fill(std::uint8_t* out, std::size_t size) {
  for (std::size_t at = 0; at < size; at += sizeof(std::uint64_t)) {
    const std::uint64_t bits = random_() | 1;  // never all zero
    std::memcpy(out + at, &bits, sizeof bits);
  }
}

// By the trace's own id, so that all who sample one ratio choose the same traces.
bool TraceSource::Chance(const TraceId& trace) const {
  std::uint64_t bits = 0;
  std::memcpy(&bits, trace.data() + 8, sizeof bits);
  return static_cast<double>(bits >> 11) < ratio_ * 0x1p53;
}

}  // namespace signet::proxy
