#include "identity/api/router.h"

#include <google/protobuf/message_lite.h>
#include <grpcpp/support/proto_buffer_reader.h>
#include <grpcpp/support/proto_buffer_writer.h>

#include "base/check.h"
#include "identity/api/rpc_status.h"

namespace signet::identity {
namespace {

constexpr std::string_view kAttestMethod = "/spire.api.server.agent.v1.Agent/AttestAgent";

constexpr std::size_t kCodes = 17;
// Messages of a stream that may wait to be sent before the next request is read.
constexpr std::size_t kReadAhead = 4;
constexpr std::uint32_t kDenialLinesPerSecond = 20;  // each caller with any SVID can cause them

// A call that is over before it began.
class RefusedReactor final : public grpc::ServerGenericBidiReactor {
 public:
  explicit RefusedReactor(grpc::Status status) { Finish(std::move(status)); }
  void OnDone() override { delete this; }
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
  std::size_t inline_bytes = 0;  // requests up to this run on gRPC's thread
  StreamFactory stream;
  std::array<std::atomic<Counter*>, kCodes> counts{};
};

// The outcome of the checks before a request is read.
struct Router::Admission {
  Method* method = nullptr;  // null: refused
  CallerPtr caller;
  bool promote = false;
  grpc::Status refusal;
};

grpc::Status BadAnswer(const Error& error) { return ToGrpcStatus(error); }

Status ParseMessage(const grpc::ByteBuffer& bytes, google::protobuf::MessageLite* message) {
  grpc::ByteBuffer copy(bytes);  // shares the slices
  grpc::ProtoBufferReader reader(&copy);
  if (!reader.status().ok() || !message->ParseFromZeroCopyStream(&reader))
    return Fail(Code::kInvalidArgument, kRequestMalformed,
                "the bytes are no " + message->GetTypeName());
  return {};
}

grpc::ByteBuffer SerializeMessage(const google::protobuf::MessageLite& message) {
  grpc::ByteBuffer bytes;
  const auto size = message.ByteSizeLong();
  if (size == 0) {
    const grpc::Slice empty;
    return grpc::ByteBuffer(&empty, 1);
  }
  CHECK_TRUE(size <= static_cast<std::size_t>(std::numeric_limits<int>::max()));
  grpc::Slice slice(size);
  message.SerializeWithCachedSizesToArray(const_cast<std::uint8_t*>(slice.begin()));
  return grpc::ByteBuffer(&slice, 1);
}

namespace {

// An attestation that fails is one whatever its code: somebody wanted to be an agent and is none.
bool IsRefusal(std::string_view method, const grpc::Status& status) {
  const auto code = status.error_code();
  return code == grpc::StatusCode::PERMISSION_DENIED || code == grpc::StatusCode::UNAUTHENTICATED ||
         (method == kAttestMethod && !status.ok() && code != grpc::StatusCode::CANCELLED);
}

}  // namespace

// One request, one answer.
class UnaryReactor final : public grpc::ServerGenericBidiReactor {
 public:
  UnaryReactor(Router& router, Router::Admission admission)
      : router_(router), admission_(std::move(admission)) {
    StartRead(&request_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      Reply({grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "the call carries no request"), {}});
    } else if (!admission_.promote && request_.Length() <= admission_.method->inline_bytes) {
      Handle();
    } else if (!router_.workers_.Submit([this] { Handle(); })) {
      Reply(
          {grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, std::string(kServerBusy.text)), {}});
    }
  }
  void OnCancel() override { cancelled_ = true; }
  void OnDone() override { delete this; }

 private:
  void Handle() {
    if (cancelled_) return Reply({grpc::Status::CANCELLED, {}});
    if (admission_.promote) {
      if (auto stored = router_.authorizer_.Promote(*admission_.caller); !stored)
        return Reply({ToGrpcStatus(stored.error()), {}});
    }
    if (admission_.method->deferred) {
      // This object lives until the answer: OnDone() follows Finish().
      admission_.method->deferred(*admission_.caller, request_,
                                  [this](Answer answer) { Reply(std::move(answer)); });
    } else {
      Reply(admission_.method->unary(*admission_.caller, request_));
    }
  }

  void Reply(Answer answer) {
    router_.Count(admission_.method, *admission_.caller, answer.status);
    if (!answer.status.ok()) return Finish(std::move(answer.status));
    answer_ = answer.message;  // shares the bytes
    StartWriteAndFinish(&answer_, grpc::WriteOptions(), grpc::Status::OK);
  }

  Router& router_;
  const Router::Admission admission_;
  std::atomic<bool> cancelled_ = false;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer answer_;
};

// A stream in both directions. The handler is kept until OnDone(); this object lives as long as
// anybody holds it.
class StreamReactor final : public StreamCall {
 public:
  static StreamReactor* Start(Router& router, Router::Admission admission) {
    auto reactor = std::make_shared<StreamReactor>(router, std::move(admission));
    reactor->self_ = reactor;
    reactor->handler_ = reactor->admission_.method->stream(reactor);
    reactor->StartRead(&reactor->incoming_);
    return reactor.get();
  }
  StreamReactor(Router& router, Router::Admission admission)
      : router_(router), admission_(std::move(admission)) {}

