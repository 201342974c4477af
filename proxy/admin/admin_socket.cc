#include "proxy/admin/admin_socket.h"

#include <unistd.h>

#include <charconv>

#include "net/peer_credentials.h"
#include "proxy/admin/admin_json.h"

namespace signet::proxy {
namespace {

constexpr std::string_view kTapFrom = "/tap/";

net::HttpResponse Problem(int status, std::string_view problem) {
  return {status, "application/json", ProblemJson(problem)};
}

// The file's mode says it already; the kernel's word counts also when somebody changed that.
bool IsOwnUser(int socket) {
  const auto peer = net::ReadPeerCredentials(socket);
  return peer && (peer->uid == ::geteuid() || peer->uid == 0);
}

}  // namespace

Result<std::unique_ptr<AdminSocket>> AdminSocket::Start(const std::string& path, Proxy& proxy,
                                                        const Clock& clock) {
  SIGNET_TRY(UniqueFd listener, net::ListenUnix(path, {0600, -1, -1}));
  std::unique_ptr<AdminSocket> made(new AdminSocket(path, proxy));
  SIGNET_TRY(made->server_,
             net::HttpServer::Start(
                 std::move(listener),
                 [raw = made.get()](net::HeadStatus status, const net::HttpRequest& request) {
                   return raw->Answer(status, request);
                 },
                 IsOwnUser, clock));
  return made;
}

AdminSocket::~AdminSocket() {
  server_.reset();
  net::RemoveSocketFile(path_);
}

net::HttpResponse AdminSocket::Answer(net::HeadStatus status,
                                      const net::HttpRequest& request) const {
  if (status != net::HeadStatus::kComplete)
    return Problem(status == net::HeadStatus::kTooLarge ? 431 : 400, "no HTTP/1.1 request");
  if (request.method != "GET") return Problem(405, "only GET is answered");
  const std::string_view path = request.path;
  if (path == "/config") return {200, "application/json", proxy_.ConfigJson()};
  if (path == "/connections")
    return {200, "application/json", ConnectionsJson(proxy_.LiveConnections())};
  if (path == "/series") return {200, "application/json", proxy_.telemetry().SeriesJson()};
  Tap& tap = *proxy_.telemetry().tap();
  if (path == "/tap") return {200, "application/json", tap.Since(tap.Begin())};
  if (path.starts_with(kTapFrom)) {
    const std::string_view text = path.substr(kTapFrom.size());
    std::uint64_t next = 0;
    const auto read = std::from_chars(text.data(), text.data() + text.size(), next);
    if (read.ec == std::errc() && read.ptr == text.data() + text.size())
      return {200, "application/json", tap.Since(next)};
  }
  return Problem(404, "there are /config, /connections, /series, /tap and /tap/NUMBER");
}

}  // namespace signet::proxy
