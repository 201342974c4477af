#include "agent/endpoints/call_table.h"

#include <algorithm>
#include <utility>

#include "agent/endpoints/refusal.h"
#include "base/check.h"

namespace signet::agent {
namespace {

// One request, one answer. Kept by the session, and by the job that answers.
class UnaryCall final : public net::RpcHandler, public std::enable_shared_from_this<UnaryCall> {
 public:
  using Method = std::function<grpc::Status(const std::string& request, std::string* answer)>;
  UnaryCall(AttestationPool* pool, const Method& method, std::shared_ptr<net::RpcCall> call)
      : pool_(pool), method_(method), call_(std::move(call)) {}

  void OnMessage(std::string message) override {
    if (pool_ == nullptr) return Answer(message);
    const bool taken = pool_->Submit(
        [self = shared_from_this(), message = std::move(message)] { self->Answer(message); });
    if (!taken)
      call_->Finish(ToRpcStatus(Refusal(grpc::StatusCode::UNAVAILABLE, kCallersQueueFull)));
  }
  void OnHalfClose() override { call_->Finish(ToRpcStatus(MissingRequest())); }
  void OnOver() override {}

 private:
  void Answer(const std::string& request) {
    std::string answer;
    const grpc::Status status = method_(request, &answer);
    if (status.ok()) call_->Send(std::move(answer));
    call_->Finish(ToRpcStatus(status));
  }

  AttestationPool* const pool_;
  const Method& method_;
  const std::shared_ptr<net::RpcCall> call_;
};

std::string_view ServiceOf(std::string_view path) { return path.substr(1, path.rfind('/') - 1); }

}  // namespace

void CallTable::Add(const std::string& path, Opener opener) {
  CHECK_TRUE(methods_.emplace(path, std::move(opener)).second);
}

void CallTable::AddUnimplemented(const std::string& path, const std::string& message) {
  Add(path, [message](const Arrival& arrival) {
    arrival.call->Finish(ToRpcStatus({grpc::StatusCode::UNIMPLEMENTED, message}));
    return std::make_shared<EndedCall>();
  });
}

void CallTable::AddBytes(const std::string& path, AttestationPool* pool, BytesMethod method) {
  const auto kept = std::make_shared<const BytesMethod>(std::move(method));
  Add(path, [pool, kept](const Arrival& arrival) {
    arrival.call->Read();
    return std::make_shared<UnaryCall>(pool, *kept, arrival.call);
  });
}

std::shared_ptr<const net::RpcPeer> CallTable::Meet(const net::PeerIdentity*, std::string) {
  return nullptr;  // nobody comes here over TLS
}

std::string CallTable::NotFoundText(std::string_view path) const {
  const auto slash = path.rfind('/');
  if (!path.starts_with('/') || slash == 0) return "malformed method name";
  const std::string service(ServiceOf(path));
  const bool known = std::ranges::any_of(
      methods_, [&](const auto& method) { return ServiceOf(method.first) == service; });
  if (!known) return "unknown service " + service;
  return "unknown method " + std::string(path.substr(slash + 1)) + " for service " + service;
}

std::shared_ptr<net::RpcHandler> CallTable::Begin(const std::string& path,
                                                  const std::shared_ptr<const net::RpcPeer>& peer,
                                                  const std::shared_ptr<net::RpcCall>& call) {
  CHECK_TRUE(peer != nullptr);
  const auto found = methods_.find(path);
  if (found == methods_.end()) {
    call->Finish(ToRpcStatus({grpc::StatusCode::UNIMPLEMENTED, NotFoundText(path)}));
    return std::make_shared<EndedCall>();
  }
  // SocketServer makes no other peers.
  const auto& connection = static_cast<const CallerConnection&>(*peer);
  return found->second({connection.place.caller(), call});
}

}  // namespace signet::agent
