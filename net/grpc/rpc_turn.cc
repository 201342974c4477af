#include "net/grpc/rpc_turn.h"

namespace signet::net {

void RpcTurn::Settle() {
  while (!dirty_.empty() || !ended_.empty()) {
    for (const std::uint64_t id : std::exchange(dirty_, {})) ways_.flush(id);
    for (const auto& [id, how] : std::exchange(ended_, {})) ways_.remove(id, how);
  }
  ways_.settled();
}

}  // namespace signet::net
