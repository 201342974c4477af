#include "net/admin_server.h"

#include <fmt/format.h>
#include <netinet/in.h>

#include "base/open_metrics.h"
#include "net/http_server.h"

namespace signet::net {
namespace {

std::string HealthBody(bool ok, const std::vector<std::string>& problems) {
  std::string body = fmt::format("{{\"ok\":{},\"problems\":[", ok);
  for (std::size_t i = 0; i < problems.size(); ++i)
    body += (i == 0 ? "" : ",") + JsonString(problems[i]);
  return body + "]}\n";
}

HttpResponse Refusal(int status, std::string_view problem) {
  return {status, "application/json", HealthBody(false, {std::string(problem)})};
}

bool IsAnyAddress(const SocketAddress& local) {
  if (local.family() == AF_INET)
    return reinterpret_cast<const sockaddr_in&>(local.storage).sin_addr.s_addr == INADDR_ANY;
  return local.family() == AF_INET6 &&
         IN6_IS_ADDR_UNSPECIFIED(&reinterpret_cast<const sockaddr_in6&>(local.storage).sin6_addr);
}

std::uint16_t PortOf(const SocketAddress& local) {
  // The port is at the same place for both families.
  return ntohs(reinterpret_cast<const sockaddr_in&>(local.storage).sin_port);
}

}  // namespace

struct AdminServer::State {
  State(std::function<Health()> health_source, MetricsText metric_source)
      : health(std::move(health_source)), metrics(std::move(metric_source)) {}

  Status Open(const Address& address, const Clock& clock);
  HttpResponse Answer(HeadStatus status, const HttpRequest& request) const;

  const std::function<Health()> health;
  const MetricsText metrics;
  SystemClock system_clock;
  std::string own_host;
  bool any_address = false;
  std::uint16_t port = 0;
  std::unique_ptr<HttpServer> server;
};

HttpResponse AdminServer::State::Answer(HeadStatus status, const HttpRequest& request) const {
  if (status == HeadStatus::kTooLarge) return Refusal(431, "the request is too large");
  if (status == HeadStatus::kMalformed || request.host.empty())
    return Refusal(400, "no well-formed HTTP/1.1 request with a Host");
  if (!IsOwnHost(request.host, own_host, any_address))
    return Refusal(421, "the Host header names another machine; use localhost or the address");
  if (request.path != "/live" && request.path != "/ready" && request.path != "/metrics")
    return Refusal(404, "there are /live, /ready and /metrics");
  if (request.method != "GET" && request.method != "HEAD")
    return Refusal(405, "only GET and HEAD are answered");
  if (request.path == "/metrics") {
    const bool open = AcceptsOpenMetrics(request.accept);
    return {200, std::string(open ? kOpenMetricsType : kPrometheusType), metrics(open)};
  }
  const Health now = health();
  const bool ok = request.path == "/live" ? now.live : now.live && now.ready;
  return {ok ? 200 : 503, "application/json", HealthBody(ok, now.problems)};
}

AdminServer::AdminServer(std::unique_ptr<State> state) : state_(std::move(state)) {}

Status AdminServer::State::Open(const Address& address, const Clock& clock) {
  SIGNET_TRY(UniqueFd listener, ListenTcp(address));
  SIGNET_TRY(const SocketAddress local, LocalAddress(listener.get()));
  own_host = address.host;
  any_address = IsAnyAddress(local);
  port = PortOf(local);
  SIGNET_TRY(server, HttpServer::Start(
                         std::move(listener),
                         [this](HeadStatus status, const HttpRequest& request) {
                           return Answer(status, request);
                         },
                         clock));
  return {};
}

namespace {

MetricsText TextOf(const Metrics& metrics) {
  return [&metrics](bool open_metrics) {
    return open_metrics ? ToOpenMetrics(metrics.Text()) : metrics.Text();
  };
}

}  // namespace

Result<std::unique_ptr<AdminServer>> AdminServer::Start(const Address& address,
                                                        std::function<Health()> health,
                                                        const Metrics& metrics,
                                                        const Clock& clock) {
  auto state = std::make_unique<State>(std::move(health), TextOf(metrics));
  SIGNET_RETURN_IF_ERROR(state->Open(address, clock));
  return std::unique_ptr<AdminServer>(new AdminServer(std::move(state)));
}

Result<std::unique_ptr<AdminServer>> AdminServer::Start(const Address& address,
                                                        std::function<Health()> health,
                                                        const Metrics& metrics) {
  return Start(address, std::move(health), TextOf(metrics));
}

Result<std::unique_ptr<AdminServer>> AdminServer::Start(const Address& address,
                                                        std::function<Health()> health,
                                                        MetricsText metrics) {
  auto state = std::make_unique<State>(std::move(health), std::move(metrics));
  SIGNET_RETURN_IF_ERROR(state->Open(address, state->system_clock));
  return std::unique_ptr<AdminServer>(new AdminServer(std::move(state)));
}

AdminServer::~AdminServer() = default;

std::uint16_t AdminServer::port() const { return state_->port; }

}  // namespace signet::net
