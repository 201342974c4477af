// A caller's connection that speaks HTTP: picks the protocol by ALPN or by the first bytes, judges
// each request and sends it on its way, keeps the limits of time.
//
// Threads: one worker's.
#pragma once

#include <list>
#include <optional>

#include "proxy/forward/connection.h"
#include "proxy/forward/service.h"
#include "proxy/http/exchange.h"
#include "proxy/http/http_shared.h"
#include "proxy/http/link.h"

namespace signet::proxy {

// Who is at the other end, and through what it came.
struct HttpCaller {
  std::shared_ptr<Lane> lane;
  VerifiedPeerPtr peer;  // null: a local application (outbound)
  IdentityPtr own;       // what this end showed; null likewise
  net::SocketAddress remote;
  std::string alpn;  // of TLS
};

class HttpService final : public Service,
                          private RequestHandler,
                          private ExchangeHost,
                          private UpstreamSource,
                          private LinkOwner,
                          private Codec {
 public:
  // All outlive this.
  HttpService(ConnectionHost& host, ServiceOwner& owner, ByteStream& stream, HttpCaller caller);
  ~HttpService() override;

  void Start() override;
  void OnReady(std::uint32_t events) override { link_.OnReady(events); }
  void DecideAgain() override;
  void Retire() override;
  void BeginDrain() override;
  void Abandon() override;
  std::uint64_t received() const override { return link_.received(); }
  std::uint64_t sent() const override { return link_.sent(); }
  std::vector<LiveRequest> requests() const override;

 private:
  // Codec, until it is known which: looks at the first bytes and takes none.
  std::size_t OnInput(std::string_view bytes) override;
  bool wants_input() const override { return !ended_early_; }
  void OnInputEnd() override { ended_early_ = true; }
  void OnTimeout() override { ended_early_ = true; }
  void OnBroken(StreamFault) override { ended_early_ = true; }
  void Produce() override {}
  void OnOutput() override {}
  Waiting waiting() const override { return ended_early_ ? Waiting::kOver : Waiting::kHead; }

  // RequestHandler
  StreamEvents* OnRequest(ServerStream& stream, RequestHead head, bool end) override;
  void OnMalformed(HttpFault fault) override;
  void Wake() override { link_.Wake(); }
  SteadyTime Time() const override { return now(); }

  // ExchangeHost
  RequestVerdict Judge(const RequestHead& request, std::size_t fields) override;
  const CallerFields* caller_fields() const override {
    return caller_fields_ ? &*caller_fields_ : nullptr;
  }
  bool takes_connect() const override { return config().connect; }
  std::string_view hop() const override { return caller_.lane->hop; }
  UpstreamNeed NeedOf(const RequestHead& request) const override;
  UpstreamSource& upstreams() override { return *this; }
  std::optional<Duration> OverRate() override;
  std::unique_ptr<RequestRoute> RouteOf(std::size_t fields, RouteOwner& owner) override;
  TraceSource& traces() override { return host_.parts().telemetry.traces(); }
  SteadyTime now() const override { return host_.parts().loop.now(); }
  void OnExchangeOver(Exchange& exchange, const RequestOutcome& outcome) override;

  // UpstreamSource: one endpoint, the listener's.
  void Want(const RequestHead& request, const UpstreamNeed& need, UpstreamWaiter& waiter) override;
  void Withdraw(UpstreamWaiter& waiter) override;

  // LinkOwner
  void OnLinkEnd(LinkEnd how) override;
  void OnLinkActive() override;

  void Speak(bool http2);
  void Arm(Duration delay);
  void OnTimer();
  void CutStalled(SteadyTime now);
  Duration Allowed(Waiting waiting) const;
  UpstreamGroupPtr& GroupOf(HttpVersion version);
  std::string UpstreamIdentity() const;
  void Refused(const Exchange& exchange, const RequestOutcome& outcome);
  void Tell(const Exchange& exchange, const RequestOutcome& outcome);
  const ListenerConfig& config() const { return caller_.lane->plan->config; }
  HttpShared& shared() const { return host_.http(); }

  ConnectionHost& host_;
  ServiceOwner& owner_;
  const HttpCaller caller_;
  const std::string own_name_;                 // the SPIFFE ID this end showed, or holds
  const std::string remote_text_;              // for records
  std::optional<CallerFields> caller_fields_;  // of a caller with an identity
  Link link_;
  std::unique_ptr<Codec> codec_;
  std::list<std::unique_ptr<Exchange>> exchanges_;
  UpstreamGroupPtr http1_group_, http2_group_;
  net::EventLoop::TimerId timer_ = 0;
  Waiting waiting_ = Waiting::kHead;
  SteadyTime waiting_since_;
  bool lingers_ = false;
  bool ended_early_ = false;
  bool retired_ = false;
  bool over_ = false;
};

}  // namespace signet::proxy
