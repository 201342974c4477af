#include "proxy/http/http1_server.h"

#include <fmt/format.h>

#include <utility>

#include "base/check.h"
#include "proxy/http/http1_writer.h"
#include "proxy/http/syntax.h"

namespace signet::proxy {

std::size_t Http1Server::OnInput(std::string_view bytes) {
  std::string_view input = bytes;
  for (bool more = true; more;) {
    switch (phase_) {
      case Phase::kHead:
        more = TakeHead(&input);
        break;
      case Phase::kOpen:
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

bool Http1Server::wants_input() const {
  switch (phase_) {
    case Phase::kHead:
    case Phase::kOver:
      return true;
    case Phase::kOpen:
      // Pipelined requests wait in the socket until their turn.
      return !request_whole_ && unconsumed_ == 0;
    case Phase::kTunnel:
      return unconsumed_ == 0;
  }
  return false;
}

Waiting Http1Server::waiting() const {
  if (phase_ == Phase::kHead) return head_begun_ ? Waiting::kHead : Waiting::kIdle;
  return phase_ == Phase::kOver ? Waiting::kOver : Waiting::kStream;
}

// ---- requests

bool Http1Server::TakeHead(std::string_view* input) {
  if (input->empty()) return false;
  // RFC 9112, 2.2: an empty line before a request is ignored. One.
  if (!head_begun_ && !skipped_line_ && std::string_view("\r\n").starts_with(input->substr(0, 2))) {
    if (input->size() < 2) return false;
    input->remove_prefix(2);
    skipped_line_ = true;
    return true;
  }
  head_begun_ = true;
  if (!MayBeHttp1(*input)) {
    Refuse(HttpFault::kNotHttp);
    return false;
  }
  switch (scanner_.Scan(*input, limits_.head_bytes)) {
    case HeadScanner::Found::kMore:
      return false;
    case HeadScanner::Found::kFault:
      Refuse(scanner_.fault());
      return false;
    case HeadScanner::Found::kHead:
      break;
  }
  RequestHead head;
  const HttpFault fault = ParseRequestHead(input->substr(0, scanner_.head_bytes()), limits_, &head);
  if (fault != HttpFault::kNone) {
    Refuse(fault);
    return false;
  }
  input->remove_prefix(scanner_.head_bytes());
  BeginRequest(std::move(head));
  return true;
}

void Http1Server::BeginRequest(RequestHead head) {
  scanner_.Reset();
  head_begun_ = skipped_line_ = false;
  phase_ = Phase::kOpen;
  body_ = Http1Body(head.body, limits_);
  request_whole_ = body_.whole();
  response_begun_ = response_whole_ = chunked_ = false;
  is_head_ = head.method == "HEAD";
  version_ = head.version;
  wants_upgrade_ = !head.upgrade.empty();
  is_connect_ = head.method == "CONNECT";
  // Whoever asked for a tunnel may send into it before it hears that there is none.
  close_after_ = draining_ || !head.keep_alive || is_connect_;
  unconsumed_ = 0;
  StreamEvents* events = handler_.OnRequest(*this, std::move(head), request_whole_);
  // An answer given inside OnRequest() has ended the exchange.
  if (!response_whole_ && phase_ == Phase::kOpen) events_ = events;
}

bool Http1Server::TakeBody(std::string_view* input) {
  if (request_whole_ || unconsumed_ > 0 || input->empty()) return false;
  std::string_view data;
  switch (body_.Next(input, &data)) {
    case Http1Body::Step::kData:
      unconsumed_ += data.size();
      if (body_.whole()) request_whole_ = true;
      if (events_ != nullptr) events_->OnData(data);
      if (request_whole_ && events_ != nullptr) events_->OnEnd({});
      return phase_ == Phase::kOpen && !request_whole_;
    case Http1Body::Step::kMore:
      return false;
    case Http1Body::Step::kEnd:
      request_whole_ = true;
      if (events_ != nullptr) events_->OnEnd(body_.trailers());
      return false;
    case Http1Body::Step::kFault:
      handler_.OnMalformed(body_.fault());
      if (StreamEvents* events = std::exchange(events_, nullptr); events != nullptr)
        events->OnFault(StreamFault::kProtocol);
      if (!response_begun_ && !response_whole_) {
        ResponseHead refusal;
        refusal.status = StatusOfFault(body_.fault());
        refusal.fields.Add("Content-Length", "0");
        close_after_ = true;
        WriteResponseHead(refusal, false, AfterResponse::kClose, &out_.tail());
      }
      Close();
      return false;
  }
  return false;
}

bool Http1Server::TakeTunnel(std::string_view* input) {
  if (unconsumed_ > 0 || input->empty()) return false;
  const std::string_view data = std::exchange(*input, {});
  unconsumed_ += data.size();
  if (events_ != nullptr) events_->OnData(data);
  return false;
}

void Http1Server::Refuse(HttpFault fault) {
  const int status = StatusOfFault(fault);
  const std::string body =
      fmt::format("{} {}: {}\n", status, ReasonPhrase(status), FaultName(fault));
  // What speaks another protocol would not understand an answer.
  if (fault != HttpFault::kNotHttp) {
    ResponseHead head;
    head.status = status;
    head.fields.Add("Content-Type", "text/plain");
    head.fields.Add("Content-Length", fmt::format("{}", body.size()));
    WriteResponseHead(head, false, AfterResponse::kClose, &out_.tail());
    out_.tail().append(body);
  }
  Close();
  handler_.OnMalformed(fault);
  handler_.Wake();
}

void Http1Server::OnTimeout() {
  if (head_begun_) {
    ResponseHead head;
    head.status = 408;
    head.fields.Add("Content-Length", "0");
    WriteResponseHead(head, false, AfterResponse::kClose, &out_.tail());
  }
  Close();
  handler_.Wake();
}

// ---- responses

void Http1Server::SendHead(const ResponseHead& head, bool end) {
  handler_.Wake();
  if (head.informational()) {
    // RFC 9110, 15.2: an HTTP/1.0 client knows none.
    if (version_ != HttpVersion::kHttp10)
      WriteResponseHead(head, false, AfterResponse::kKeepAlive, &out_.tail());
    return;
  }
  response_begun_ = true;
  const bool tunnel =
      (wants_upgrade_ && head.status == 101) || (is_connect_ && head.status / 100 == 2);
  if (tunnel) {
    WriteResponseHead(head, false, AfterResponse::kKeepAlive, &out_.tail());
    phase_ = Phase::kTunnel;
    request_whole_ = false;
    return;
  }
  const bool bodyless = is_head_ || head.status == 204 || head.status == 304;
  const bool sized = head.body.kind == BodyKind::kLength || head.fields.Has("content-length");
  chunked_ = !bodyless && !end && !sized && version_ == HttpVersion::kHttp11;
  // An answer that overtakes its request leaves bytes of the request behind it.
  if (!request_whole_ || (!bodyless && !end && !sized && !chunked_)) close_after_ = true;
  if (draining_) close_after_ = true;
  const AfterResponse after = close_after_                       ? AfterResponse::kClose
                              : version_ == HttpVersion::kHttp10 ? AfterResponse::kKeepAliveToHttp10
                                                                 : AfterResponse::kKeepAlive;
  if (end && !bodyless && !sized) {
    ResponseHead empty = head;
    empty.fields.Add("Content-Length", "0");
    WriteResponseHead(empty, false, after, &out_.tail());
  } else {
    WriteResponseHead(head, chunked_, after, &out_.tail());
  }
  if (end) FinishResponse();
}

void Http1Server::SendData(std::string_view data) {
  if (data.empty() || is_head_) return;
  if (chunked_)
    WriteChunk(data, &out_.tail());
  else
    out_.tail().append(data);
  if (out_.size() > kStreamHighWater) full_ = true;
  handler_.Wake();
}

void Http1Server::SendEnd(const Fields& trailers) {
  handler_.Wake();
  if (phase_ == Phase::kTunnel) {
    events_ = nullptr;
    Close();
    return;
  }
  if (chunked_) WriteLastChunk(trailers, &out_.tail());
  FinishResponse();
}

void Http1Server::FinishResponse() {
  events_ = nullptr;
  response_whole_ = true;
  if (close_after_ || !request_whole_ || input_ended_) return Close();
  phase_ = Phase::kHead;
}

void Http1Server::Reset(StreamFault) {
  events_ = nullptr;
  response_whole_ = true;
  // The client must not take a broken answer for a whole one: the connection is torn down.
  broken_off_ = true;
  Close();
  handler_.Wake();
}

void Http1Server::Close() {
  phase_ = Phase::kOver;
  events_ = nullptr;
}

void Http1Server::Consumed(std::size_t count) {
  CHECK_TRUE(count <= unconsumed_);
  unconsumed_ -= count;
  if (unconsumed_ == 0) handler_.Wake();
}

void Http1Server::OnOutput() {
  if (!full_ || out_.size() > kStreamHighWater / 2) return;
  full_ = false;
  if (events_ != nullptr) events_->OnDrained();
}

// ---- ends

void Http1Server::OnInputEnd() {
  input_ended_ = true;
  switch (phase_) {
    case Phase::kHead:
      if (head_begun_) handler_.OnMalformed(HttpFault::kTruncated);
      return Close();
    case Phase::kOpen:
      // A client that has said all may still wait for its answer.
      if (request_whole_) {
        close_after_ = true;
        return;
      }
      return OnBroken(StreamFault::kReset);
    case Phase::kTunnel:
      if (events_ != nullptr) events_->OnEnd({});
      return;
    case Phase::kOver:
      return;
  }
}

void Http1Server::OnBroken(StreamFault fault) {
  StreamEvents* events = std::exchange(events_, nullptr);
  Close();
  if (events != nullptr) events->OnFault(fault);
}

void Http1Server::BeginDrain() {
  draining_ = true;
  if (phase_ == Phase::kHead && !head_begun_) Close();
  handler_.Wake();
}

}  // namespace signet::proxy
