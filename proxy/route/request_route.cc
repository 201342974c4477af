#include "proxy/route/request_route.h"

#include <fmt/format.h>

#include <utility>

#include "mesh/routes/route_action.h"
#include "proxy/route/field_edits.h"

namespace signet::proxy {
namespace {

bool IsSafe(std::string_view method) {  // RFC 9110, 9.2.1
  return method == "GET" || method == "HEAD" || method == "OPTIONS" || method == "TRACE";
}

}  // namespace

RequestRoute::RequestRoute(RouteContext context, RouteOwner& owner)
    : context_(std::move(context)), owner_(owner), plan_(context_.lane->plan) {}

RequestRoute::~RequestRoute() { Stop(); }

std::optional<RouteAnswer> RequestRoute::Begin(const RequestHead& request) {
  const mesh::RouteTable& table = *plan_->config.traffic.routes;
  mesh::RequestFacts facts;
  facts.method = request.method;
  facts.path = request.path;
  facts.host = request.authority;
  std::vector<mesh::NameValue>& headers = context_.shared.headers;
  headers.clear();
  if (table.asks_headers())
    for (std::size_t i = 0; i < context_.fields; ++i)
      headers.push_back({request.fields[i].name, request.fields[i].value});
  facts.headers = headers;
  const mesh::RouteChoice choice = table.Choose(facts);
  switch (choice.verdict) {
    case mesh::RouteVerdict::kNone:
      return RouteAnswer{404, -1, RequestEnd::kNoRoute, "no route takes the request", {}};
    case mesh::RouteVerdict::kMalformed:
      return RouteAnswer{
          400, -1, RequestEnd::kAmbiguous, std::string(mesh::Describe(choice.fault)), {}};
    case mesh::RouteVerdict::kFound:
      break;
  }
  rule_ = choice.rule;
  match_ = choice.match;
  if (rule_->redirect) {
    const bool inbound = plan_->config.direction == Direction::kInbound;
    return RouteAnswer{rule_->redirect->status, -1, RequestEnd::kRedirected,
                       fmt::format("by {} ({})", rule_->name, rule_->Place()),
                       mesh::RedirectLocation(*rule_->redirect, *match_, inbound ? "https" : "http",
                                              request.authority, request.path)};
  }
  backend_ = mesh::PickBackend(*rule_, context_.shared.dice.Throw());
  if (backend_ == nullptr)
    return RouteAnswer{
        500,
        -1,
        RequestEnd::kNoRoute,
        fmt::format("all backends of {} ({}) have weight 0", rule_->name, rule_->Place()),
        {}};
  if (rule_->timeouts.request > Duration(0))
    Arm(&request_timer_, rule_->timeouts.request, RouteOwner::Limit::kRequest);
  return std::nullopt;
}

void RequestRoute::Arm(net::EventLoop::TimerId* timer, Duration delay, RouteOwner::Limit which) {
  context_.loop.Cancel(*timer);
  *timer = context_.loop.RunAfter(delay, [this, timer, which] {
    const Turns::Scope turn(context_.shared.turns);
    *timer = 0;
    owner_.OnRouteTimeout(which);
  });
}

// ---- faults that are asked for

bool RequestRoute::BeginDelay() {
  const mesh::RouteFault& fault = rule_->fault;
  if (fault.delay <= Duration(0) || !mesh::Falls(fault.delay_share, context_.shared.dice.Throw()))
    return false;
  delay_timer_ = context_.loop.RunAfter(fault.delay, [this] {
    const Turns::Scope turn(context_.shared.turns);
    delay_timer_ = 0;
    owner_.OnRouteReady();
  });
  return true;
}

std::optional<RouteAnswer> RequestRoute::Abort(const RequestHead&) {
  const mesh::RouteFault& fault = rule_->fault;
  if (fault.abort_share == 0 || !mesh::Falls(fault.abort_share, context_.shared.dice.Throw()))
    return std::nullopt;
  return RouteAnswer{
      fault.abort_status, fault.abort_grpc, RequestEnd::kFaultInjected, "a fault was injected", {}};
}

// ---- edits

bool RequestRoute::edits_request() const {
  return rule_->rewrite.has_value() || !rule_->request_headers.empty();
}

void RequestRoute::EditRequest(RequestHead* request) const {
  ApplyHeaderEdits(rule_->request_headers, &request->fields);
  if (rule_->rewrite) ApplyRewrite(*rule_->rewrite, *match_, request);
}

void RequestRoute::EditResponse(ResponseHead* response) const {
  if (rule_ != nullptr) ApplyHeaderEdits(rule_->response_headers, &response->fields);
}

// ---- copies

void RequestRoute::BeginMirrors(const RequestHead& request, const UpstreamNeed& need, bool whole) {
  for (const mesh::Mirror& mirror : rule_->mirrors) {
    if (!mirror.all_methods && !IsSafe(request.method)) continue;
    if (need.only_http1) continue;  // an upgrade: a tunnel is no copy of anything
    if (!mesh::Falls(mirror.share, context_.shared.dice.Throw())) continue;
    const UpstreamGroupPtr group = GroupOf(mirror.backend, need.version);
    Mirror* copy = group ? context_.shared.mirrors.Add(request, whole) : nullptr;
    if (copy == nullptr) continue;
    if (!whole) mirrors_.push_back(copy);
    copy->Start(group, context_.shared.upstreams);
  }
}

void RequestRoute::CopyData(std::string_view data) {
  for (Mirror* mirror : mirrors_) mirror->SendData(data);
}

void RequestRoute::CopyEnd(const Fields& trailers) {
  for (Mirror* mirror : std::exchange(mirrors_, {})) mirror->SendEnd(trailers);
}

// ---- where it goes

UpstreamGroupPtr RequestRoute::GroupOf(const std::string& backend, HttpVersion version) {
  BackendState* state = context_.lane->backends ? context_.lane->backends->Find(backend) : nullptr;
  const EndpointPtr endpoint = state != nullptr ? state->Pick() : nullptr;
  if (!endpoint) return nullptr;
  return context_.shared.upstreams.GroupOf(endpoint->lane, context_.identity, version);
}

void RequestRoute::Want(const RequestHead& request, const UpstreamNeed& need,
                        UpstreamWaiter& waiter) {
  if (rule_->timeouts.backend_request > Duration(0))
    Arm(&try_timer_, rule_->timeouts.backend_request, RouteOwner::Limit::kTry);
  group_ = nullptr;
  if (backend_->backend.empty()) return context_.forward.Want(request, need, waiter);
  group_ = GroupOf(backend_->backend, need.version);
  if (!group_)
    return waiter.OnNoUpstream({RequestEnd::kUpstreamUnreachable,
                                fmt::format("backend '{}' is no longer there", backend_->backend)});
  context_.shared.upstreams.Want(group_, need.fresh, waiter);
}

void RequestRoute::Withdraw(UpstreamWaiter& waiter) {
  if (group_)
    UpstreamPool::Withdraw(*group_, waiter);
  else
    context_.forward.Withdraw(waiter);
}

// ---- ends

void RequestRoute::EndLimits() {
  for (net::EventLoop::TimerId* timer : {&request_timer_, &try_timer_})
    context_.loop.Cancel(std::exchange(*timer, 0));
}

void RequestRoute::Stop() {
  EndLimits();
  context_.loop.Cancel(std::exchange(delay_timer_, 0));
  for (Mirror* mirror : std::exchange(mirrors_, {})) mirror->Abandon();
}

}  // namespace signet::proxy
