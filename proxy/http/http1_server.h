// The server's end of one HTTP/1.1 connection (RFC 9112): requests one after another, pipelined
// ones wait their turn. After anything that leaves the place of the next request in doubt, the
// connection closes.
//
// Threads: one worker's.
#pragma once

#include <optional>

#include "proxy/http/http1_body.h"
#include "proxy/http/message_stream.h"

namespace signet::proxy {

class Http1Server final : public Codec, private ServerStream {
 public:
  // All outlive this.
  Http1Server(OutputBuffer& out, RequestHandler& handler, const HttpLimits& limits)
      : out_(out), handler_(handler), limits_(limits) {}

  std::size_t OnInput(std::string_view bytes) override;
  bool wants_input() const override;
  void OnInputEnd() override;
  void OnBroken(StreamFault fault) override;
  void Produce() override {}
  void OnOutput() override;
  Waiting waiting() const override;
  void BeginDrain() override;
  // The next answer says `Connection: close`.
  void Retire() override { draining_ = true; }
  // 408 if a head had begun.
  void OnTimeout() override;
  bool broken_off() const override { return broken_off_; }

 private:
  enum class Phase {
    kHead,    // the next request's head is awaited
    kOpen,    // a request is read or answered
    kTunnel,  // after a 101: bytes
    kOver,    // no more requests: what comes is dropped
  };

  // ServerStream
  void SendHead(const ResponseHead& head, bool end) override;
  void SendData(std::string_view data) override;
  void SendEnd(const Fields& trailers) override;
  void Reset(StreamFault fault) override;
  std::size_t buffered() const override { return out_.size(); }
  void Consumed(std::size_t count) override;

  // Each answers false when no more can be taken now.
  bool TakeHead(std::string_view* input);
  bool TakeBody(std::string_view* input);
  bool TakeTunnel(std::string_view* input);
  void BeginRequest(RequestHead head);
  void Refuse(HttpFault fault);
  void FinishResponse();
  void Close();

  OutputBuffer& out_;
  RequestHandler& handler_;
  const HttpLimits& limits_;
  Phase phase_ = Phase::kHead;
  HeadScanner scanner_;
  bool head_begun_ = false;
  bool skipped_line_ = false;
  Http1Body body_;
  StreamEvents* events_ = nullptr;
  // Of the request in progress.
  bool is_head_ = false;
  HttpVersion version_ = HttpVersion::kHttp11;
  bool wants_upgrade_ = false;
  bool is_connect_ = false;
  bool request_whole_ = true;
  bool response_begun_ = false;
  bool response_whole_ = true;
  bool chunked_ = false;
  bool close_after_ = false;
  bool full_ = false;  // the output passed the high-water mark
  std::size_t unconsumed_ = 0;
  bool input_ended_ = false;
  bool draining_ = false;
  bool broken_off_ = false;
};

}  // namespace signet::proxy