  void Send(grpc::ByteBuffer message) override {
    std::lock_guard lock(mutex_);
    if (ending_ || over_) return;
    outgoing_.push_back(std::move(message));
    if (outgoing_.size() == 1) StartWrite(&outgoing_.front());
  }

  void End(grpc::Status status) override {
    std::lock_guard lock(mutex_);
    EndLocked(std::move(status));
  }

  const CallerPtr& caller() const override { return admission_.caller; }

  void OnReadDone(bool ok) override {
    if (!router_.workers_.Submit([self = shared_from_this(), this, ok] { Handle(ok); }))
      End({grpc::StatusCode::RESOURCE_EXHAUSTED, std::string(kServerBusy.text)});
  }

  void OnWriteDone(bool ok) override {
    bool drained = false;
    {
      std::lock_guard lock(mutex_);
      outgoing_.pop_front();
      if (!ok) {
        outgoing_.clear();
        EndLocked(grpc::Status::CANCELLED);
      }
      if (!outgoing_.empty()) {
        StartWrite(&outgoing_.front());
      } else if (ending_) {
        FinishLocked();
      } else {
        drained = true;
      }
      if (read_waits_ && outgoing_.size() < kReadAhead) ReadLocked();
    }
    if (drained) handler_->OnSent();
  }

  void OnCancel() override { End(grpc::Status::CANCELLED); }

  void OnDone() override {
    const auto self = std::move(self_);
    std::shared_ptr<StreamHandler> handler;
    {
      std::lock_guard lock(mutex_);
      over_ = true;
      handler = std::move(handler_);
    }
    handler->OnOver();
  }

 private:
  void Handle(bool has_message) {
    if (admission_.promote && !promoted_) {
      promoted_ = true;
      if (auto stored = router_.authorizer_.Promote(*admission_.caller); !stored)
        return End(ToGrpcStatus(stored.error()));
    }
    std::shared_ptr<StreamHandler> handler;
    {
      std::lock_guard lock(mutex_);
      handler = handler_;
    }
    if (!handler) return;  // over
    if (!has_message) return handler->OnHalfClose();
    handler->OnMessage(incoming_);
    std::lock_guard lock(mutex_);
    if (outgoing_.size() < kReadAhead) {
      ReadLocked();
    } else {
      read_waits_ = true;
    }
  }

  void ReadLocked() {
    read_waits_ = false;
    if (!ending_ && !over_) StartRead(&incoming_);
  }

  void EndLocked(grpc::Status status) {
    if (ending_ || over_) return;
    ending_ = std::move(status);
    if (outgoing_.empty()) FinishLocked();
  }

  void FinishLocked() {
    if (finished_) return;
    finished_ = true;
    router_.Count(admission_.method, *admission_.caller, *ending_);
    Finish(*ending_);
  }

  Router& router_;
  const Router::Admission admission_;
  std::shared_ptr<StreamReactor> self_;     // until OnDone()
  std::shared_ptr<StreamHandler> handler_;  // until OnDone()
  grpc::ByteBuffer incoming_;               // the reader's until OnReadDone(), then the handler's
  bool promoted_ = false;                   // worker only

  std::mutex mutex_;
  std::deque<grpc::ByteBuffer> outgoing_;  // the front is in flight
  std::optional<grpc::Status> ending_;
  bool finished_ = false;
  bool over_ = false;
  bool read_waits_ = false;
};

Router::Router(const ConnectionTable& connections, const Authorizer& authorizer,
               WorkerPool& workers, const Clock& clock, const Logger& log, Metrics& metrics)
    : connections_(connections),
      authorizer_(authorizer),
      workers_(workers),
      log_(log),
      metrics_(metrics),
      denial_lines_(clock, kDenialLinesPerSecond),
      unknown_calls_(metrics.Counter("signet_server_unknown_calls_total",
                                     "Calls of methods that do not exist.")) {
  for (const auto& rule : AllRules()) methods_[rule.method] = std::make_unique<Method>(rule);
}

Router::~Router() = default;

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

Router::Admission Router::Admit(const std::string& path, const std::string& peer) {
  Admission admission;
  admission.caller = connections_.Find(peer);
  if (!admission.caller) {
    admission.refusal = {grpc::StatusCode::UNAUTHENTICATED, "the connection is not known"};
    return admission;
  }
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

grpc::ServerGenericBidiReactor* Router::CreateReactor(grpc::GenericCallbackServerContext* context) {
  auto admission = Admit(context->method(), context->peer());
  if (admission.method == nullptr) return new RefusedReactor(std::move(admission.refusal));
  if (admission.method->stream) return StreamReactor::Start(*this, std::move(admission));
  return new UnaryReactor(*this, std::move(admission));
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
