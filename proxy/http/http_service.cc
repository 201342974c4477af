#include "proxy/http/http_service.h"

#include <algorithm>

#include "base/check.h"
#include "proxy/http/http1_server.h"
#include "proxy/http/http2_server.h"

namespace signet::proxy {
namespace {

// RFC 9113, 3.4.
constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr Duration kLinger = std::chrono::seconds(2);
// What is idle or in progress is looked at this often, so that nothing has to touch a timer for
// each request.
constexpr Duration kLook = std::chrono::seconds(5);

// RFC 6455, 4.1: 16 bytes in Base64.
std::string MakeWebSocketKey(Dice& dice) {
  Bytes nonce;
  for (int i = 0; i < 2; ++i)
    for (std::uint64_t bits = dice.Throw(), left = 8; left > 0; --left, bits >>= 8)
      nonce.push_back(static_cast<std::uint8_t>(bits));
  return EncodeBase64(nonce);
}

}  // namespace

HttpService::HttpService(ConnectionHost& host, ServiceOwner& owner, ByteStream& stream,
                         HttpCaller caller)
    : host_(host),
      owner_(owner),
      caller_(std::move(caller)),
      own_name_(caller_.own       ? caller_.own->id.ToString()
                : host.identity() ? host.identity()->id.ToString()
                                  : std::string()),
      remote_text_(host.parts().telemetry.wants_records() ? caller_.remote.ToString()
                                                          : std::string()),
      link_(host.http().turns, stream, *this, Link::Role::kServer),
      waiting_since_(host.parts().loop.now()) {
  if (caller_.peer && caller_.own) caller_fields_ = CallerFields::Of(*caller_.peer, own_name_);
}

HttpService::~HttpService() {
  host_.parts().loop.Cancel(timer_);
  CHECK_TRUE(exchanges_.empty());
}

void HttpService::Start() {
  const Turns::Scope turn(shared().turns);
  if (caller_.alpn == "h2")
    Speak(true);
  else if (caller_.alpn == "http/1.1")
    Speak(false);
  else
    link_.Use(*this);
  Arm(Allowed(waiting_));
  link_.Wake();
}

std::size_t HttpService::OnInput(std::string_view bytes) {
  const bool begins = kPreface.starts_with(bytes.substr(0, kPreface.size()));
  if (begins && bytes.size() < kPreface.size()) return 0;
  Speak(begins);
  link_.Wake();
  return 0;
}

void HttpService::Speak(bool http2) {
  auto& handler = static_cast<RequestHandler&>(*this);
  if (http2)
    codec_ = std::make_unique<Http2Server>(link_.out(), handler, host_.limits().http);
  else
    codec_ = std::make_unique<Http1Server>(link_.out(), handler, host_.limits().http.message);
  link_.Use(*codec_);
  if (retired_) codec_->Retire();
}

// ---- requests

StreamEvents* HttpService::OnRequest(ServerStream& stream, RequestHead head, bool end) {
  // RFC 8441, 5.1: HTTP/2 has none, and HTTP/1.1 cannot do without (RFC 6455, 4.1). It proves
  // nothing.
  if (head.version == HttpVersion::kHttp2 && !head.upgrade.empty() &&
      !head.fields.Has("sec-websocket-key"))
    head.fields.Add("sec-websocket-key", MakeWebSocketKey(shared().dice));
  exchanges_.push_front(
      std::make_unique<Exchange>(static_cast<ExchangeHost&>(*this), stream, std::move(head), end));
  Exchange& exchange = *exchanges_.front();
  caller_.lane->cell->requests.Add();
  return exchange.Start() ? &exchange.downstream() : nullptr;
}

void HttpService::OnMalformed(HttpFault fault) {
  caller_.lane->cell->requests_malformed.Add();
  if (!host_.refusal_lines().Admit()) return;
  host_.parts().log.Warn("request refused", {{"direction", DirectionName(config().direction)},
                                             {"listener", config().name},
                                             {"reason", "malformed"},
                                             {"fault", FaultName(fault)},
                                             {"caller", caller_.peer ? caller_.peer->name : "-"},
                                             {"remote", caller_.remote.ToString()}});
}

RequestVerdict HttpService::Judge(const RequestHead& request, std::size_t fields) {
  if (config().protocol == Protocol::kGrpc && !IsGrpc(request.fields))
    return {false, RequestEnd::kNotAllowed, {}, "this listener takes gRPC requests only", {}};
  if (config().direction == Direction::kOutbound) return {true, {}, {}, {}, {}};
  std::vector<mesh::NameValue>& headers = shared().headers;
  headers.clear();
  for (std::size_t i = 0; i < fields; ++i)
    headers.push_back({request.fields[i].name, request.fields[i].value});
  mesh::RequestFacts facts;
  facts.caller = caller_.peer ? &caller_.peer->id : nullptr;
  facts.source = mesh::IpAddress::FromSockaddr(
      reinterpret_cast<const sockaddr*>(&caller_.remote.storage), caller_.remote.length);
  facts.port = config().listen.port;
  facts.method = request.method;
  facts.path = request.path;
  facts.host = request.authority;
  facts.grpc = IsGrpc(request.fields);
  facts.headers = headers;
  const mesh::Decision decision = config().policy.Decide(facts);
  if (decision.allowed()) {
    RequestVerdict verdict{true, {}, {}, {}, {}};
    if (host_.parts().telemetry.wants_records()) verdict.rule = decision.rule->name;
    return verdict;
  }
  return {false,
          decision.verdict == mesh::Verdict::kMalformed ? RequestEnd::kAmbiguous
                                                        : RequestEnd::kNotAllowed,
          shared().refusals.Next(decision),
          decision.Reason(facts.caller),
          {}};
}

UpstreamNeed HttpService::NeedOf(const RequestHead& request) const {
  UpstreamNeed need;
  need.only_http1 = !request.upgrade.empty();
  const HttpVersion as_asked =
      request.version == HttpVersion::kHttp2 ? HttpVersion::kHttp2 : HttpVersion::kHttp11;
  switch (config().upstream_protocol) {
    case UpstreamProtocol::kSame:
      need.version = as_asked;
      break;
    case UpstreamProtocol::kHttp1:
      need.version = HttpVersion::kHttp11;
      break;
    case UpstreamProtocol::kHttp2:
      need.version = HttpVersion::kHttp2;
      break;
  }
  if (need.only_http1) need.version = HttpVersion::kHttp11;
  return need;
}

void HttpService::OnExchangeOver(Exchange& exchange, const RequestOutcome& outcome) {
  Cell& cell = *caller_.lane->cell;
  cell.request_ends[static_cast<std::size_t>(outcome.end)].Add();
  if (outcome.status >= 100) cell.responses[static_cast<std::size_t>(outcome.status / 100)].Add();
  if (outcome.end != RequestEnd::kAnswered && outcome.end != RequestEnd::kTunnelled &&
      outcome.end != RequestEnd::kClientGone && outcome.end != RequestEnd::kRedirected &&
      outcome.end != RequestEnd::kFaultInjected)
    Refused(exchange, outcome);
  Tell(exchange, outcome);
  const auto at =
      std::ranges::find(exchanges_, &exchange, [](const auto& each) { return each.get(); });
  CHECK_TRUE(at != exchanges_.end());
  shared().turns.Bury(std::move(*at));
  exchanges_.erase(at);
  link_.Wake();
}

void HttpService::Tell(const Exchange& exchange, const RequestOutcome& outcome) {
  const RequestHead& request = exchange.request();
  const bool inbound = config().direction == Direction::kInbound;
  Record record;
  record.figures.direction = config().direction;
  record.figures.failed = outcome.status >= 500 || (outcome.end != RequestEnd::kAnswered &&
                                                    outcome.end != RequestEnd::kTunnelled &&
                                                    outcome.end != RequestEnd::kRedirected);
  record.figures.status = outcome.status;
  record.figures.grpc_status = outcome.grpc_status;
  record.figures.received = outcome.request_bytes;
  record.figures.sent = outcome.response_bytes;
  record.figures.duration = outcome.duration;
  record.figures.upstream_wait = outcome.upstream_wait;
  record.figures.first_byte = outcome.first_byte;
  record.figures.trace = exchange.trace();
  record.listener = config().name;
  record.route = outcome.route;
  if (!inbound)
    record.caller = own_name_;
  else if (caller_.peer)
    record.caller = caller_.peer->name;
  record.callee = inbound ? std::string_view(own_name_) : outcome.callee;
  record.remote = remote_text_;
  record.protocol = request.version == HttpVersion::kHttp2 ? "HTTP/2" : "HTTP/1.1";
  record.method = request.method;
  record.host = request.authority;
  record.path = request.path;
  record.end = RequestEndName(outcome.end);
  record.rule = outcome.rule;
  record.id = outcome.id;
  record.detail = outcome.detail;
  host_.parts().telemetry.RequestEnded(record);
}

void HttpService::Refused(const Exchange& exchange, const RequestOutcome& outcome) {
  const auto left_out = host_.refusal_lines().Admit();
  if (!left_out) return;
  const RequestHead& request = exchange.request();
  host_.parts().log.Warn("request refused", {{"direction", DirectionName(config().direction)},
                                             {"listener", config().name},
                                             {"reason", RequestEndName(outcome.end)},
                                             {"id", outcome.id},
                                             {"status", outcome.status},
                                             {"caller", caller_.peer ? caller_.peer->name : "-"},
                                             {"method", request.method},
                                             {"host", EscapeForLog(request.authority, 255)},
                                             {"path", EscapeForLog(request.path, 255)},
                                             {"why", outcome.detail},
                                             {"rules", config().policy_place}});
}

std::vector<LiveRequest> HttpService::requests() const {
  constexpr std::size_t kMostShown = 64;
  std::vector<LiveRequest> live;
  for (const auto& exchange : exchanges_) {
    if (live.size() >= kMostShown) break;
    const RequestHead& request = exchange->request();
    live.push_back({request.method, request.authority,
                    request.path.substr(0, request.path.find('?')), now() - exchange->started_at(),
                    exchange->response_begun()});
  }
  return live;
}

// ---- upstream

UpstreamGroupPtr& HttpService::GroupOf(HttpVersion version) {
  UpstreamGroupPtr& group = version == HttpVersion::kHttp2 ? http2_group_ : http1_group_;
  if (!group) {
    group = shared().upstreams.GroupOf(caller_.lane, UpstreamIdentity(), version);
  }
  return group;
}

std::string HttpService::UpstreamIdentity() const {
  return caller_.peer       ? caller_.peer->name
         : host_.identity() ? host_.identity()->id.ToString()
                            : std::string();
}

std::optional<Duration> HttpService::OverRate() {
  const auto& limiter = caller_.lane->plan->limiter;
  if (!limiter) return std::nullopt;
  return limiter->Take(caller_.peer ? caller_.peer->name : std::string(), now());
}

std::unique_ptr<RequestRoute> HttpService::RouteOf(std::size_t fields, RouteOwner& owner) {
  if (!config().traffic.routes) return nullptr;
  return std::make_unique<RequestRoute>(
      RouteContext{shared(), host_.parts().loop, caller_.lane, UpstreamIdentity(), fields}, owner);
}

void HttpService::Want(const RequestHead&, const UpstreamNeed& need, UpstreamWaiter& waiter) {
  shared().upstreams.Want(GroupOf(need.version), need.fresh, waiter);
}

void HttpService::Withdraw(UpstreamWaiter& waiter) {
  for (const UpstreamGroupPtr& group : {http1_group_, http2_group_})
    if (group) UpstreamPool::Withdraw(*group, waiter);
}

// ---- time

Duration HttpService::Allowed(Waiting waiting) const {
  const HttpSettings& http = host_.limits().http;
  switch (waiting) {
    case Waiting::kIdle:
      // A retired one is closed in order before its grace is over.
      return retired_ ? std::min(http.keep_alive, host_.limits().drain / 2) : http.keep_alive;
    case Waiting::kHead:
      return http.header_timeout;
    case Waiting::kStream:
      return http.stream_idle;
    case Waiting::kOver:
      return kLinger;
  }
  return kLinger;
}

// Called for every turn in which bytes moved.
void HttpService::OnLinkActive() {
  if (!codec_ || over_) return;
  const Waiting before = std::exchange(waiting_, codec_->waiting());
  // A head has its time from its first byte, however many follow.
  if (waiting_ == Waiting::kHead && before == Waiting::kHead) return;
  waiting_since_ = now();
  if (waiting_ == Waiting::kHead) Arm(Allowed(waiting_));
  if (waiting_ == Waiting::kOver && !std::exchange(lingers_, true)) Arm(kLinger);
}

void HttpService::Arm(Duration delay) {
  host_.parts().loop.Cancel(timer_);
  timer_ = host_.parts().loop.RunAfter(std::max(delay, Duration(std::chrono::milliseconds(1))),
                                       [this] { OnTimer(); });
}

void HttpService::OnTimer() {
  const Turns::Scope turn(shared().turns);
  timer_ = 0;
  if (over_) return;
  if (lingers_) return link_.GiveUp();
  const Duration left = waiting_since_ + Allowed(waiting_) - now();
  if (waiting_ == Waiting::kStream) {
    CutStalled(now());
    return Arm(std::min(kLook, Allowed(waiting_)));
  }
  if (left > Duration(0)) return Arm(std::min(kLook, left));
  if (!codec_) return link_.GiveUp();
  codec_->OnTimeout();
  link_.Wake();
}

void HttpService::CutStalled(SteadyTime at) {
  std::vector<Exchange*> stalled;
  for (const auto& exchange : exchanges_)
    if (at - exchange->active_at() >= host_.limits().http.stream_idle)
      stalled.push_back(exchange.get());
  for (Exchange* exchange : stalled)
    exchange->Cut(
        exchange->request_whole() ? RequestEnd::kUpstreamTimeout : RequestEnd::kRequestTimeout,
        "no byte of it moved for limits.http.stream_idle");
}

// ---- ends

void HttpService::DecideAgain() {
  const Turns::Scope turn(shared().turns);
  std::vector<Exchange*> each;
  for (const auto& exchange : exchanges_) each.push_back(exchange.get());
  for (Exchange* exchange : each) exchange->DecideAgain();
}

void HttpService::Retire() {
  const Turns::Scope turn(shared().turns);
  retired_ = true;
  if (!codec_) return;  // as soon as it is known what is spoken
  codec_->Retire();
  link_.Wake();
  if (!lingers_) Arm(std::min(kLook, Allowed(waiting_)));
}

void HttpService::BeginDrain() {
  const Turns::Scope turn(shared().turns);
  if (codec_)
    codec_->BeginDrain();
  else
    link_.GiveUp();
}

void HttpService::Abandon() {
  const Turns::Scope turn(shared().turns);
  over_ = true;
  link_.Stop();
  if (codec_) codec_->OnBroken(StreamFault::kCancelled);
  while (!exchanges_.empty()) exchanges_.front()->Cut(RequestEnd::kCut, "its connection ended");
}

void HttpService::OnLinkEnd(LinkEnd how) {
  if (over_) return;
  Abandon();
  owner_.OnServiceEnd(how == LinkEnd::kOrderly ? Ending::kFinished : Ending::kReset,
                      how == LinkEnd::kOrderly, {});
}

}  // namespace signet::proxy
