#include "proxy/http/http2_client.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "proxy/http/field_rules.h"
#include "proxy/http/syntax.h"

namespace signet::proxy {

struct Http2Client::Stream final : Http2Stream, ClientStream {
  explicit Stream(Http2Client& o) : owner(o) {}
  void SendData(std::string_view data) override {
    if (!data.empty()) owner.Queue(*this, data);
  }
  void SendEnd(const Fields& passed) override { owner.QueueEnd(*this, passed); }
  void Reset(StreamFault fault) override {
    client_events = nullptr;
    owner.Drop(*this, fault);
  }
  std::size_t buffered() const override { return owner.BufferedOf(*this); }
  void Consumed(std::size_t count) override { owner.Return(*this, count); }

  Http2Client& owner;
  ClientStreamEvents* client_events = nullptr;  // the same as `events`
  std::string_view method;                      // as far as it says something of the answer
  int informational = 0;
};

std::unique_ptr<Http2Stream> Http2Client::MakeStream(std::int32_t id) {
  auto stream = std::make_unique<Stream>(*this);
  stream->id = id;
  return stream;
}

bool Http2Client::can_open() const {
  if (dead() || draining_ || nghttp2_session_check_request_allowed(session()) == 0) return false;
  const std::uint32_t theirs =
      nghttp2_session_get_remote_settings(session(), NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
  return stream_count() < std::min<std::size_t>(theirs, settings().streams);
}

ClientStream& Http2Client::Open(const RequestHead& request, bool end, ClientStreamEvents& events) {
  CHECK_TRUE(can_open());
  Http2FieldBlock block;
  block.Add(":method", request.method);
  const bool connects = request.method == "CONNECT";  // RFC 9113, 8.5: its authority alone
  if (!connects) block.Add(":scheme", tls_ ? "https" : "http");
  if (!request.authority.empty()) block.Add(":authority", request.authority);
  if (!connects) block.Add(":path", request.path);
  block.AddAll(request.fields);
  if (request.takes_trailers) block.Add("te", "trailers");
  const auto* body = static_cast<const nghttp2_data_provider*>(PendingBody());
  const int id = block.With([&](const void* fields, std::size_t count) {
    return nghttp2_submit_request(session(), nullptr, static_cast<const nghttp2_nv*>(fields), count,
                                  end ? nullptr : body, nullptr);
  });
  CHECK_TRUE(id > 0);
  auto stream = std::make_unique<Stream>(*this);
  stream->id = id;
  stream->events = stream->client_events = &events;
  stream->method = connects ? "CONNECT" : request.method == "HEAD" ? "HEAD" : "GET";
  stream->has_body = !end;
  Stream& opened = *stream;
  Add(std::move(stream));
  WakeUp();
  return opened;
}

std::size_t Http2Client::OnInput(std::string_view bytes) {
  Receive(bytes);
  host_.Wake();  // acknowledgements and window updates are due
  return bytes.size();
}

Waiting Http2Client::waiting() const {
  if (over() || (draining_ && stream_count() == 0)) return Waiting::kOver;
  return stream_count() > 0 ? Waiting::kStream : Waiting::kIdle;
}

bool Http2Client::ReadHead(const Stream& stream, bool ended, ResponseHead* head) {
  if (stream.too_large || stream.raw.size() > settings().message.fields) return false;
  for (std::size_t i = 0; i < stream.raw.size(); ++i)
    if (!IsToken(stream.raw[i].name) || !IsFieldValue(stream.raw[i].value)) return false;
  head->version = HttpVersion::kHttp2;
  head->status = 0;
  for (const char c : stream.status) head->status = head->status * 10 + (c - '0');
  // RFC 9113, 8.6: 101 is HTTP/1.1's. nghttp2 has seen to three digits.
  if (stream.status.size() != 3 || head->status < 100 || head->status > 599 || head->status == 101)
    return false;
  if (TakeResponseFields(stream.raw, stream.method, head) != HttpFault::kNone) return false;
  if (ended) head->body = {};
  return true;
}

void Http2Client::OnHead(Http2Stream& untyped, bool ended) {
  auto& stream = static_cast<Stream&>(untyped);
  ClientStreamEvents* events = stream.client_events;
  if (stream.events == nullptr || events == nullptr) return;
  ResponseHead head;
  const bool good = ReadHead(stream, ended, &head);
  stream.raw.Clear();
  if (!good || (head.informational() && (ended || ++stream.informational > kMaxInformational))) {
    stream.client_events = nullptr;
    Drop(stream, StreamFault::kProtocol);
    return events->OnFault(StreamFault::kProtocol);
  }
  stream.head_done = !head.informational();
  events->OnHead(std::move(head));
  if (ended) EndIncoming(stream);
}

void Http2Client::OnStreamGone(Http2Stream& untyped, std::uint32_t error) {
  auto& stream = static_cast<Stream&>(untyped);
  stream.client_events = nullptr;
  StreamEvents* events = std::exchange(stream.events, nullptr);
  if (events != nullptr) events->OnFault(FaultOfHttp2Error(error));
  host_.OnStreamOver();
}

void Http2Client::BeginDrain() {
  draining_ = true;
  WakeUp();
}

}  // namespace signet::proxy
