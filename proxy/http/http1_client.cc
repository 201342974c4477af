#include "proxy/http/http1_client.h"

#include <utility>

#include "base/check.h"
#include "proxy/http/http1_writer.h"

namespace signet::proxy {

ClientStream& Http1Client::Open(const RequestHead& request, bool end, ClientStreamEvents& events) {
  CHECK_TRUE(can_open());
  phase_ = Phase::kHead;
  events_ = &events;
  method_ = request.method;
  upgrade_ = !request.upgrade.empty();
  request_whole_ = end || upgrade_ || method_ == "CONNECT";
  chunked_ = !request_whole_ && request.body.kind != BodyKind::kLength;
  keep_alive_ = true;
  informational_ = 0;
  unconsumed_ = 0;
  scanner_.Reset();
  if (request_whole_ && request.body.kind == BodyKind::kFramed) {
    // HTTP/2 said with its last frame that there is none, or it is a tunnel's.
    RequestHead bodyless = request;
    bodyless.body = {};
    WriteRequestHead(bodyless, &out_.tail());
  } else {
    WriteRequestHead(request, &out_.tail());
  }
  host_.Wake();
  return *this;
}

std::size_t Http1Client::OnInput(std::string_view bytes) {
  std::string_view input = bytes;
  for (bool more = true; more;) {
    switch (phase_) {
      case Phase::kIdle:
        // Nobody asked: whatever it is, it is no answer of ours.
        if (!input.empty()) phase_ = Phase::kOver;
        return bytes.size();
      case Phase::kHead:
        more = TakeHead(&input);
        break;
      case Phase::kBody:
        more = TakeBody(&input);
        break;
      case Phase::kTunnel:
        more = TakeTunnel(&input);
        break;
      case Phase::kOver:
        return bytes.size();
    }
  }
  return bytes.size() - input.size();
}

Waiting Http1Client::waiting() const {
  if (phase_ == Phase::kOver) return Waiting::kOver;
  return phase_ == Phase::kIdle ? Waiting::kIdle : Waiting::kStream;
}

bool Http1Client::TakeHead(std::string_view* input) {
  switch (scanner_.Scan(*input, limits_.head_bytes)) {
    case HeadScanner::Found::kMore:
      return false;
    case HeadScanner::Found::kFault:
      Fault(StreamFault::kProtocol);
      return false;
    case HeadScanner::Found::kHead:
      break;
  }
  ResponseHead head;
  const std::string_view text = input->substr(0, scanner_.head_bytes());
  if (ParseResponseHead(text, limits_, method_, &head) != HttpFault::kNone ||
      (head.status == 101 && (!upgrade_ || !request_whole_)) ||
      (head.informational() && ++informational_ > kMaxInformational)) {
    Fault(StreamFault::kProtocol);
    return false;
  }
  input->remove_prefix(text.size());
  scanner_.Reset();
  if (head.informational()) {
    events_->OnHead(std::move(head));
    return phase_ == Phase::kHead;
  }
  keep_alive_ = head.keep_alive;
  if (head.status == 101 || (method_ == "CONNECT" && head.status / 100 == 2)) {
    keep_alive_ = false;  // what is behind a tunnel is not HTTP any more
    phase_ = Phase::kTunnel;
    events_->OnHead(std::move(head));
    return true;
  }
  body_ = Http1Body(head.body, limits_);
  phase_ = Phase::kBody;
  events_->OnHead(std::move(head));
  return true;
}

bool Http1Client::TakeBody(std::string_view* input) {
  if (unconsumed_ > 0 || events_ == nullptr) return false;
  std::string_view data;
  switch (body_.Next(input, &data)) {
    case Http1Body::Step::kData:
      unconsumed_ += data.size();
      events_->OnData(data);
      // A body of known length ends with its last byte.
      if (phase_ == Phase::kBody && body_.whole()) FinishResponse({}, input->empty());
      return true;
    case Http1Body::Step::kMore:
      return false;
    case Http1Body::Step::kEnd:
      FinishResponse(body_.trailers(), input->empty());
      return true;
    case Http1Body::Step::kFault:
      Fault(StreamFault::kProtocol);
      return false;
  }
  return false;
}

bool Http1Client::TakeTunnel(std::string_view* input) {
  if (unconsumed_ > 0 || input->empty()) return false;
  const std::string_view data = std::exchange(*input, {});
  unconsumed_ += data.size();
  events_->OnData(data);
  return false;
}

void Http1Client::FinishResponse(const Fields& trailers, bool nothing_behind) {
  ClientStreamEvents* events = std::exchange(events_, nullptr);
  // Without the rest of the request the next one has no place to begin, and bytes behind the answer
  // must not be taken for the answer to the next.
  const bool reusable = request_whole_ && keep_alive_ && !draining_ && nothing_behind;
  phase_ = reusable ? Phase::kIdle : Phase::kOver;
  unconsumed_ = 0;
  full_ = false;
  // They may be of the parser, which the next request, begun by whoever hears of this one's end,
  // sets back. NOLINTNEXTLINE(performance-unnecessary-copy-initialization)
  const Fields held = trailers;
  events->OnEnd(held);
  host_.OnStreamOver();
}

void Http1Client::Fault(StreamFault fault) {
  ClientStreamEvents* events = std::exchange(events_, nullptr);
  phase_ = Phase::kOver;
  if (events != nullptr) events->OnFault(fault);
  host_.OnStreamOver();
}

void Http1Client::OnInputEnd() {
  switch (phase_) {
    case Phase::kIdle:
      phase_ = Phase::kOver;
      host_.OnStreamOver();
      return;
    case Phase::kBody:
      if (body_.EndOfInput()) return FinishResponse({}, true);
      return Fault(StreamFault::kConnection);
    case Phase::kTunnel:
      return FinishResponse({}, true);
    case Phase::kHead:
      return Fault(StreamFault::kConnection);
    case Phase::kOver:
      return;
  }
}

void Http1Client::OnBroken(StreamFault fault) { Fault(fault); }

void Http1Client::SendData(std::string_view data) {
  if (data.empty()) return;
  if (chunked_ && phase_ != Phase::kTunnel)
    WriteChunk(data, &out_.tail());
  else
    out_.tail().append(data);
  if (out_.size() > kStreamHighWater) full_ = true;
  host_.Wake();
}

void Http1Client::SendEnd(const Fields& trailers) {
  if (phase_ == Phase::kTunnel) {
    half_closed_ = true;
  } else {
    if (chunked_) WriteLastChunk(trailers, &out_.tail());
    request_whole_ = true;
  }
  host_.Wake();
}

void Http1Client::Reset(StreamFault) {
  events_ = nullptr;
  phase_ = Phase::kOver;
  host_.OnStreamOver();
}

void Http1Client::Consumed(std::size_t count) {
  CHECK_TRUE(count <= unconsumed_);
  unconsumed_ -= count;
  if (unconsumed_ == 0) host_.Wake();
}

void Http1Client::OnOutput() {
  if (!full_ || out_.size() > kStreamHighWater / 2) return;
  full_ = false;
  if (events_ != nullptr) events_->OnDrained();
}

void Http1Client::BeginDrain() {
  draining_ = true;
  if (phase_ == Phase::kIdle) phase_ = Phase::kOver;
}

}  // namespace signet::proxy
