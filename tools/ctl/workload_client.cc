#include "tools/ctl/workload_client.h"

#include <cstdio>

#include "base/config.h"
#include "tools/ctl/workload_endpoint.h"

namespace signet::ctl {

Result<WorkloadClient> WorkloadClient::Open(const std::string& address,
                                            const std::string& timeout) {
  const auto wait = ParseDuration(timeout);
  if (!wait) return Fail(Code::kInvalidArgument, {}, "--timeout is no duration such as 5s");
  const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(*wait);
  std::string target = "unix:" + address;
  if (!address.starts_with("/")) {
    SIGNET_TRY(target, ParseWorkloadEndpoint(address));
  }
  constexpr std::string_view kUnix = "unix:";
  if (target.starts_with(kUnix)) {
    SIGNET_TRY(auto channel,
               OpenChannel({target.substr(kUnix.size()), milliseconds}, "signet-agent"));
    return WorkloadClient(channel, milliseconds);
  }
  return WorkloadClient(grpc::CreateChannel(target, grpc::InsecureChannelCredentials()),
                        milliseconds);
}

std::unique_ptr<grpc::ClientContext> WorkloadClient::NewStream() const {
  auto context = std::make_unique<grpc::ClientContext>();
  context->AddMetadata("workload.spiffe.io", "true");
  return context;
}

std::unique_ptr<grpc::ClientContext> WorkloadClient::NewCall() const {
  auto context = NewStream();
  context->set_deadline(std::chrono::system_clock::now() + timeout_);
  return context;
}

int ReportWorkloadStatus(const grpc::Status& status, std::string_view doing) {
  if (status.error_code() == grpc::PERMISSION_DENIED)
    std::fputs(
        "signet: no entry fits this process; compare its selectors with `signet entry show`\n",
        stderr);
  return ReportStatus(status, doing);
}

}  // namespace signet::ctl
