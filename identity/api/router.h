// The one door of the API: every call of every service comes in here as bytes. The router finds the
// caller, asks the authorization table, and only then reads the request and hands it to the
// method's handler. A method without a rule does not exist; one without a handler is not
// implemented.
//
// Threads: calls begin on the server's loop thread; handlers run on the worker pool. Register
// everything before the server listens.
#pragma once

#include <grpcpp/support/status.h>

#include <array>
#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "base/log.h"
#include "base/log_limit.h"
#include "base/metrics.h"
#include "identity/api/authorization.h"
#include "identity/api/call_gate.h"
#include "identity/api/caller.h"
#include "identity/api/worker_pool.h"
#include "net/grpc/rpc.h"

namespace google::protobuf {
class MessageLite;
}

namespace signet::identity {

inline constexpr Reason kRequestMalformed{"malformed request"};
inline constexpr Reason kTooManyCalls{"too many calls"};

// Fails with kRequestMalformed.
Status ParseMessage(std::string_view bytes, google::protobuf::MessageLite* message);
std::string SerializeMessage(const google::protobuf::MessageLite& message);

struct Answer {
  grpc::Status status;
  std::string message;
};
using UnaryHandler = std::function<Answer(const Caller&, const std::string& request)>;

// A typed method as a handler over bytes.
template <class Request, class Response>
UnaryHandler Unary(std::function<Result<Response>(const Caller&, const Request&)> method);

// The server's end of a streaming call. Messages are sent in order; what the caller does not take
// counts against the handler, which must bound it.
//
// Threads: safe from any thread; after the call is over everything does nothing.
class StreamCall {
 public:
  virtual ~StreamCall() = default;
  virtual void Send(std::string message) = 0;
  // After what is queued was sent. The first status counts.
  virtual void End(grpc::Status status) = 0;
  virtual const CallerPtr& caller() const = 0;
};

// What a method does with its stream. Messages come one at a time, in order, on the worker pool;
// the next one is read when the last was handled.
class StreamHandler {
 public:
  virtual ~StreamHandler() = default;
  virtual void OnMessage(const std::string& message) = 0;
  // The client will send no more.
  virtual void OnHalfClose() = 0;
  // Everything queued was sent. On the loop's thread: must be quick.
  virtual void OnSent() {}
  // The call is over; nothing follows. On the loop's thread: must be quick.
  virtual void OnOver() {}
};
using StreamFactory = std::function<std::shared_ptr<StreamHandler>(std::shared_ptr<StreamCall>)>;

// One that goes on after it returned: `respond` is called exactly once, from any thread. The caller
// and the request live until then.
using Respond = std::function<void(Answer)>;
using DeferredHandler =
    std::function<void(const Caller&, const std::string& request, Respond respond)>;
template <class Request, class Response>
DeferredHandler Deferred(
    std::function<void(const Caller&, const Request&, std::function<void(Result<Response>)>)>
        method);

class Router final : public net::RpcService {
 public:
  // Hears of each call that was refused for who its caller is (PERMISSION_DENIED,
  // UNAUTHENTICATED), and of each attestation that failed. Must not wait.
  using RefusalSink =
      std::function<void(const Caller&, std::string_view method, std::string_view why)>;

  Router(const Authorizer& authorizer, WorkerPool& workers, const Clock& clock, const Logger& log,
         Metrics& metrics);
  // When no call is left: AwaitCalls() first.
  ~Router() override;

  void AddUnary(std::string_view method, UnaryHandler handler);
  // Runs on the loop's thread, also when the pool is busy: only for what neither computes nor
  // waits.
  void AddInline(std::string_view method, UnaryHandler handler);
  // Requests of up to `inline_bytes` begin on the loop's thread, longer ones on the pool.
  void AddDeferred(std::string_view method, std::size_t inline_bytes, DeferredHandler handler);
  void AddStream(std::string_view method, StreamFactory factory);
  // Before the server listens; it outlives the router. Without one nobody is counted, and nobody
  // who is refused is told when to come again.
  void SetGate(CallGate& gate);
  void SetRefusalSink(RefusalSink sink) { refusal_sink_ = std::move(sink); }

  // Returns when every handler has answered, also to callers that are gone. After the server.
  void AwaitCalls();

  // net::RpcService.
  bool WantsField(std::string_view name) const override { return name == net::kRpcRenewalField; }
  std::shared_ptr<const net::RpcPeer> Meet(const net::PeerIdentity* peer,
                                           std::string remote) override;
  std::shared_ptr<net::RpcHandler> Begin(const std::string& path,
                                         const std::shared_ptr<const net::RpcPeer>& peer,
                                         const std::shared_ptr<net::RpcCall>& call) override;

 private:
  friend class UnaryCall;
  friend class ServedStream;
  struct Method;
  struct Admission;

  // Whether there is room for one more call of this caller's; if not, it is finished. `in_turn`: as
  // CallGate::Entry says.
  bool PassGate(const Caller& caller, net::RpcCall& call, bool* in_turn);
  // What a call is answered that the workers have no room for.
  grpc::Status Busy();
  // With how long to stay away, when there was no room for it.
  net::RpcStatus ToRpcStatus(const Caller& caller, const grpc::Status& status);
  Admission Admit(const std::string& path, CallerPtr caller);
  void LogDenial(const Caller& caller, const std::string& path, const Verdict& verdict);
  void Count(Method* method, const Caller& caller, const grpc::Status& status);

  const Authorizer& authorizer_;
  WorkerPool& workers_;
  const Clock& clock_;
  const Logger& log_;
  Metrics& metrics_;
  RefusalSink refusal_sink_;
  CallGate* gate_ = nullptr;
  LogLimiter denial_lines_;
  Counter& unknown_calls_;
  Counter& over_rate_;
  Counter& over_queue_;
  Counter& held_;
  std::unordered_map<std::string_view, std::unique_ptr<Method>> methods_;
  std::mutex mutex_;
  std::condition_variable idle_;
  std::size_t calls_ = 0;  // handlers that have not answered
};

grpc::Status BadAnswer(const Error& error);  // ToGrpcStatus(), for the template below

template <class Response>
Answer MakeAnswer(const Result<Response>& response) {
  if (!response) return {BadAnswer(response.error()), {}};
  return {grpc::Status::OK, SerializeMessage(*response)};
}

template <class Request, class Response>
UnaryHandler Unary(std::function<Result<Response>(const Caller&, const Request&)> method) {
  return [method = std::move(method)](const Caller& caller, const std::string& bytes) -> Answer {
    Request request;
    if (auto parsed = ParseMessage(bytes, &request); !parsed)
      return {BadAnswer(parsed.error()), {}};
    return MakeAnswer(method(caller, request));
  };
}

template <class Request, class Response>
DeferredHandler Deferred(
    std::function<void(const Caller&, const Request&, std::function<void(Result<Response>)>)>
        method) {
  return [method = std::move(method)](const Caller& caller, const std::string& bytes,
                                      Respond respond) {
    Request request;
    if (auto parsed = ParseMessage(bytes, &request); !parsed)
      return respond({BadAnswer(parsed.error()), {}});
    method(caller, request, [respond = std::move(respond)](const Result<Response>& response) {
      respond(MakeAnswer(response));
    });
  };
}

}  // namespace signet::identity
