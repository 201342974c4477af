#include "proxy/http/exchange.h"

#include <fmt/format.h>

#include <charconv>
#include <utility>

#include "proxy/http/hops.h"
#include "proxy/http/syntax.h"

namespace signet::proxy {
namespace {

int StatusOfEnd(RequestEnd end) {
  switch (end) {
    case RequestEnd::kNotAllowed:
      return 403;
    case RequestEnd::kMalformed:
    case RequestEnd::kAmbiguous:
      return 400;
    case RequestEnd::kUpstreamTimeout:
      return 504;
    case RequestEnd::kUpstreamBroken:
      return 502;
    case RequestEnd::kRequestTimeout:
      return 408;
    case RequestEnd::kNoRoute:
      return 404;
    case RequestEnd::kRateLimited:
      return 429;
    case RequestEnd::kForwardLoop:
      return 508;
    default:
      return 503;
  }
}

// gRPC's own table for answers that are not gRPC's (grpc/doc/http-grpc-status-mapping.md).
int GrpcStatusOf(int status) {
  switch (status) {
    case 400:
      return 13;
    case 403:
      return 7;
    case 404:
    case 405:
      return 12;
    case 429:
      return 8;  // the table says 14; a limit is what 8 names
    case 508:
      return 13;  // the table says 14, which asks callers to try again
    default:
      return 14;
  }
}

// RFC 9110, 9.2.2.
bool IsIdempotent(std::string_view method) {
  return method == "GET" || method == "HEAD" || method == "OPTIONS" || method == "TRACE" ||
         method == "PUT" || method == "DELETE";
}

int ReadGrpcStatus(const Fields& fields) {
  const std::string_view text = fields.First("grpc-status");
  int status = -1;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), status);
  return read.ec == std::errc() ? status : -1;
}

}  // namespace

std::string_view RequestEndName(RequestEnd end) {
  static constexpr std::string_view kNames[kRequestEndCount] = {"answered",
                                                                "tunnelled",
                                                                "malformed",
                                                                "not_allowed",
                                                                "ambiguous",
                                                                "cut",
                                                                "upstream_unreachable",
                                                                "upstream_overload",
                                                                "upstream_timeout",
                                                                "upstream_broken",
                                                                "client_gone",
                                                                "request_timeout",
                                                                "no_route",
                                                                "redirected",
                                                                "fault_injected",
                                                                "rate_limited",
                                                                "forward_loop"};
  return kNames[static_cast<std::size_t>(end)];
}

bool IsGrpc(const Fields& fields) {
  constexpr std::string_view kType = "application/grpc";
  const std::string_view type = fields.First("content-type");
  if (!EqualsIgnoreCase(type.substr(0, kType.size()), kType)) return false;
  return type.size() == kType.size() || type[kType.size()] == '+' || type[kType.size()] == ';';
}

Exchange::Exchange(ExchangeHost& host, ServerStream& down, RequestHead request, bool request_whole)
    : host_(host),
      down_(&down),
      request_(std::move(request)),
      request_whole_(request_whole),
      wants_tunnel_(request_.method == "CONNECT" ||
                    (request_.version == HttpVersion::kHttp2 && !request_.upgrade.empty())),
      caller_ended_(request_whole && request_.version == HttpVersion::kHttp2),
      started_at_(host.now()),
      active_at_(started_at_) {}

bool Exchange::Start() {
  // First what would lie to the application is gone, then what is left is judged, as it is
  // forwarded.
  StripIdentityFields(&request_.fields);
  trace_ = host_.traces().Begin(&request_.fields);
  judged_fields_ = request_.fields.size();
  if (request_.method == "CONNECT" && !host_.takes_connect()) {
    Answer(StatusOfFault(HttpFault::kMethod), "CONNECT is not allowed here");
    Over(RequestEnd::kMalformed, "CONNECT");
    return false;
  }
  RequestVerdict verdict = host_.Judge(request_, judged_fields_);
  if (!verdict.allowed) {
    refusal_id_ = std::move(verdict.id);
    Answer(StatusOfEnd(verdict.end), "refused by policy");
    Over(verdict.end, verdict.reason);
    return false;
  }
  rule_ = std::move(verdict.rule);
  if (const HopFault fault = CheckHops(request_.fields, host_.hop()); fault != HopFault::kNone) {
    Answer(StatusOfEnd(RequestEnd::kForwardLoop), "the request goes in a ring");
    Over(RequestEnd::kForwardLoop, Describe(fault));
    return false;
  }
  if (const auto wait = host_.OverRate()) {
    const auto seconds = std::chrono::ceil<std::chrono::seconds>(*wait).count();
    Answer(429, "too many requests", {"retry-after", fmt::format("{}", seconds)});
    Over(RequestEnd::kRateLimited, "rate_limits");
    return false;
  }
  if (const CallerFields* caller = host_.caller_fields(); caller != nullptr)
    caller->AddTo(&request_.fields);
  trace_.AddTo(&request_.fields);
  AddHop(host_.hop(), &request_.fields);
  route_ = host_.RouteOf(judged_fields_, *this);
  if (route_) return BeginRoute();
  Ask(false);
  return !over_;
}

