// What a listener's routes make of one request: the rule that takes it, the answer it gives by
// itself (redirect, fault, no rule), what it changes, how long all of it may take, and where it
// goes. It is made for a request that was allowed already, and keeps the plan that it was made
// under, whatever is reloaded meanwhile.
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
  virtual void OnRouteTimeout(Limit which) = 0;
};

// All outlive the request.
struct RouteContext {
  HttpShared& shared;
  net::EventLoop& loop;
  UpstreamSource& forward;  // the listener's own target
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
  std::optional<RouteAnswer> Abort(const RequestHead& request);
  bool edits_request() const;
  void EditRequest(RequestHead* request) const;
  void EditResponse(ResponseHead* response) const;
  // Sends copies where the rule says so; the body follows by CopyData() and CopyEnd().
  void BeginMirrors(const RequestHead& request, const UpstreamNeed& need, bool whole);
  void CopyData(std::string_view data);
  void CopyEnd(const Fields& trailers);
  // It became a tunnel, which has no time by which it must end.
  void EndLimits();
  // The exchange is over: no timer fires after this.
  void Stop();

  void Want(const RequestHead& request, const UpstreamNeed& need, UpstreamWaiter& waiter) override;
  void Withdraw(UpstreamWaiter& waiter) override;

 private:
  void Arm(net::EventLoop::TimerId* timer, Duration delay, RouteOwner::Limit which);
  UpstreamGroupPtr GroupOf(const std::string& backend, HttpVersion version);

  const RouteContext context_;
  RouteOwner& owner_;
  const std::shared_ptr<const ListenerPlan> plan_;  // holds the rule
  const mesh::RouteRule* rule_ = nullptr;
  const mesh::RouteMatch* match_ = nullptr;
  const mesh::BackendRef* backend_ = nullptr;
  UpstreamGroupPtr group_;  // that was last asked; null: `forward`
  std::vector<Mirror*> mirrors_;
  net::EventLoop::TimerId delay_timer_ = 0;
  net::EventLoop::TimerId request_timer_ = 0;
  net::EventLoop::TimerId try_timer_ = 0;
};

}  // namespace signet::proxy
