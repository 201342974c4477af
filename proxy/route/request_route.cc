#include "proxy/route/request_route.h"

#include <fmt/format.h>

#include <algorithm>
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

std::optional<RouteAnswer> RequestRoute::Abort() {
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
    const BackendPtr backend =
        context_.lane->backends ? context_.lane->backends->Find(mirror.backend) : nullptr;
    const EndpointPtr endpoint =
        backend ? backend->Pick({now(), KeyOf(backend->config(), request)}, context_.shared.dice)
                : nullptr;
    Mirror* copy = endpoint ? context_.shared.mirrors.Add(request, whole) : nullptr;
    if (copy == nullptr) continue;
    if (!whole) mirrors_.push_back(copy);
    copy->Start(GroupOf(endpoint, need.version), context_.shared.upstreams);
  }
}

void RequestRoute::CopyData(std::string_view data) {
  for (Mirror* mirror : mirrors_) mirror->SendData(data);
}

void RequestRoute::CopyEnd(const Fields& trailers) {
  for (Mirror* mirror : std::exchange(mirrors_, {})) mirror->SendEnd(trailers);
}

// ---- where it goes

UpstreamGroupPtr RequestRoute::GroupOf(const EndpointPtr& endpoint, HttpVersion version) const {
  return context_.shared.upstreams.GroupOf(endpoint->lane, context_.identity, version);
}

std::optional<std::uint64_t> RequestRoute::KeyOf(const mesh::Backend& backend,
                                                 const RequestHead& request) const {
  if (backend.lb_policy != mesh::LbPolicy::kRingHash) return std::nullopt;
  if (backend.hash.header.empty()) return HashKey(context_.identity);
  const std::string_view value = request.fields.First(backend.hash.header);
  return value.empty() ? std::nullopt : std::optional(HashKey(value));
}

void RequestRoute::Want(const RequestHead& request, const UpstreamNeed& need,
                        UpstreamWaiter& waiter) {
  EndTry();
  const auto fail = [&](RequestEnd end, std::string_view why) {
    waiter.OnNoUpstream({end, fmt::format("backend '{}': {}", backend_->backend, why)});
  };
  BackendPtr backend =
      context_.lane->backends ? context_.lane->backends->Find(backend_->backend) : nullptr;
  if (!backend) return fail(RequestEnd::kUpstreamUnreachable, "it is no longer there");
  if (!backend->Enter())
    return fail(RequestEnd::kUpstreamOverload, "circuit_breakers.max_requests");
  if (!backend->Wait()) {
    backend->Leave();
    return fail(RequestEnd::kUpstreamOverload, "circuit_breakers.max_pending_requests");
  }
  if (retried_ == 0) backend->retries().OnRequest(now());
  const PickFacts facts{now(), KeyOf(backend->config(), request), failed_.get()};
  EndpointPtr endpoint = backend->Pick(facts, context_.shared.dice);
  if (!endpoint) {
    backend->Served();
    backend->Leave();
    return fail(RequestEnd::kUpstreamUnreachable, "it has no endpoint");
  }
  if (rule_->timeouts.backend_request > Duration(0))
    Arm(&try_timer_, rule_->timeouts.backend_request, RouteOwner::Limit::kTry);
  const bool probe = endpoint->health.Begin(now());
  UpstreamGroupPtr group = GroupOf(endpoint, need.version);
  try_ = Try{std::move(backend), std::move(endpoint), group, now(), probe};
  context_.shared.upstreams.Want(group, need.fresh, waiter);
}

void RequestRoute::Withdraw(UpstreamWaiter& waiter) {
  if (try_) UpstreamPool::Withdraw(*try_->group, waiter);
}

void RequestRoute::Connected() {
  if (try_ && std::exchange(try_->waiting, false)) try_->backend->Served();
}

void RequestRoute::Answered(bool well) {
  if (!try_ || std::exchange(try_->answered, true)) return;
  const Duration took = now() - try_->began;
  if (!try_->endpoint->health.Answered(try_->probe, well, took, try_->backend->config().outlier,
                                       now()))
    return;
  context_.lane->cell->ejections.Add();
}

void RequestRoute::EndTry() {
  if (!try_) return;
  context_.loop.Cancel(std::exchange(try_timer_, 0));
  Connected();
  try_->endpoint->health.End(try_->probe);
  try_->backend->Leave();
  failed_ = std::move(try_->endpoint);
  try_.reset();
}

bool RequestRoute::RetriesOn(int status) const {
  return std::ranges::find(rule_->retry.codes, status) != rule_->retry.codes.end();
}

bool RequestRoute::TryRetry() {
  if (retried_ >= rule_->retry.attempts) return false;
  const BackendPtr backend =
      context_.lane->backends ? context_.lane->backends->Find(backend_->backend) : nullptr;
  if (!backend || !backend->retries().TryRetry(backend->config().retry, now())) return false;
  EndTry();
  context_.lane->cell->retries.Add();
  delay_timer_ = context_.loop.RunAfter(rule_->retry.backoff * (1 << retried_++), [this] {
    const Turns::Scope turn(context_.shared.turns);
    delay_timer_ = 0;
    owner_.OnRetryDue();
  });
  return true;
}

// ---- ends

void RequestRoute::EndLimits() {
  for (net::EventLoop::TimerId* timer : {&request_timer_, &try_timer_})
    context_.loop.Cancel(std::exchange(*timer, 0));
}

void RequestRoute::Stop() {
  EndLimits();
  EndTry();
  context_.loop.Cancel(std::exchange(delay_timer_, 0));
  for (Mirror* mirror : std::exchange(mirrors_, {})) mirror->Abandon();
}

}  // namespace signet::proxy
