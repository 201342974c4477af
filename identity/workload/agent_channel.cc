#include "identity/workload/agent_channel.h"

#include <grpcpp/create_channel.h>

namespace signet::identity {

std::shared_ptr<grpc::Channel> DialAgent(const std::string& socket_path, int max_answer_bytes) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetMaxReceiveMessageSize(max_answer_bytes);
  // gRPC puts the socket's path into :authority, which strict peers refuse.
  arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, "localhost");
  return grpc::CreateCustomChannel("unix:" + socket_path, grpc::InsecureChannelCredentials(),
                                   arguments);
}

}  // namespace signet::identity
