#include "proxy/http/http2_server.h"

#include <fmt/format.h>
#include <nghttp2/nghttp2.h>

#include <utility>

#include "proxy/http/field_rules.h"
#include "proxy/http/http1_head.h"
#include "proxy/http/syntax.h"

namespace signet::proxy {

struct Http2Server::Stream final : Http2Stream, ServerStream {
  explicit Stream(Http2Server& o) : owner(o) {}
  void SendHead(const ResponseHead& head, bool end) override { owner.Respond(*this, head, end); }
  void SendData(std::string_view data) override {
    if (!is_head && !data.empty()) owner.Queue(*this, data);
  }
  void SendEnd(const Fields& passed) override {
    events = nullptr;
    owner.QueueEnd(*this, passed);
  }
  void Reset(StreamFault fault) override { owner.Drop(*this, fault); }
  std::size_t buffered() const override { return owner.BufferedOf(*this); }
  void Consumed(std::size_t count) override { owner.Return(*this, count); }

  Http2Server& owner;
  bool is_head = false;
  bool answered = false;
};

std::unique_ptr<Http2Stream> Http2Server::MakeStream(std::int32_t id) {
  auto stream = std::make_unique<Stream>(*this);
  stream->id = id;
  return stream;
}

std::size_t Http2Server::OnInput(std::string_view bytes) {
  Receive(bytes);
  handler_.Wake();  // acknowledgements and window updates are due
  return bytes.size();
}

void Http2Server::Produce() { ProduceFrames(); }

Waiting Http2Server::waiting() const {
  if (over()) return Waiting::kOver;
  if (!settled()) return Waiting::kHead;
  return stream_count() > 0 ? Waiting::kStream : Waiting::kIdle;
}

HttpFault Http2Server::ReadTarget(const Http2Stream& stream, RequestHead* head) const {
  head->method = stream.method;
  const bool connects = stream.method == "CONNECT";
  if (connects && stream.protocol.empty()) {
    // RFC 9113, 8.5: it has an authority alone.
    if (!stream.scheme.empty() || !stream.path.empty()) return HttpFault::kTarget;
    return ParseTarget(stream.authority, head);
  }
  // RFC 8441, 5: what HTTP/1.1 asks for by GET and Upgrade. So it is judged, and so it is sent on.
  if (connects) {
    if (!MayUpgradeTo(stream.protocol)) return HttpFault::kMethod;
    head->method = "GET";
    head->upgrade = stream.protocol;
  }
  if (!EqualsIgnoreCase(stream.scheme, "http") && !EqualsIgnoreCase(stream.scheme, "https"))
    return HttpFault::kTarget;
  // Only origin-form and "*" are paths (RFC 9113, 8.3.1).
  if (!stream.path.starts_with('/') && stream.path != "*") return HttpFault::kTarget;
  return ParseTarget(stream.path, head);
}

// The same rules as for HTTP/1.1, on what HPACK gave. nghttp2 has checked the pseudo-fields'
// number, order and presence (RFC 9113, 8.3), and that content-length agrees with the frames.
HttpFault Http2Server::ReadHead(Http2Stream& stream, bool ended, RequestHead* head) {
  if (stream.too_large || stream.raw.size() > settings().message.fields)
    return HttpFault::kHeadTooLarge;
  if (!IsToken(stream.method)) return HttpFault::kStartLine;
  if (!IsAuthority(stream.authority)) return HttpFault::kHost;
  if (stream.path.size() > settings().message.target_bytes) return HttpFault::kTargetTooLong;
  for (std::size_t i = 0; i < stream.raw.size(); ++i)
    if (!IsToken(stream.raw[i].name) || !IsFieldValue(stream.raw[i].value))
      return HttpFault::kField;
  head->version = HttpVersion::kHttp2;
  if (const HttpFault fault = ReadTarget(stream, head); fault != HttpFault::kNone) return fault;
  head->authority = stream.authority;
  if (const HttpFault fault = TakeRequestFields(stream.raw, head); fault != HttpFault::kNone)
    return fault;
  if (!head->upgrade.empty())
    return head->body.kind == BodyKind::kNone ? HttpFault::kNone : HttpFault::kFraming;
  if (!ended && head->body.kind == BodyKind::kNone) head->body.kind = BodyKind::kFramed;
  return HttpFault::kNone;
}

void Http2Server::OnHead(Http2Stream& untyped, bool ended) {
  auto& stream = static_cast<Stream&>(untyped);
  stream.head_done = true;
  stream.is_head = stream.method == "HEAD";
  RequestHead head;
  const HttpFault fault = ReadHead(stream, ended, &head);
  stream.raw.Clear();
  if (fault != HttpFault::kNone) {
    Charge();
    ResponseHead refusal;
    refusal.status = StatusOfFault(fault);
    refusal.fields.Add("content-length", "0");
    Respond(stream, refusal, true);
    return handler_.OnMalformed(fault);
  }
  StreamEvents* events = handler_.OnRequest(stream, std::move(head), ended);
  if (!stream.answered) stream.events = events;
}

void Http2Server::Respond(Stream& stream, const ResponseHead& head, bool end) {
  Http2FieldBlock block;
  const bool switched = head.status == 101;  // RFC 8441, 5: here it is a 200
  block.Add(":status", fmt::format("{}", switched ? 200 : head.status));
  if (switched) {
    Fields kept = head.fields;
    kept.RemoveIf([](const Fields::Field& field) {
      return EqualsIgnoreCase(field.name, "sec-websocket-accept");
    });
    block.AddAll(kept);
  } else {
    block.AddAll(head.fields);
  }
  const bool interim = head.informational();
  if (end) {
    stream.answered = true;
    stream.events = nullptr;
  }
  block.With([&](const void* untyped, std::size_t count) {
    const auto* fields = static_cast<const nghttp2_nv*>(untyped);
    if (interim)
      return nghttp2_submit_headers(session(), NGHTTP2_FLAG_NONE, stream.id, nullptr, fields, count,
                                    nullptr);
    const auto* body = static_cast<const nghttp2_data_provider*>(PendingBody());
    return nghttp2_submit_response(session(), stream.id, fields, count, end ? nullptr : body);
  });
  WakeUp();
}

void Http2Server::OnStreamGone(Http2Stream& stream, std::uint32_t error) {
  if (StreamEvents* events = std::exchange(stream.events, nullptr); events != nullptr)
    events->OnFault(FaultOfHttp2Error(error));
}

void Http2Server::OnTimeout() { Terminate(NGHTTP2_NO_ERROR); }

// RFC 9113, 6.8: first that the end is near, then, when a round trip has passed, where it is.
void Http2Server::BeginDrain() {
  if (dead() || draining()) return;
  nghttp2_submit_shutdown_notice(session());
  nghttp2_submit_ping(session(), NGHTTP2_FLAG_NONE, nullptr);
  Draining();
  WakeUp();
}

}  // namespace signet::proxy
