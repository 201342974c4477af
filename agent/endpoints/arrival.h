// A call as it arrives at one of the agent's sockets: whose it is, and the way back. Also what
// stands between gRPC's types, in which answers are made, and net/grpc's, in which they leave.
#pragma once

#include <grpcpp/support/status.h>

#include <memory>
#include <string>
#include <utility>

#include "agent/endpoints/caller_table.h"
#include "net/grpc/rpc.h"

namespace signet::agent {

// A connection: its place lasts as long as it does, and its calls know their caller by it alone.
struct CallerConnection final : net::RpcPeer {
  explicit CallerConnection(CallerTable::Place p) : place(std::move(p)) {}
  const CallerTable::Place place;
};

struct Arrival {
  CallerPtr caller;
  std::shared_ptr<net::RpcCall> call;
};

// A call that was finished as it began.
class EndedCall final : public net::RpcHandler {
 public:
  void OnMessage(std::string /*message*/) override {}
  void OnHalfClose() override {}
  void OnOver() override {}
};

inline net::RpcStatus ToRpcStatus(const grpc::Status& status) {
  return {status.error_code(), status.error_message(), status.error_details()};
}

// As gRPC's own servers say it.
inline grpc::Status MalformedRequest() {
  return {grpc::StatusCode::INTERNAL, "the bytes are no request of this method"};
}
inline grpc::Status MissingRequest() {
  return {grpc::StatusCode::INTERNAL, "the call carries no request"};
}

}  // namespace signet::agent
