// The server's end of one HTTP/2 connection.
//
// Threads: one worker's.
#pragma once

#include "proxy/http/http2_session.h"

namespace signet::proxy {

class Http2Server final : public Codec, private Http2Session {
 public:
  // All outlive this.
  Http2Server(OutputBuffer& out, RequestHandler& handler, const HttpSettings& settings)
      : Http2Session(Role::kServer, out, settings, [&handler] { return handler.Time(); }),
        handler_(handler) {}

  std::size_t OnInput(std::string_view bytes) override;
  // A peer that does not read must be read all the same: both might wait for each other.
  bool wants_input() const override { return true; }
  void OnInputEnd() override { FailAll(StreamFault::kReset); }
  void OnBroken(StreamFault fault) override { FailAll(fault); }
  void Produce() override;
  void OnOutput() override {}
  Waiting waiting() const override;
  bool broken_off() const override { return dead(); }
  void OnTimeout() override;
  void BeginDrain() override;

 private:
  struct Stream;

  std::unique_ptr<Http2Stream> MakeStream(std::int32_t id) override;
  void OnHead(Http2Stream& stream, bool ended) override;
  void OnStreamGone(Http2Stream& stream, std::uint32_t error) override;
  void WakeUp() override { handler_.Wake(); }
  HttpFault ReadTarget(const Http2Stream& stream, RequestHead* head) const;
  HttpFault ReadHead(Http2Stream& stream, bool ended, RequestHead* head);
  void Respond(Stream& stream, const ResponseHead& head, bool end);

  RequestHandler& handler_;
};

}  // namespace signet::proxy
