// What a listener's routes make of one request: the rule that takes it, the answer it gives by
// itself (redirect, fault, no rule), what it changes, how long all of it may take, which endpoint
// it goes to, and whether it may be sent again. It is made for a request that was allowed already,
// and keeps the plan that it was made under, whatever is reloaded meanwhile.
//
// Threads: one worker's. Ownership: by its exchange.
#pragma once

#include <optional>

#include "proxy/http/http_shared.h"
#include "proxy/upstream/backends.h"

namespace signet::proxy {

// The exchange, as its route sees it.
class RouteOwner {
 public:
  enum class Limit { kRequest, kTry };
  virtual ~RouteOwner() = default;
  // The delay that was injected is over.
  virtual void OnRouteReady() = 0;
  // It is time to send the request again.
  virtual void OnRetryDue() = 0;
  virtual void OnRouteTimeout(Limit which) = 0;
};

struct RouteContext {
  HttpShared& shared;  // outlives the request, as does the loop
  net::EventLoop& loop;
  std::shared_ptr<Lane> lane;
  std::string identity;  // whose connections to endpoints are used
  std::size_t fields;    // so many of the request's are the caller's
};

struct RouteAnswer {
  int status = 0;
  int grpc_status = -1;  // -1: by the table of HTTP statuses
  RequestEnd end = RequestEnd::kNoRoute;
  std::string detail;
  std::string location;  // of a redirect; else empty
};

class RequestRoute final : public UpstreamSource {
 public:
  RequestRoute(RouteContext context, RouteOwner& owner);
  ~RequestRoute() override;

  // Finds the rule for what the caller sent. An answer: nothing is forwarded.
  std::optional<RouteAnswer> Begin(const RequestHead& request);
  // True: the owner is called when to go on.
  bool BeginDelay();
  std::optional<RouteAnswer> Abort();
  bool edits_request() const;
  void EditRequest(RequestHead* request) const;
  void EditResponse(ResponseHead* response) const;
  // Sends copies where the rule says so; the body follows by CopyData() and CopyEnd().
  void BeginMirrors(const RequestHead& request, const UpstreamNeed& need, bool whole);
  void CopyData(std::string_view data);
  void CopyEnd(const Fields& trailers);

  // Asks for a connection to an endpoint: one more try. Where it stands is told by the next three.
  void Want(const RequestHead& request, const UpstreamNeed& need, UpstreamWaiter& waiter) override;
  void Withdraw(UpstreamWaiter& waiter) override;
  void Connected();
  // The endpoint answered or failed to: not when a limit of ours was reached.
  void Answered(bool well);
  void EndTry();

  // Whether the rule wants retries at all, and for an answer of this status.
  bool retries() const { return rule_->retry.attempts > 0; }
  bool RetriesOn(int status) const;
  // Takes one out of what is left and of the backend's budget: the owner is called when it is due.
  bool TryRetry();

  // It became a tunnel, which has no time by which it must end.
  void EndLimits();
  // Of the rule that takes it, valid while this lives; empty: none does.
  std::string_view name() const {
    return rule_ == nullptr ? std::string_view() : std::string_view(rule_->name);
  }
  // The exchange is over: no timer fires after this.
  void Stop();

 private:
  struct Try {
    BackendPtr backend;
    EndpointPtr endpoint;
    UpstreamGroupPtr group;
    SteadyTime began;
    bool probe = false;     // decides whether the endpoint is well again
    bool waiting = true;    // for a connection
    bool answered = false;  // the endpoint was judged by it
  };

  void Arm(net::EventLoop::TimerId* timer, Duration delay, RouteOwner::Limit which);
  UpstreamGroupPtr GroupOf(const EndpointPtr& endpoint, HttpVersion version) const;
  std::optional<std::uint64_t> KeyOf(const mesh::Backend& backend,
                                     const RequestHead& request) const;
  SteadyTime now() const { return context_.loop.now(); }

  const RouteContext context_;
  RouteOwner& owner_;
  const std::shared_ptr<const ListenerPlan> plan_;  // holds the rule
  const mesh::RouteRule* rule_ = nullptr;
  const mesh::RouteMatch* match_ = nullptr;
  const mesh::BackendRef* backend_ = nullptr;
  std::optional<Try> try_;
  EndpointPtr failed_;  // where the last try went
  int retried_ = 0;
  std::vector<Mirror*> mirrors_;
  net::EventLoop::TimerId delay_timer_ = 0;  // of an injected delay, or a retry's backoff
  net::EventLoop::TimerId request_timer_ = 0;
  net::EventLoop::TimerId try_timer_ = 0;
};

}  // namespace signet::proxy
