#include "identity/workload/fetch_identity.h"

#include "base/log.h"
#include "identity/workload/agent_channel.h"
#include "spiffe/workload.grpc.pb.h"

namespace signet::identity {
namespace {

constexpr int kMaxAnswerBytes = 16 << 20;
constexpr std::size_t kMaxMessage = 512;

Error Failed(const grpc::Status& status, const std::string& socket_path) {
  std::string detail = socket_path + ": " + EscapeForLog(status.error_message(), kMaxMessage);
  if (status.error_code() == grpc::PERMISSION_DENIED)
    detail += "; is there an entry whose selectors this process has?";
  return Error{static_cast<Code>(status.error_code()), kWorkloadApiFailed, std::move(detail)};
}

}  // namespace

Result<WorkloadIdentity> FetchWorkloadIdentity(const std::string& socket_path,
                                               grpc::ClientContext& context, const Clock& clock) {
  context.AddMetadata("workload.spiffe.io", "true");
  const auto stub = SpiffeWorkloadAPI::NewStub(DialAgent(socket_path, kMaxAnswerBytes));
  const auto reader = stub->FetchX509SVID(&context, X509SVIDRequest());
  X509SVIDResponse response;
  if (!reader->Read(&response)) {
    const grpc::Status ended = reader->Finish();
    if (!ended.ok()) return Fail(Failed(ended, socket_path));
    return Fail(Code::kUnavailable, kWorkloadApiFailed,
                socket_path + ": the stream ended without an answer");
  }
  auto workload = ReadX509SvidResponse(&response, clock.Now());
  context.TryCancel();
  reader->Finish();
  return workload;
}

}  // namespace signet::identity
