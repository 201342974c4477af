// The client's end of one HTTP/2 connection: many requests at once.
//
// Threads: one worker's.
#pragma once

#include "proxy/http/http1_client.h"
#include "proxy/http/http2_session.h"

namespace signet::proxy {

class Http2Client final : public ClientCodec, private Http2Session {
 public:
  // All outlive this. `tls` says which scheme requests have.
  Http2Client(OutputBuffer& out, ClientHost& host, const HttpSettings& settings, bool tls)
      : Http2Session(Role::kClient, out, settings, [&host] { return host.Time(); }),
        host_(host),
        tls_(tls) {}

  ClientStream& Open(const RequestHead& request, bool end, ClientStreamEvents& events) override;
  bool can_open() const override;
  std::size_t streams() const override { return stream_count(); }

  std::size_t OnInput(std::string_view bytes) override;
  bool wants_input() const override { return true; }
  void OnInputEnd() override { FailAll(StreamFault::kConnection); }
  void OnBroken(StreamFault fault) override { FailAll(fault); }
  void Produce() override { ProduceFrames(); }
  void OnOutput() override {}
  Waiting waiting() const override;
  bool broken_off() const override { return dead(); }
  void OnTimeout() override { BeginDrain(); }
  void BeginDrain() override;

 private:
  struct Stream;
  static constexpr int kMaxInformational = 16;

  std::unique_ptr<Http2Stream> MakeStream(std::int32_t id) override;
  void OnHead(Http2Stream& stream, bool ended) override;
  void OnStreamGone(Http2Stream& stream, std::uint32_t error) override;
  void WakeUp() override { host_.Wake(); }
  // False when the head must not be used.
  bool ReadHead(const Stream& stream, bool ended, ResponseHead* head);

  ClientHost& host_;
  const bool tls_;
  bool draining_ = false;
};

}  // namespace signet::proxy