bool Exchange::BeginRoute() {
  if (const auto answer = route_->Begin(request_)) return AnswerOf(*answer);
  return route_->BeginDelay() || SetOut();
}

bool Exchange::SetOut() {
  if (const auto answer = route_->Abort()) return AnswerOf(*answer);
  if (route_->edits_request()) {
    as_judged_ = std::make_unique<const RequestHead>(request_);
    route_->EditRequest(&request_);
  }
  route_->BeginMirrors(request_, host_.NeedOf(request_), request_whole_ && early_body_.empty());
  if (!early_body_.empty()) route_->CopyData(early_body_);
  if (request_whole_) route_->CopyEnd(early_trailers_);
  keeps_body_ = route_->retries();
  Ask(false);
  return !over_;
}

bool Exchange::AnswerOf(const RouteAnswer& answer) {
  const bool redirects = !answer.location.empty();
  Answer(answer.status, answer.detail,
         redirects ? Fields::Field{"location", answer.location} : Fields::Field{},
         answer.grpc_status);
  Over(answer.end, answer.detail);
  return false;
}

bool Exchange::Retry(bool untouched) {
  if (!keeps_body_ || response_begun_ || down_ == nullptr) return false;
  if (!untouched && !IsIdempotent(request_.method)) return false;
  if (early_body_.size() > kMaxKeptBody) return false;
  if (std::exchange(waiting_, false)) upstreams().Withdraw(*this);
  if (!route_->TryRetry()) return false;
  if (up_ != nullptr) std::exchange(up_, nullptr)->Reset(StreamFault::kCancelled);
  return true;
}

bool Exchange::RetryStatus(const ResponseHead& head) {
  return keeps_body_ && route_->RetriesOn(head.status) && Retry(false);
}

void Exchange::KeepBody(std::string_view data) {
  if (!keeps_body_) return;
  keeps_body_ = early_body_.size() + data.size() <= kMaxKeptBody;
  if (keeps_body_)
    early_body_.append(data);
  else
    std::string().swap(early_body_);
}

void Exchange::OnRouteTimeout(Limit which) {
  if (!response_begun_) {
    route_->Answered(false);
    if (which == Limit::kTry && Retry(up_ == nullptr)) return;
  }
  Cut(RequestEnd::kUpstreamTimeout,
      which == Limit::kRequest ? "timeouts.request" : "timeouts.backendRequest");
}

void Exchange::Ask(bool fresh) {
  UpstreamNeed need = host_.NeedOf(request_);
  need.fresh = fresh;
  waiting_ = true;
  upstreams().Want(request_, need, *this);
}

void Exchange::DecideAgain() {
  if (over_) return;
  RequestVerdict verdict = host_.Judge(request(), judged_fields_);
  if (verdict.allowed) return;
  refusal_id_ = std::move(verdict.id);
  Cut(response_begun_ ? RequestEnd::kCut : verdict.end, verdict.reason);
}

void Exchange::Cut(RequestEnd end, std::string_view detail) {
  if (over_) return;
  if (waiting_) upstreams().Withdraw(*this);
  waiting_ = false;
  if (up_ != nullptr) std::exchange(up_, nullptr)->Reset(StreamFault::kCancelled);
  if (down_ != nullptr) {
    if (response_begun_)
      std::exchange(down_, nullptr)->Reset(StreamFault::kCancelled);
    else
      Answer(StatusOfEnd(end), RequestEndName(end));
  }
  Over(end, detail);
}

// ---- upstream

