// How a client dials its agent's public socket.
#pragma once

#include <grpcpp/channel.h>

#include <memory>
#include <string>

namespace signet::identity {

// A channel of its own for each try: gRPC's own back-off must not add to the caller's.
std::shared_ptr<grpc::Channel> DialAgent(const std::string& socket_path, int max_answer_bytes);

}  // namespace signet::identity
