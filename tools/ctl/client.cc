#include "tools/ctl/client.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "base/file.h"

namespace signet::ctl {
namespace {

constexpr Reason kNoAnswer{"no answer"};

// Tells the usual cases apart before gRPC makes one "unavailable" of them all.
Status ProbeSocket(const std::string& path, std::string_view peer) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return Fail(Code::kInvalidArgument, kNoAnswer,
                fmt::format("socket path {} has {} bytes; the system allows {}", path, path.size(),
                            sizeof address.sun_path - 1));
  path.copy(address.sun_path, path.size());
  const UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0)
    return {};
  switch (errno) {
    case ENOENT:
      return Fail(
          Code::kUnavailable, kNoAnswer,
          fmt::format("{} does not exist. Is {} running, and is this its socket?", path, peer));
    case ECONNREFUSED:
      return Fail(Code::kUnavailable, kNoAnswer,
                  fmt::format("nobody listens on {}. Start {}", path, peer));
    case EACCES:
      return Fail(
          Code::kPermissionDenied, kNoAnswer,
          fmt::format("this user may not open {}. Use sudo, or join the group that owns it", path));
    default:
      return Fail(Code::kUnavailable, kNoAnswer, fmt::format("{}: {}", path, ErrnoText(errno)));
  }
}

int ExitCodeFor(int code) {
  switch (static_cast<Code>(code)) {
    case Code::kNotFound:
      return kNotFound;
    case Code::kPermissionDenied:
    case Code::kUnauthenticated:
      return kDenied;
    case Code::kUnavailable:
    case Code::kDeadlineExceeded:
      return kUnreachable;
    case Code::kInvalidArgument:
      return kUsage;
    default:
      return kFailed;
  }
}

}  // namespace

Result<std::shared_ptr<grpc::Channel>> OpenChannel(const Connection& connection,
                                                   std::string_view peer) {
  SIGNET_RETURN_IF_ERROR(ProbeSocket(connection.socket, peer));
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, "localhost");
  return grpc::CreateCustomChannel("unix:" + connection.socket, grpc::InsecureChannelCredentials(),
                                   arguments);
}

std::unique_ptr<grpc::ClientContext> NewCall(const Connection& connection) {
  auto context = std::make_unique<grpc::ClientContext>();
  context->set_deadline(std::chrono::system_clock::now() + connection.timeout);
  return context;
}

int ReportStatus(const grpc::Status& status, std::string_view doing) {
  return ReportError(Error{static_cast<Code>(status.error_code()), {}, status.error_message()},
                     doing);
}

int ReportError(const Error& error, std::string_view doing) {
  std::fputs(
      fmt::format("signet: {}: {} [{}]\n", doing, error.Message(), CodeName(error.code)).c_str(),
      stderr);
  return ExitCodeFor(static_cast<int>(error.code));
}

}  // namespace signet::ctl
