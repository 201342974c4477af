// The CLI's side of the server's admin socket and of the agent's Workload API socket.
#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>
#include <string>

#include "base/result.h"

namespace signet::ctl {

// Exit codes, documented in `signet --help`.
enum ExitCode : int {
  kOk = 0,
  kFailed = 1,
  kUsage = 2,
  kUnreachable = 3,
  kNotFound = 4,
  kDenied = 5
};

struct Connection {
  std::string socket;
  std::chrono::milliseconds timeout{10000};
};

// A channel to a Unix socket. Fails at once, with what to do, when the socket is not there or
// nobody answers.
Result<std::shared_ptr<grpc::Channel>> OpenChannel(const Connection& connection,
                                                   std::string_view peer);

// A context with the connection's deadline.
std::unique_ptr<grpc::ClientContext> NewCall(const Connection& connection);

// Prints "signet: <doing>: <why>" and a next step, and answers the exit code for it.
int ReportStatus(const grpc::Status& status, std::string_view doing);
int ReportError(const Error& error, std::string_view doing);

}  // namespace signet::ctl