void Exchange::OnUpstream(ClientCodec& codec, bool reused) {
  waiting_ = false;
  reused_ = reused;
  callee_ = codec.peer();
  outcome_.upstream_wait = host_.now() - started_at_;
  if (route_) route_->Connected();
  const bool end =
      !wants_tunnel_ && request_whole_ && early_body_.empty() && early_trailers_.empty();
  up_ = &codec.Open(request_, end, up_events_);
  if (end || wants_tunnel_) return;
  if (early_body_.size() > kMaxKeptBody) keeps_body_ = false;
  if (!early_body_.empty()) up_->SendData(early_body_);
  if (!keeps_body_) std::string().swap(early_body_);
  if (request_whole_)
    up_->SendEnd(early_trailers_);
  else if (up_->buffered() <= kStreamHighWater)
    GiveBackRequest();
}

void Exchange::OnNoUpstream(const UpstreamFailure& failure) {
  waiting_ = false;
  if (route_ && failure.end != RequestEnd::kUpstreamOverload) route_->Answered(false);
  if (Retry(true)) return;
  Answer(StatusOfEnd(failure.end), "the upstream does not answer");
  Over(failure.end, failure.why);
}

bool Exchange::MayTryAgain(StreamFault fault) const {
  // What has a body may have been used up on the way; what is not idempotent may have been done,
  // unless the peer says that it was not.
  if (tried_again_ || response_begun_ || request_.body.kind != BodyKind::kNone) return false;
  if (fault == StreamFault::kRefused) return true;
  return fault == StreamFault::kConnection && reused_ && IsIdempotent(request_.method);
}

void Exchange::OnUpstreamFault(StreamFault fault) {
  up_ = nullptr;
  if (MayTryAgain(fault)) {
    tried_again_ = true;
    return Ask(true);
  }
  if (route_ && fault != StreamFault::kRefused) route_->Answered(false);
  if (Retry(fault == StreamFault::kRefused)) return;
  const RequestEnd end =
      fault == StreamFault::kTimeout ? RequestEnd::kUpstreamTimeout : RequestEnd::kUpstreamBroken;
  if (down_ != nullptr) {
    if (response_begun_)
      std::exchange(down_, nullptr)->Reset(fault);
    else
      Answer(StatusOfEnd(end), "the upstream broke off");
  }
  Over(end, fault == StreamFault::kProtocol ? "its answer is malformed" : "it broke off");
}

// ---- request

void Exchange::OnRequestData(std::string_view data) {
  active_at_ = host_.now();
  outcome_.request_bytes += data.size();
  request_held_ += data.size();
  if (route_) route_->CopyData(data);
  if (up_ == nullptr || awaits_tunnel()) {
    early_body_.append(data);
    return;
  }
  KeepBody(data);
  up_->SendData(data);
  if (up_ != nullptr && up_->buffered() <= kStreamHighWater) GiveBackRequest();
}

void Exchange::OnRequestEnd(const Fields& trailers) {
  active_at_ = host_.now();
  request_whole_ = true;
  caller_ended_ = true;
  if (awaits_tunnel()) return;
  Fields passed = trailers;
  StripIdentityFields(&passed);
  if (route_) route_->CopyEnd(passed);
  if (up_ != nullptr) up_->SendEnd(passed);
  if (up_ == nullptr || keeps_body_) early_trailers_ = std::move(passed);
}

void Exchange::OnCallerGone(StreamFault fault) {
  down_ = nullptr;
  if (waiting_) upstreams().Withdraw(*this);
  waiting_ = false;
  if (up_ != nullptr) std::exchange(up_, nullptr)->Reset(StreamFault::kCancelled);
  Over(fault == StreamFault::kProtocol ? RequestEnd::kMalformed : RequestEnd::kClientGone, {});
}

void Exchange::GiveBackRequest() {
  if (down_ != nullptr && request_held_ > 0) down_->Consumed(std::exchange(request_held_, 0));
}

// ---- response

