// The one door of the API: every call of every service comes in here as bytes. The router finds the
// caller, asks the authorization table, and only then reads the request and hands it to the
// method's handler. A method without a rule does not exist; one without a handler is not
// implemented.
//
// Threads: gRPC calls in on its own threads; handlers run on the worker pool. Register everything
// before the server is built.
#pragma once

#include <grpcpp/generic/async_generic_service.h>

#include <array>
#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "base/log.h"
#include "base/log_limit.h"
#include "base/metrics.h"
#include "identity/api/authorization.h"
#include "identity/api/caller.h"
#include "identity/api/worker_pool.h"

namespace google::protobuf {
class MessageLite;
}

namespace signet::identity {

inline constexpr Reason kRequestMalformed{"malformed request"};

// Fails with kRequestMalformed.
Status ParseMessage(const grpc::ByteBuffer& bytes, google::protobuf::MessageLite* message);
grpc::ByteBuffer SerializeMessage(const google::protobuf::MessageLite& message);

struct Answer {
  grpc::Status status;
  grpc::ByteBuffer message;
};
using UnaryHandler = std::function<Answer(const Caller&, const grpc::ByteBuffer& request)>;

// A typed method as a handler over bytes.
template <class Request, class Response>
UnaryHandler Unary(std::function<Result<Response>(const Caller&, const Request&)> method);

// The server's end of a streaming call. Writes are sent in order, one in flight; what is queued
// counts against the handler, which must bound it.
//
// Threads: safe from any thread; after the call is over everything does nothing.
class StreamCall : public grpc::ServerGenericBidiReactor,
                   public std::enable_shared_from_this<StreamCall> {
 public:
  virtual void Send(grpc::ByteBuffer message) = 0;
  // After what is queued was sent. The first status counts.
  virtual void End(grpc::Status status) = 0;
  virtual const CallerPtr& caller() const = 0;
};

// What a method does with its stream. Messages come one at a time, in order, on the worker pool;
// the next one is read when the last was handled.
class StreamHandler {
 public:
  virtual ~StreamHandler() = default;
  virtual void OnMessage(const grpc::ByteBuffer& message) = 0;
  // The client will send no more.
  virtual void OnHalfClose() = 0;
  // Everything queued was sent. On a gRPC thread: must be quick.
  virtual void OnSent() {}
  // The call is over; nothing follows. On a gRPC thread: must be quick.
  virtual void OnOver() {}
};
using StreamFactory = std::function<std::shared_ptr<StreamHandler>(std::shared_ptr<StreamCall>)>;

// One that goes on after it returned: `respond` is called exactly once, from any thread. The caller
// and the request live until then.
using Respond = std::function<void(Answer)>;
using DeferredHandler =
    std::function<void(const Caller&, const grpc::ByteBuffer& request, Respond respond)>;
template <class Request, class Response>
DeferredHandler Deferred(
    std::function<void(const Caller&, const Request&, std::function<void(Result<Response>)>)>
        method);

class Router final : public grpc::CallbackGenericService {
 public:
  // Hears of each call that was refused for who its caller is (PERMISSION_DENIED,
  // UNAUTHENTICATED), and of each attestation that failed. Must not wait.
  using RefusalSink =
      std::function<void(const Caller&, std::string_view method, std::string_view why)>;

  Router(const ConnectionTable& connections, const Authorizer& authorizer, WorkerPool& workers,
         const Clock& clock, const Logger& log, Metrics& metrics);
  ~Router() override;

  void AddUnary(std::string_view method, UnaryHandler handler);
  // Runs on gRPC's thread, also when the pool is busy: only for what neither computes nor waits.
  void AddInline(std::string_view method, UnaryHandler handler);
  // Requests of up to `inline_bytes` begin on gRPC's thread, longer ones on the pool.
  void AddDeferred(std::string_view method, std::size_t inline_bytes, DeferredHandler handler);
  void AddStream(std::string_view method, StreamFactory factory);
  void SetRefusalSink(RefusalSink sink) { refusal_sink_ = std::move(sink); }

  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override;

 private:
  friend class UnaryReactor;
  friend class StreamReactor;
  struct Method;
  struct Admission;

  Admission Admit(const std::string& path, const std::string& peer);
  void LogDenial(const Caller& caller, const std::string& path, const Verdict& verdict);
  void Count(Method* method, const Caller& caller, const grpc::Status& status);

  const ConnectionTable& connections_;
  const Authorizer& authorizer_;
  WorkerPool& workers_;
  const Logger& log_;
  Metrics& metrics_;
  RefusalSink refusal_sink_;
  LogLimiter denial_lines_;
  Counter& unknown_calls_;
  std::unordered_map<std::string_view, std::unique_ptr<Method>> methods_;
};

grpc::Status BadAnswer(const Error& error);  // ToGrpcStatus(), for the template below

template <class Response>
Answer MakeAnswer(const Result<Response>& response) {
  if (!response) return {BadAnswer(response.error()), {}};
  return {grpc::Status::OK, SerializeMessage(*response)};
}

template <class Request, class Response>
UnaryHandler Unary(std::function<Result<Response>(const Caller&, const Request&)> method) {
  return
      [method = std::move(method)](const Caller& caller, const grpc::ByteBuffer& bytes) -> Answer {
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
  return [method = std::move(method)](const Caller& caller, const grpc::ByteBuffer& bytes,
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
