#include "proxy/telemetry/counters.h"

#include <fmt/format.h>

namespace signet::proxy {
namespace {

const std::vector<double> kHandshakeBounds = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
                                              0.05,   0.1,   0.25,   1,     2.5,  10};

Histogram& HandshakeHistogram(Metrics& metrics, Direction direction) {
  return metrics.Histogram("signet_proxy_handshake_seconds",
                           "Time of completed TLS handshakes, verification of the peer included.",
                           kHandshakeBounds,
                           {{"direction", std::string(DirectionName(direction))}});
}

// What RefusalOf() answers.
constexpr std::array kHandshakeFailures = {
    Refusal::kHandshakeFailed,    Refusal::kNoClientCertificate,
    Refusal::kCertificateExpired, Refusal::kCertificateUntrusted,
    Refusal::kCertificateInvalid, Refusal::kUnexpectedPeer,
    Refusal::kNoIdentity};

MetricLabels With(MetricLabels labels, const std::string& key, std::string_view value) {
  labels[key] = std::string(value);
  return labels;
}

}  // namespace

std::uint64_t ListenerCounters::Active() const {
  std::uint64_t closed = 0;
  for (std::size_t i = 0; i < kEndingCount; ++i)
    closed += Sum([i](const Cell& cell) -> const Tally& { return cell.closed[i]; });
  const std::uint64_t opened = Sum([](const Cell& cell) -> const Tally& { return cell.opened; });
  return opened > closed ? opened - closed : 0;
}

ProxyCounters::ProxyCounters(Metrics& metrics, std::size_t workers)
    : metrics_(metrics),
      workers_(workers),
      inbound_handshake_(HandshakeHistogram(metrics, Direction::kInbound)),
      outbound_handshake_(HandshakeHistogram(metrics, Direction::kOutbound)) {}

std::shared_ptr<ListenerCounters> ProxyCounters::OfListener(Direction direction,
                                                            const std::string& name) {
  const std::lock_guard lock(mutex_);
  auto& held = listeners_[{direction, name}];
  if (!held) {
    held = std::make_shared<ListenerCounters>(workers_);
    Export(held, {{"direction", std::string(DirectionName(direction))}, {"listener", name}});
  }
  return held;
}

void ProxyCounters::Export(const std::shared_ptr<ListenerCounters>& counters,
                           const MetricLabels& labels) {
  const auto counter = [&](const std::string& name, const std::string& help,
                           const MetricLabels& with, auto read) {
    metrics_.CounterFrom(
        name, help, [counters, read] { return static_cast<double>(counters->Sum(read)); }, with);
  };
  counter("signet_proxy_connections_opened_total", "Connections carried.", labels,
          [](const Cell& c) -> const Tally& { return c.opened; });
  for (std::size_t i = 0; i < kEndingCount; ++i)
    counter("signet_proxy_connections_closed_total", "Carried connections that ended, by reason.",
            With(labels, "reason", EndingName(static_cast<Ending>(i))),
            [i](const Cell& c) -> const Tally& { return c.closed[i]; });
  for (std::size_t i = 0; i < kRefusalCount; ++i)
    counter("signet_proxy_refused_total", "Connections refused, by reason.",
            With(labels, "reason", RefusalName(static_cast<Refusal>(i))),
            [i](const Cell& c) -> const Tally& { return c.refused[i]; });
  counter("signet_proxy_received_bytes_total",
          "Application bytes from the side that connected to the listener.", labels,
          [](const Cell& c) -> const Tally& { return c.received_bytes; });
  counter("signet_proxy_sent_bytes_total",
          "Application bytes to the side that connected to the listener.", labels,
          [](const Cell& c) -> const Tally& { return c.sent_bytes; });
  const std::string handshakes = "TLS handshakes, by result: \"ok\", or why it failed.";
  counter("signet_proxy_handshakes_total", handshakes, With(labels, "result", "ok"),
          [](const Cell& c) -> const Tally& { return c.handshakes_ok; });
  for (const Refusal why : kHandshakeFailures)
    counter("signet_proxy_handshakes_total", handshakes, With(labels, "result", RefusalName(why)),
            [why](const Cell& c) -> const Tally& {
              return c.handshakes_failed[static_cast<std::size_t>(why)];
            });
  counter("signet_proxy_accept_errors_total", "accept() calls that failed.", labels,
          [](const Cell& c) -> const Tally& { return c.accept_errors; });
  counter("signet_proxy_accept_pauses_total",
          "Times accepting was paused because descriptors or memory ran out.", labels,
          [](const Cell& c) -> const Tally& { return c.accept_pauses; });
  counter("signet_proxy_requests_total", "HTTP requests whose head was read.", labels,
          [](const Cell& c) -> const Tally& { return c.requests; });
  counter("signet_proxy_requests_malformed_total", "HTTP requests refused as malformed.", labels,
          [](const Cell& c) -> const Tally& { return c.requests_malformed; });
  for (std::size_t i = 0; i < kRequestEndCount; ++i)
    counter("signet_proxy_requests_ended_total", "HTTP requests that ended, by how.",
            With(labels, "how", RequestEndName(static_cast<RequestEnd>(i))),
            [i](const Cell& c) -> const Tally& { return c.request_ends[i]; });
  for (std::size_t i = 1; i < 6; ++i)
    counter("signet_proxy_responses_total", "HTTP answers, by class of status.",
            With(labels, "class", fmt::format("{}xx", i)),
            [i](const Cell& c) -> const Tally& { return c.responses[i]; });
  counter("signet_proxy_retries_total", "HTTP requests sent again as a route asks.", labels,
          [](const Cell& c) -> const Tally& { return c.retries; });
  counter("signet_proxy_ejections_total", "Times an endpoint was left out for a while.", labels,
          [](const Cell& c) -> const Tally& { return c.ejections; });
  metrics_.GaugeFrom(
      "signet_proxy_connections_active", "Connections being carried.",
      [counters] { return static_cast<double>(counters->Active()); }, labels);
}

}  // namespace signet::proxy
