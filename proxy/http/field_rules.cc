#include "proxy/http/field_rules.h"

#include <algorithm>

#include "proxy/http/syntax.h"

namespace signet::proxy {
namespace {

constexpr std::size_t kMaxNominated = 16;  // names in Connection

enum class FieldRole {
  kOrdinary,
  kConnection,
  kHopByHop,  // left out
  kHost,
  kContentLength,
  kTransferEncoding,
  kTe,
  kUpgrade,
  kExpect,
  kFramingTwin,  // content_length: a server behind us might take it for the real one
};

FieldRole RoleOf(std::string_view name) {
  switch (name.size()) {
    case 2:
      return EqualsIgnoreCase(name, "te") ? FieldRole::kTe : FieldRole::kOrdinary;
    case 4:
      return EqualsIgnoreCase(name, "host") ? FieldRole::kHost : FieldRole::kOrdinary;
    case 6:
      return EqualsIgnoreCase(name, "expect") ? FieldRole::kExpect : FieldRole::kOrdinary;
    case 7:
      return EqualsIgnoreCase(name, "upgrade") ? FieldRole::kUpgrade : FieldRole::kOrdinary;
    case 10:
      if (EqualsIgnoreCase(name, "connection")) return FieldRole::kConnection;
      return EqualsIgnoreCase(name, "keep-alive") ? FieldRole::kHopByHop : FieldRole::kOrdinary;
    case 14:
      if (EqualsIgnoreCase(name, "content-length")) return FieldRole::kContentLength;
      if (EqualsIgnoreCase(name, "http2-settings")) return FieldRole::kHopByHop;
      return IsTwinOf(name, "content-length") ? FieldRole::kFramingTwin : FieldRole::kOrdinary;
    case 16:
      return EqualsIgnoreCase(name, "proxy-connection") ? FieldRole::kHopByHop
                                                        : FieldRole::kOrdinary;
    case 17:
      if (EqualsIgnoreCase(name, "transfer-encoding")) return FieldRole::kTransferEncoding;
      return IsTwinOf(name, "transfer-encoding") ? FieldRole::kFramingTwin : FieldRole::kOrdinary;
    default:
      return FieldRole::kOrdinary;
  }
}

// What the fields of one head say together.
struct Reading {
  bool http2 = false;
  std::size_t hosts = 0;
  std::string_view host;
  std::size_t lengths = 0;
  std::string_view length;
  std::size_t codings = 0;
  std::string_view coding;
  std::size_t upgrades = 0;
  std::string_view upgrade;
  std::vector<std::string_view> nominated;
  bool close = false;
  bool keep_alive = false;
  bool connection_upgrade = false;
  bool takes_trailers = false;
  bool expects = false;
  std::string_view expectation;
};

bool TakeConnectionOption(std::string_view option, Reading* reading) {
  if (!IsToken(option)) return false;
  if (EqualsIgnoreCase(option, "close"))
    reading->close = true;
  else if (EqualsIgnoreCase(option, "keep-alive"))
    reading->keep_alive = true;
  else if (EqualsIgnoreCase(option, "upgrade"))
    reading->connection_upgrade = true;
  else if (!EqualsIgnoreCase(option, "te"))
    reading->nominated.push_back(option);
  return reading->nominated.size() <= kMaxNominated;
}

HttpFault ReadOne(const Fields::Field& field, FieldRole role, Reading* reading) {
  switch (role) {
    case FieldRole::kHost:
      ++reading->hosts;
      reading->host = field.value;
      return HttpFault::kNone;
    case FieldRole::kContentLength:
      ++reading->lengths;
      reading->length = field.value;
      return HttpFault::kNone;
    case FieldRole::kTransferEncoding:
      ++reading->codings;
      reading->coding = field.value;
      return reading->http2 ? HttpFault::kFraming : HttpFault::kNone;
    case FieldRole::kFramingTwin:
      return HttpFault::kFraming;
    case FieldRole::kConnection:
      if (reading->http2) return HttpFault::kField;  // RFC 9113, 8.2.2
      return ForEachElement(
                 field.value,
                 [&](std::string_view option) { return TakeConnectionOption(option, reading); })
                 ? HttpFault::kNone
                 : HttpFault::kField;
    case FieldRole::kUpgrade:
      if (reading->http2) return HttpFault::kField;
      ++reading->upgrades;
      reading->upgrade = field.value;
      return HttpFault::kNone;
    case FieldRole::kTe:
      ForEachElement(field.value, [&](std::string_view element) {
        if (EqualsIgnoreCase(element, "trailers")) reading->takes_trailers = true;
        return true;
      });
      return HttpFault::kNone;
    case FieldRole::kExpect:
      reading->expects = true;
      reading->expectation = field.value;
      return EqualsIgnoreCase(field.value, "100-continue") ? HttpFault::kNone
                                                           : HttpFault::kExpectation;
    case FieldRole::kHopByHop:
      return reading->http2 ? HttpFault::kField : HttpFault::kNone;
    case FieldRole::kOrdinary:
      return HttpFault::kNone;
  }
  return HttpFault::kField;
}

HttpFault ReadAll(const Fields& raw, Reading* reading) {
  for (std::size_t i = 0; i < raw.size(); ++i) {
    const FieldRole role = RoleOf(raw[i].name);
    if (role == FieldRole::kOrdinary) continue;
    if (const HttpFault fault = ReadOne(raw[i], role, reading); fault != HttpFault::kNone)
      return fault;
  }
  return HttpFault::kNone;
}

// Leaves out what concerns this connection only.
void CopyEndToEnd(const Fields& raw, const Reading& reading, bool keep_length, Fields* out) {
  for (std::size_t i = 0; i < raw.size(); ++i) {
    const Fields::Field field = raw[i];
    const FieldRole role = RoleOf(field.name);
    const bool keep = role == FieldRole::kOrdinary || role == FieldRole::kExpect ||
                      (role == FieldRole::kContentLength && keep_length);
    if (!keep) continue;
    const auto same = [&](std::string_view name) { return EqualsIgnoreCase(name, field.name); };
    if (role == FieldRole::kOrdinary && !reading.nominated.empty() &&
        std::ranges::any_of(reading.nominated, same))
      continue;
    out->Add(field.name, field.value);
  }
}

// RFC 9112, 6.3, and stricter: any doubt about where the body ends is a fault, because the next hop
// might resolve it another way.
HttpFault ReadFraming(const Reading& reading, HttpVersion version, BodyFraming* body) {
  if (reading.codings > 0) {
    if (reading.codings > 1 || reading.lengths > 0 || version == HttpVersion::kHttp10 ||
        !EqualsIgnoreCase(reading.coding, "chunked"))
      return HttpFault::kFraming;
    body->kind = BodyKind::kChunked;
    return HttpFault::kNone;
  }
  if (reading.lengths == 0) return HttpFault::kNone;
  const auto length = ParseContentLength(reading.length);
  if (reading.lengths > 1 || !length) return HttpFault::kFraming;
  *body = {BodyKind::kLength, *length};
  return HttpFault::kNone;
}

HttpFault ReadHost(const Reading& reading, RequestHead* head) {
  if (reading.hosts > 1) return HttpFault::kHost;
  if (reading.hosts == 0) {
    // RFC 9112, 3.2: a 1.1 request has one. An HTTP/2 request may have neither.
    return head->version == HttpVersion::kHttp11 ? HttpFault::kHost : HttpFault::kNone;
  }
  if (!IsAuthority(reading.host)) return HttpFault::kHost;
  // Where the target names an authority too, they must be the same byte for byte.
  if (!head->authority.empty() && head->authority != reading.host) return HttpFault::kHost;
  head->authority = reading.host;
  return HttpFault::kNone;
}

}  // namespace

bool MayUpgradeTo(std::string_view protocol) {
  const auto begins = [&](std::string_view prefix) {
    return EqualsIgnoreCase(protocol.substr(0, prefix.size()), prefix);
  };
  return !protocol.empty() && !begins("h2") && !begins("http") && !begins("tls") &&
         std::ranges::all_of(protocol, [](char c) { return c == '/' || IsToken({&c, 1}); });
}

HttpFault TakeRequestFields(const Fields& raw, RequestHead* head) {
  Reading reading;
  reading.http2 = head->version == HttpVersion::kHttp2;
  if (const HttpFault fault = ReadAll(raw, &reading); fault != HttpFault::kNone) return fault;
  if (const HttpFault fault = ReadHost(reading, head); fault != HttpFault::kNone) return fault;
  if (const HttpFault fault = ReadFraming(reading, head->version, &head->body);
      fault != HttpFault::kNone)
    return fault;
  const bool connects = head->method == "CONNECT";
  // RFC 9110, 9.3.6: it has no content; a length would leave the tunnel's beginning in doubt.
  if (connects && head->body.kind != BodyKind::kNone) return HttpFault::kFraming;
  head->takes_trailers = reading.takes_trailers;
  head->keep_alive =
      !reading.close && (head->version != HttpVersion::kHttp10 || reading.keep_alive);
  // RFC 9110, 7.8: a server ignores Upgrade in an HTTP/1.0 request, and one that Connection does
  // not name. A request with a body is not upgraded: what follows it would be ambiguous.
  if (reading.upgrades == 1 && reading.connection_upgrade &&
      head->version == HttpVersion::kHttp11 && head->body.kind == BodyKind::kNone && !connects &&
      !reading.upgrade.empty() && MayUpgradeTo(reading.upgrade))
    head->upgrade = reading.upgrade;
  head->expects_continue = reading.expects && head->version != HttpVersion::kHttp10;
  CopyEndToEnd(raw, reading, true, &head->fields);
  if (head->version == HttpVersion::kHttp10 && reading.expects)
    head->fields.RemoveIf(
        [](const Fields::Field& f) { return EqualsIgnoreCase(f.name, "expect"); });
  return HttpFault::kNone;
}

HttpFault TakeResponseFields(const Fields& raw, std::string_view method, ResponseHead* head) {
  Reading reading;
  reading.http2 = head->version == HttpVersion::kHttp2;
  HttpFault fault = ReadAll(raw, &reading);
  // A response has no expectations to judge; Host means nothing in it.
  if (fault != HttpFault::kNone && fault != HttpFault::kExpectation) return fault;
  BodyFraming said;
  fault = ReadFraming(reading, head->version, &said);
  if (fault != HttpFault::kNone) return fault;
  head->keep_alive =
      !reading.close && (head->version != HttpVersion::kHttp10 || reading.keep_alive);
  // RFC 9110, 9.3.6: after a 2xx to CONNECT comes a tunnel, whatever the fields say.
  const bool tunnel = method == "CONNECT" && head->status / 100 == 2;
  const bool never = head->status < 200 || head->status == 204 || tunnel;
  if (never || head->status == 304 || method == "HEAD")
    head->body = {};
  else if (said.kind == BodyKind::kNone)
    head->body.kind =
        head->version == HttpVersion::kHttp2 ? BodyKind::kFramed : BodyKind::kUntilEnd;
  else
    head->body = said;
  if (head->body.kind == BodyKind::kUntilEnd) head->keep_alive = false;
  if (head->status == 101 && reading.upgrades == 1) head->upgrade = reading.upgrade;
  CopyEndToEnd(raw, reading, !never, &head->fields);
  return HttpFault::kNone;
}

bool MayBeTrailer(std::string_view name) {
  static constexpr std::string_view kNever[] = {
      "authorization", "proxy-authorization", "cookie",           "set-cookie",
      "host",          "content-type",        "content-encoding", "content-range",
      "expect",        "max-forwards",        "cache-control",    "range",
      "forwarded",     "x-forwarded-for"};
  if (RoleOf(name) != FieldRole::kOrdinary || name.starts_with(':')) return false;
  return std::ranges::none_of(kNever, [&](std::string_view each) { return IsTwinOf(name, each); });
}

}  // namespace signet::proxy