void Exchange::OnResponseHead(ResponseHead head) {
  active_at_ = host_.now();
  if (down_ == nullptr) return;
  StripIdentityFields(&head.fields);
  if (head.informational()) return down_->SendHead(head, false);
  const bool connects = request_.method == "CONNECT";
  // To HTTP/2 its 200 would say that the tunnel stands.
  if (wants_tunnel_ && !connects && head.status / 100 == 2)
    return Cut(RequestEnd::kUpstreamBroken, "it answered an upgrade and did not switch");
  if (route_) {
    constexpr int kUnavailable = 14;
    route_->Answered(head.status < 500 && ReadGrpcStatus(head.fields) != kUnavailable);
    if (RetryStatus(head)) return;
    keeps_body_ = false;
    if (!wants_tunnel_) std::string().swap(early_body_);
  }
  response_begun_ = true;
  outcome_.first_byte = active_at_ - started_at_;
  outcome_.status = head.status;
  outcome_.grpc_status = ReadGrpcStatus(head.fields);
  tunnel_ = head.status == 101 || (connects && head.status / 100 == 2);
  if (route_) {
    route_->EditResponse(&head);
    if (tunnel_) route_->EndLimits();
  }
  const bool end =
      !tunnel_ && (head.body.kind == BodyKind::kNone ||
                   (head.body.kind == BodyKind::kLength && head.body.content_length == 0));
  ServerStream* down = end ? std::exchange(down_, nullptr) : down_;
  down->SendHead(head, end);
  if (tunnel_ && wants_tunnel_) BeginTunnel();
}

void Exchange::BeginTunnel() {
  if (up_ == nullptr) return;
  if (!early_body_.empty()) up_->SendData(std::exchange(early_body_, {}));
  if (caller_ended_)
    up_->SendEnd({});
  else if (up_->buffered() <= kStreamHighWater)
    GiveBackRequest();
}

void Exchange::OnResponseData(std::string_view data) {
  active_at_ = host_.now();
  outcome_.response_bytes += data.size();
  if (down_ == nullptr) return;
  down_->SendData(data);
  response_held_ += data.size();
  if (down_ != nullptr && down_->buffered() <= kStreamHighWater) GiveBackResponse();
}

void Exchange::OnResponseEnd(const Fields& trailers) {
  up_ = nullptr;
  if (const int status = ReadGrpcStatus(trailers); status >= 0) outcome_.grpc_status = status;
  if (down_ != nullptr) {
    Fields passed = trailers;
    StripIdentityFields(&passed);
    std::exchange(down_, nullptr)->SendEnd(passed);
  }
  Over(tunnel_ ? RequestEnd::kTunnelled : RequestEnd::kAnswered, {});
}

void Exchange::GiveBackResponse() {
  active_at_ = host_.now();
  if (up_ != nullptr && response_held_ > 0) up_->Consumed(std::exchange(response_held_, 0));
}

// ---- ends

void Exchange::Answer(int status, std::string_view detail, const Fields::Field& more,
                      int grpc_status) {
  if (down_ == nullptr) return;
  ServerStream* down = std::exchange(down_, nullptr);
  response_begun_ = true;
  outcome_.status = status;
  ResponseHead head;
  head.status = status;
  if (!refusal_id_.empty()) head.fields.Add("signet-request-id", refusal_id_);
  if (!more.name.empty()) head.fields.Add(more.name, more.value);
  if (IsGrpc(request_.fields)) {
    // gRPC reads its own status only: trailers alone, with HTTP's 200.
    head.status = outcome_.status = 200;
    outcome_.grpc_status = grpc_status >= 0 ? grpc_status : GrpcStatusOf(status);
    head.fields.Add("content-type", "application/grpc");
    head.fields.Add("grpc-status", fmt::format("{}", outcome_.grpc_status));
    head.fields.Add("grpc-message", refusal_id_.empty()
                                        ? std::string(detail)
                                        : fmt::format("{} (id {})", detail, refusal_id_));
    return down->SendHead(head, true);
  }
  const std::string body =
      refusal_id_.empty()
          ? fmt::format("{} {}: {}\n", status, ReasonPhrase(status), detail)
          : fmt::format("{} {}: {} (id {})\n", status, ReasonPhrase(status), detail, refusal_id_);
  head.fields.Add("content-type", "text/plain");
  head.fields.Add("content-length", fmt::format("{}", body.size()));
  head.body = {BodyKind::kLength, body.size()};
  down->SendHead(head, false);
  down->SendData(body);
  down->SendEnd({});
}

void Exchange::Over(RequestEnd end, std::string_view detail) {
  if (std::exchange(over_, true)) return;
  if (route_) route_->Stop();
  outcome_.end = end;
  outcome_.id = refusal_id_;
  outcome_.rule = rule_;
  if (route_) outcome_.route = route_->name();
  if (callee_) outcome_.callee = callee_->name;
  outcome_.detail = detail;
  outcome_.duration = host_.now() - started_at_;
  host_.OnExchangeOver(*this, outcome_);
}

}  // namespace signet::proxy
