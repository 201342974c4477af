// The CLI as a workload: a client of the agent's Workload API.
#pragma once

#include <memory>
#include <string>

#include "spiffe/workload.grpc.pb.h"
#include "tools/ctl/client.h"

namespace signet::ctl {

class WorkloadClient {
 public:
  // `address` is a path, or as SPIFFE_ENDPOINT_SOCKET has it; `timeout` such as "5s". Fails at
  // once, with what to do, when either is malformed or nobody answers.
  static Result<WorkloadClient> Open(const std::string& address, const std::string& timeout);

  SpiffeWorkloadAPI::Stub& stub() { return *stub_; }
  // With the deadline and the header that the Workload API asks for.
  std::unique_ptr<grpc::ClientContext> NewCall() const;
  // The same without a deadline: for streams that stay.
  std::unique_ptr<grpc::ClientContext> NewStream() const;

 private:
  WorkloadClient(const std::shared_ptr<grpc::Channel>& channel, std::chrono::milliseconds timeout)
      : stub_(SpiffeWorkloadAPI::NewStub(channel)), timeout_(timeout) {}
  std::unique_ptr<SpiffeWorkloadAPI::Stub> stub_;
  std::chrono::milliseconds timeout_;
};

// As ReportStatus(), with what to do about the refusals of the Workload API.
int ReportWorkloadStatus(const grpc::Status& status, std::string_view doing);

}  // namespace signet::ctl
