// One request on its way through the proxy: decided, forwarded, answered. It stands between a
// stream of the caller's connection and one of an upstream connection, passes bytes on as far as
// the other side takes them, and holds none otherwise.
//
// Threads: one worker's. Ownership: by its host, which destroys it some time after
// OnExchangeOver().
#pragma once

#include <string>

#include "proxy/http/identity_fields.h"
#include "proxy/http/turn.h"
#include "proxy/http/upstream.h"
#include "proxy/route/request_route.h"
#include "proxy/telemetry/trace_context.h"

namespace signet::proxy {

// What is said of a request before anything of it is forwarded. Deny is the zero value.
struct RequestVerdict {
  bool allowed = false;
  RequestEnd end = RequestEnd::kNotAllowed;  // when it is not
  std::string id;                            // for the caller and the log
  std::string reason;                        // for the log alone
  std::string rule;                          // that allowed it; for the log alone
};

class Exchange;

// What an exchange needs of the caller's connection.
class ExchangeHost {
 public:
  virtual ~ExchangeHost() = default;
  // `fields`: the first so many of request.fields are the caller's, what follows is ours.
  virtual RequestVerdict Judge(const RequestHead& request, std::size_t fields) = 0;
  // Whom the application is told of; null: nobody.
  virtual const CallerFields* caller_fields() const = 0;
  // CONNECT may be passed on.
  virtual bool takes_connect() const = 0;
  // What this listener is called in `signet-hops`.
  virtual std::string_view hop() const = 0;
  virtual UpstreamNeed NeedOf(const RequestHead& request) const = 0;
  virtual UpstreamSource& upstreams() = 0;
  // Null: everything goes to upstreams() as it is. `fields`: as of Judge().
  // How long until there may be room for one more, when rate limits are reached.
  virtual std::optional<Duration> OverRate() = 0;
  virtual std::unique_ptr<RequestRoute> RouteOf(std::size_t fields, RouteOwner& owner) = 0;
  virtual TraceSource& traces() = 0;
  virtual SteadyTime now() const = 0;
  virtual void OnExchangeOver(Exchange& exchange, const RequestOutcome& outcome) = 0;
};

class Exchange final : public Mortal, private UpstreamWaiter, private RouteOwner {
 public:
  // `down` tells the exchange of its request by downstream(); `request_whole`: it has no body.
  Exchange(ExchangeHost& host, ServerStream& down, RequestHead request, bool request_whole);

  // Decides and sets out. False when it is over already.
  bool Start();
  // After rules, bundles or the identity changed.
  void DecideAgain();
  // Ends it: with an answer when none has begun.
  void Cut(RequestEnd end, std::string_view detail);

  StreamEvents& downstream() { return down_events_; }
  // As the caller sent it, without what would lie to the application.
  const RequestHead& request() const { return as_judged_ ? *as_judged_ : request_; }
  bool waits_for_upstream() const { return waiting_; }
  // When a byte of it last moved.
  SteadyTime active_at() const { return active_at_; }
  SteadyTime started_at() const { return started_at_; }
  const RequestTrace& trace() const { return trace_; }
  bool response_begun() const { return response_begun_; }
  bool request_whole() const { return request_whole_; }

 private:
  class DownEvents final : public StreamEvents {
   public:
    explicit DownEvents(Exchange& owner) : owner_(owner) {}
    void OnData(std::string_view data) override { owner_.OnRequestData(data); }
    void OnEnd(const Fields& trailers) override { owner_.OnRequestEnd(trailers); }
    void OnFault(StreamFault fault) override { owner_.OnCallerGone(fault); }
    void OnDrained() override { owner_.GiveBackResponse(); }

   private:
    Exchange& owner_;
  };
  class UpEvents final : public ClientStreamEvents {
   public:
    explicit UpEvents(Exchange& owner) : owner_(owner) {}
    void OnHead(ResponseHead head) override { owner_.OnResponseHead(std::move(head)); }
    void OnData(std::string_view data) override { owner_.OnResponseData(data); }
    void OnEnd(const Fields& trailers) override { owner_.OnResponseEnd(trailers); }
    void OnFault(StreamFault fault) override { owner_.OnUpstreamFault(fault); }
    void OnDrained() override { owner_.GiveBackRequest(); }

   private:
    Exchange& owner_;
  };

  // UpstreamWaiter
  void OnUpstream(ClientCodec& codec, bool reused) override;
  void OnNoUpstream(const UpstreamFailure& failure) override;

  // RouteOwner
  void OnRouteReady() override { (void)SetOut(); }
  void OnRetryDue() override { Ask(false); }
  void OnRouteTimeout(Limit which) override;

  UpstreamSource& upstreams() { return route_ ? *route_ : host_.upstreams(); }
  // False when it is over already.
  bool BeginRoute();
  bool SetOut();
  bool AnswerOf(const RouteAnswer& answer);
  // True: it will be sent again. `untouched`: nobody can have acted upon it.
  bool Retry(bool untouched);
  bool RetryStatus(const ResponseHead& head);
  void KeepBody(std::string_view data);

  void OnRequestData(std::string_view data);
  void OnRequestEnd(const Fields& trailers);
  void OnCallerGone(StreamFault fault);
  void OnResponseHead(ResponseHead head);
  void OnResponseData(std::string_view data);
  void OnResponseEnd(const Fields& trailers);
  void OnUpstreamFault(StreamFault fault);
  // A request for a tunnel has no body: what comes before it stands waits, and goes nowhere when it
  // does not come to be.
  bool awaits_tunnel() const { return wants_tunnel_ && !tunnel_; }
  void BeginTunnel();
  void GiveBackRequest();
  void GiveBackResponse();
  void Ask(bool fresh);
  bool MayTryAgain(StreamFault fault) const;
  // Answers in the upstream's stead; nothing was sent yet.
  // `more`: a further field, if it has a name. `grpc_status`: -1: by gRPC's table.
  void Answer(int status, std::string_view detail, const Fields::Field& more = {},
              int grpc_status = -1);
  void Over(RequestEnd end, std::string_view detail);

  ExchangeHost& host_;
  ServerStream* down_;          // null: its part is over
  ClientStream* up_ = nullptr;  // null: not there yet, or its part is over
  DownEvents down_events_{*this};
  UpEvents up_events_{*this};
  RequestHead request_;
  std::unique_ptr<const RequestHead> as_judged_;  // null: request_, which no route has edited
  std::unique_ptr<RequestRoute> route_;           // null: the listener has none
  std::size_t judged_fields_ = 0;
  std::string refusal_id_;
  std::string rule_;
  RequestTrace trace_;
  std::shared_ptr<const net::PeerIdentity> callee_;
  bool request_whole_;
  bool waiting_ = false;
  bool reused_ = false;
  bool tried_again_ = false;
  bool response_begun_ = false;
  const bool wants_tunnel_;  // CONNECT, also the extended one of HTTP/2
  bool tunnel_ = false;
  bool caller_ended_ = false;  // of a request for a tunnel: no more comes from the caller
  bool keeps_body_ = false;    // so that it may be sent again
  bool over_ = false;
  static constexpr std::size_t kMaxKeptBody = 64 * 1024;
  std::string early_body_;  // came before the upstream stood; all of it while keeps_body_
  Fields early_trailers_;
  std::size_t request_held_ = 0;   // bytes not yet given back to the caller's connection
  std::size_t response_held_ = 0;  // … to the upstream one
  RequestOutcome outcome_;
  const SteadyTime started_at_;
  SteadyTime active_at_;
};

// content-type says gRPC over HTTP/2.
bool IsGrpc(const Fields& fields);

}  // namespace signet::proxy
