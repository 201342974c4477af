// The client's end of one HTTP/1.1 connection: one request at a time, reused after it when both
// ends agree on where it ended.
//
// Threads: one worker's.
#pragma once

#include <memory>

#include "net/tls.h"
#include "proxy/http/http1_body.h"
#include "proxy/http/message_stream.h"

namespace signet::proxy {

// What a client's codec tells its connection.
class ClientHost {
 public:
  virtual ~ClientHost() = default;
  // There is output, or input may be taken again. Never calls back synchronously.
  virtual void Wake() = 0;
  // The steady time of this turn.
  virtual SteadyTime Time() const = 0;
  // A stream is over: there may be room for another one, or the connection is to be closed.
  virtual void OnStreamOver() = 0;
};

class ClientCodec : public Codec {
 public:
  // Sends the head; `end`: there is no body. Only when can_open().
  virtual ClientStream& Open(const RequestHead& request, bool end, ClientStreamEvents& events) = 0;
  virtual bool can_open() const = 0;
  virtual std::size_t streams() const = 0;
  // Who the other end proved to be; null: a plain upstream.
  const std::shared_ptr<const net::PeerIdentity>& peer() const { return peer_; }
  void set_peer(std::shared_ptr<const net::PeerIdentity> peer) { peer_ = std::move(peer); }

 private:
  std::shared_ptr<const net::PeerIdentity> peer_;
};

class Http1Client final : public ClientCodec, private ClientStream {
 public:
  // All outlive this.
  Http1Client(OutputBuffer& out, ClientHost& host, const HttpLimits& limits)
      : out_(out), host_(host), limits_(limits) {}

  ClientStream& Open(const RequestHead& request, bool end, ClientStreamEvents& events) override;
  bool can_open() const override { return phase_ == Phase::kIdle; }
  std::size_t streams() const override { return events_ != nullptr ? 1 : 0; }

  std::size_t OnInput(std::string_view bytes) override;
  bool wants_input() const override { return phase_ == Phase::kOver || unconsumed_ == 0; }
  void OnInputEnd() override;
  void OnBroken(StreamFault fault) override;
  void Produce() override {}
  void OnOutput() override;
  Waiting waiting() const override;
  void OnTimeout() override { BeginDrain(); }
  void BeginDrain() override;

  bool write_ended() const override { return half_closed_; }

 private:
  enum class Phase { kIdle, kHead, kBody, kTunnel, kOver };
  static constexpr int kMaxInformational = 16;

  // ClientStream
  void SendData(std::string_view data) override;
  void SendEnd(const Fields& trailers) override;
  void Reset(StreamFault fault) override;
  std::size_t buffered() const override { return out_.size(); }
  void Consumed(std::size_t count) override;

  bool TakeHead(std::string_view* input);
  bool TakeBody(std::string_view* input);
  bool TakeTunnel(std::string_view* input);
  void Fault(StreamFault fault);
  void FinishResponse(const Fields& trailers, bool nothing_behind);

  OutputBuffer& out_;
  ClientHost& host_;
  const HttpLimits& limits_;
  Phase phase_ = Phase::kIdle;
  HeadScanner scanner_;
  Http1Body body_;
  ClientStreamEvents* events_ = nullptr;
  std::string method_;
  bool upgrade_ = false;
  bool chunked_ = false;  // the request
  bool request_whole_ = false;
  bool keep_alive_ = true;
  bool full_ = false;
  bool draining_ = false;
  bool half_closed_ = false;
  int informational_ = 0;
  std::size_t unconsumed_ = 0;
};

}  // namespace signet::proxy
