#include "identity/api/router.h"

#include <google/protobuf/message_lite.h>

#include <limits>

#include "base/check.h"
#include "identity/api/rpc_status.h"

namespace signet::identity {
namespace {

constexpr std::string_view kAttestMethod = "/spire.api.server.agent.v1.Agent/AttestAgent";

constexpr std::string_view kRenewMethod = "/spire.api.server.agent.v1.Agent/RenewAgent";

constexpr std::size_t kCodes = 17;
constexpr std::uint32_t kDenialLinesPerSecond = 20;  // each caller with any SVID can cause them

// A call that is over before it began.
class RefusedCall final : public net::RpcHandler {
 public:
  void OnMessage(std::string) override {}
  void OnHalfClose() override {}
  void OnOver() override {}
};

std::string NotFoundText(std::string_view path, bool on_admin_socket) {
  const auto slash = path.empty() ? std::string_view::npos : path.find('/', 1);
  if (path.empty() || path.front() != '/' || slash == std::string_view::npos)
    return "malformed method name";
  const auto service = std::string(path.substr(1, slash - 1));
  if (!IsKnownService(service, on_admin_socket)) return "unknown service " + service;
  return "unknown method " + std::string(path.substr(slash + 1)) + " for service " + service;
}

}  // namespace

struct Router::Method {
  explicit Method(const MethodRule& r) : rule(r) {}
  const MethodRule& rule;
  UnaryHandler unary;
  DeferredHandler deferred;
  std::size_t inline_bytes = 0;  // requests up to this run on the loop's thread
  StreamFactory stream;
  std::array<std::atomic<Counter*>, kCodes> counts{};
};

// The outcome of the checks before a request is read.
struct Router::Admission {
  Method* method = nullptr;  // null: refused
  CallerPtr caller;
  bool promote = false;
  bool in_turn = false;  // not on the loop's thread, where nobody has a turn
  Urgency urgency = Urgency::kNormal;
  grpc::Status refusal;
};

grpc::Status BadAnswer(const Error& error) { return ToGrpcStatus(error); }

Status ParseMessage(std::string_view bytes, google::protobuf::MessageLite* message) {
  if (bytes.size() > static_cast<std::size_t>(std::numeric_limits<int>::max()) ||
      !message->ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return Fail(Code::kInvalidArgument, kRequestMalformed,
                "the bytes are no " + message->GetTypeName());
  return {};
}

std::string SerializeMessage(const google::protobuf::MessageLite& message) {
  std::string bytes;
  CHECK_TRUE(message.SerializeToString(&bytes));
  return bytes;
}

namespace {

// An attestation that fails is one whatever its code: somebody wanted to be an agent and is none.
bool IsRefusal(std::string_view method, const grpc::Status& status) {
  const auto code = status.error_code();
  return code == grpc::StatusCode::PERMISSION_DENIED || code == grpc::StatusCode::UNAUTHENTICATED ||
         (method == kAttestMethod && !status.ok() && code != grpc::StatusCode::CANCELLED);
}

}  // namespace

// One request, one answer. Lives until both the caller and the handler are done with it.
class UnaryCall final : public net::RpcHandler, public std::enable_shared_from_this<UnaryCall> {
 public:
  UnaryCall(Router& router, Router::Admission admission, std::shared_ptr<net::RpcCall> call)
      : router_(router), admission_(std::move(admission)), call_(std::move(call)) {
    const std::lock_guard lock(router_.mutex_);
    ++router_.calls_;
  }
  ~UnaryCall() override {
    const std::lock_guard lock(router_.mutex_);
    if (--router_.calls_ == 0) router_.idle_.notify_all();
  }

  void OnMessage(std::string message) override {
    request_ = std::move(message);
    if (!admission_.promote && !admission_.in_turn &&
        request_.size() <= admission_.method->inline_bytes)
      return Handle();
    Work work{.account = admission_.caller->Account(),
              .urgency = admission_.urgency,
              .is_heavy = admission_.in_turn,
              .bytes = request_.size(),
              .run = [self = shared_from_this()] { self->Handle(); }};
    if (!router_.workers_.Submit(std::move(work))) Reply({router_.Busy(), {}});
  }
  void OnHalfClose() override {
    Reply({grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "the call carries no request"), {}});
  }
  void OnOver() override { cancelled_ = true; }

 private:
  // Nobody waits for the answer to a call that is cancelled or late.
  void Handle() {
    if (cancelled_) return Reply({grpc::Status::CANCELLED, {}});
    if (call_->deadline() != SteadyTime::max() && router_.clock_.SteadyNow() >= call_->deadline())
      return Reply(
          {grpc::Status(grpc::StatusCode::DEADLINE_EXCEEDED, "the call came too late"), {}});
    if (admission_.promote) {
      if (auto stored = router_.authorizer_.Promote(*admission_.caller); !stored)
        return Reply({ToGrpcStatus(stored.error()), {}});
    }
    if (admission_.method->deferred) {
      admission_.method->deferred(
          *admission_.caller, request_,
          [self = shared_from_this()](Answer answer) { self->Reply(std::move(answer)); });
    } else {
      Reply(admission_.method->unary(*admission_.caller, request_));
    }
  }

  void Reply(Answer answer) {
    router_.Count(admission_.method, *admission_.caller, answer.status);
    if (router_.gate_ != nullptr) router_.gate_->Charge(*admission_.caller, answer.message.size());
    if (answer.status.ok()) call_->Send(std::move(answer.message));
    call_->Finish(router_.ToRpcStatus(*admission_.caller, answer.status));
  }

  Router& router_;
  const Router::Admission admission_;
  const std::shared_ptr<net::RpcCall> call_;
  std::atomic<bool> cancelled_ = false;
  std::string request_;
};

// A stream in both directions. The handler is kept until the call is over.
class ServedStream final : public StreamCall,
                           public net::RpcHandler,
                           public std::enable_shared_from_this<ServedStream> {
 public:
  ServedStream(Router& router, Router::Admission admission, std::shared_ptr<net::RpcCall> call)
      : router_(router), admission_(std::move(admission)), call_(std::move(call)) {}
  void Start() {
    handler_ = admission_.method->stream(shared_from_this());
    call_->Read();
  }

  // StreamCall.
  void Send(std::string message) override { call_->Send(std::move(message)); }
  void End(grpc::Status status) override {
    if (ended_.exchange(true)) return;
    router_.Count(admission_.method, *admission_.caller, status);
    call_->Finish(router_.ToRpcStatus(*admission_.caller, status));
  }
  const CallerPtr& caller() const override { return admission_.caller; }

  // net::RpcHandler.
  void OnMessage(std::string message) override {
    const std::size_t bytes = message.size();
    Submit(bytes, [self = shared_from_this(), text = std::move(message)] { self->Handle(&text); });
  }
  void OnHalfClose() override {
    Submit(0, [self = shared_from_this()] { self->Handle(nullptr); });
  }
  void OnSent() override {
    if (const auto handler = Handler()) handler->OnSent();
  }
  void OnOver() override {
    End(grpc::Status::CANCELLED);
    std::shared_ptr<StreamHandler> handler;
    {
      const std::lock_guard lock(mutex_);
      handler = std::move(handler_);
    }
    handler->OnOver();
  }

 private:
  void Submit(std::size_t bytes, std::function<void()> run) {
    Work work{.account = admission_.caller->Account(),
              .urgency = admission_.urgency,
              .is_heavy = admission_.in_turn,
              .bytes = bytes,
              .run = std::move(run)};
    if (!router_.workers_.Submit(std::move(work))) End(router_.Busy());
  }
  // Null: the call is over.
  std::shared_ptr<StreamHandler> Handler() {
    const std::lock_guard lock(mutex_);
    return handler_;
  }
  // On the worker pool. Null: the caller will send no more.
  void Handle(const std::string* message) {
    if (admission_.promote && !promoted_) {
      promoted_ = true;
      if (auto stored = router_.authorizer_.Promote(*admission_.caller); !stored)
        return End(ToGrpcStatus(stored.error()));
    }
    const auto handler = Handler();
    if (!handler) return;
    if (message == nullptr) return handler->OnHalfClose();
    handler->OnMessage(*message);
    call_->Read();
  }

  Router& router_;
  const Router::Admission admission_;
  const std::shared_ptr<net::RpcCall> call_;
  std::atomic<bool> ended_ = false;
  bool promoted_ = false;  // worker only
  std::mutex mutex_;
  std::shared_ptr<StreamHandler> handler_;
};

Router::Router(const Authorizer& authorizer, WorkerPool& workers, const Clock& clock,
               const Logger& log, Metrics& metrics)
    : authorizer_(authorizer),
      workers_(workers),
      clock_(clock),
      log_(log),
      metrics_(metrics),
      denial_lines_(clock, kDenialLinesPerSecond),
      unknown_calls_(metrics.Counter("signet_server_unknown_calls_total",
                                     "Calls of methods that do not exist.")),
      over_rate_(metrics.Counter("signet_server_calls_over_rate_total",
                                 "Calls refused for how many calls their caller made.")),
      over_queue_(metrics.Counter(
          "signet_server_calls_over_queue_total",
          "Calls refused because the queue was full, or had enough of their caller's.")),
      held_(metrics.Counter("signet_server_callers_held_total",
                            "Times a connection was not read for a while because its caller went on"
                            " after it was refused.")) {
  for (const auto& rule : AllRules()) methods_[rule.method] = std::make_unique<Method>(rule);
}

Router::~Router() { CHECK_TRUE(calls_ == 0); }

void Router::AwaitCalls() {
  std::unique_lock lock(mutex_);
  idle_.wait(lock, [this] { return calls_ == 0; });
}

void Router::AddUnary(std::string_view method, UnaryHandler handler) {
  const auto found = methods_.find(method);
  CHECK_TRUE(found != methods_.end());
  found->second->unary = std::move(handler);
}

void Router::AddInline(std::string_view method, UnaryHandler handler) {
  AddUnary(method, std::move(handler));
  methods_.at(method)->inline_bytes = SIZE_MAX;
}

void Router::AddDeferred(std::string_view method, std::size_t inline_bytes,
                         DeferredHandler handler) {
  const auto found = methods_.find(method);
  CHECK_TRUE(found != methods_.end());
  found->second->deferred = std::move(handler);
  found->second->inline_bytes = inline_bytes;
}

void Router::AddStream(std::string_view method, StreamFactory factory) {
  const auto found = methods_.find(method);
  CHECK_TRUE(found != methods_.end());
  found->second->stream = std::move(factory);
}

Router::Admission Router::Admit(const std::string& path, CallerPtr caller) {
  Admission admission;
  admission.caller = std::move(caller);
  const bool local = admission.caller->kind == CallerKind::kLocal;
  const auto found = methods_.find(path);
  if (found == methods_.end() || (found->second->rule.admin_socket_only && !local)) {
    unknown_calls_.Add();
    admission.refusal = {grpc::StatusCode::UNIMPLEMENTED, NotFoundText(path, local)};
    return admission;
  }
  Method& method = *found->second;
  const auto verdict = authorizer_.Decide(method.rule, *admission.caller);
  if (verdict.kind == Verdict::Kind::kDenied) {
    admission.refusal = DeniedStatus("authorization denied for method " + path, verdict.denial);
    if (admission.caller->kind != CallerKind::kAnonymous)
      LogDenial(*admission.caller, path, verdict);
    Count(&method, *admission.caller, admission.refusal);
  } else if (!method.unary && !method.deferred && !method.stream) {
    admission.refusal = {grpc::StatusCode::UNIMPLEMENTED,
                         "method " + path.substr(path.rfind('/') + 1) + " not implemented"};
    Count(&method, *admission.caller, admission.refusal);
  } else {
    admission.method = &method;
    admission.promote = verdict.kind == Verdict::Kind::kPromote;
  }
  return admission;
}

void Router::LogDenial(const Caller& caller, const std::string& path, const Verdict& verdict) {
  const auto left_out = denial_lines_.Admit();
  if (!left_out) return;
  log_.Info("call denied", {{"caller", caller.Name()},
                            {"method", path},
                            {"denial", static_cast<int>(verdict.denial)},
                            {"not_listed_before", *left_out}});
}

std::shared_ptr<const net::RpcPeer> Router::Meet(const net::PeerIdentity* peer,
                                                 std::string remote) {
  return std::make_shared<const Caller>(CallerOfTls(peer, std::move(remote)));
}

void Router::SetGate(CallGate& gate) { gate_ = &gate; }

grpc::Status Router::Busy() {
  over_queue_.Add();
  return {grpc::StatusCode::RESOURCE_EXHAUSTED, std::string(kServerBusy.text)};
}

net::RpcStatus Router::ToRpcStatus(const Caller& caller, const grpc::Status& status) {
  net::RpcStatus result{status.error_code(), status.error_message(), status.error_details()};
  if (gate_ != nullptr && status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED)
    result.retry_after = gate_->Refuse(caller).retry_after;
  return result;
}

bool Router::PassGate(const Caller& caller, net::RpcCall& call, bool* in_turn) {
  if (gate_ == nullptr) return true;
  const auto entry = gate_->Admit(caller);
  *in_turn = entry == CallGate::Entry::kInTurn;
  if (entry != CallGate::Entry::kRefused) return true;
  over_rate_.Add();
  const auto refusal = gate_->Refuse(caller);
  if (refusal.hold_until) {
    held_.Add();
    call.HoldConnection(*refusal.hold_until);
  }
  call.Finish({static_cast<int>(Code::kResourceExhausted),
               std::string(kTooManyCalls.text) + ": try again later",
               {},
               refusal.retry_after});
  return false;
}

std::shared_ptr<net::RpcHandler> Router::Begin(const std::string& path,
                                               const std::shared_ptr<const net::RpcPeer>& peer,
                                               const std::shared_ptr<net::RpcCall>& call) {
  // Meet() and AdoptLocal() make no others.
  const auto caller = std::static_pointer_cast<const Caller>(peer);
  bool in_turn = false;
  if (!PassGate(*caller, *call, &in_turn)) return std::make_shared<RefusedCall>();
  auto admission = Admit(path, caller);
  admission.in_turn = in_turn;
  if (admission.method == nullptr) {
    call->Finish(ToRpcStatus(*caller, admission.refusal));
    return std::make_shared<RefusedCall>();
  }
  const bool renews =
      path == kRenewMethod || call->Field(net::kRpcRenewalField) == std::vector<std::string>{"1"};
  if (renews && gate_ != nullptr && gate_->TakeRenewal(*caller))
    admission.urgency = Urgency::kRenewal;
  if (admission.method->stream) {
    auto stream = std::make_shared<ServedStream>(*this, std::move(admission), call);
    stream->Start();
    return stream;
  }
  call->Read();
  return std::make_shared<UnaryCall>(*this, std::move(admission), call);
}

void Router::Count(Method* method, const Caller& caller, const grpc::Status& status) {
  if (refusal_sink_ && IsRefusal(method->rule.method, status))
    refusal_sink_(caller, method->rule.method, status.error_message());
  const auto code = static_cast<std::size_t>(status.error_code());
  auto& slot = method->counts[code < kCodes ? code : static_cast<std::size_t>(Code::kUnknown)];
  Counter* counter = slot.load(std::memory_order_acquire);
  if (counter == nullptr) {
    const auto name = status.ok() ? std::string_view("OK") : CodeName(static_cast<Code>(code));
    counter = &metrics_.Counter(
        "signet_server_calls_total", "Calls answered, by method and code.",
        {{"method", std::string(method->rule.method)}, {"code", std::string(name)}});
    slot.store(counter, std::memory_order_release);
  }
  counter->Add();
}

}  // namespace signet::identity
