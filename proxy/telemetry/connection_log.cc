#include "proxy/telemetry/connection_log.h"

namespace signet::proxy {
namespace {

std::string_view OrDash(const std::string& text) {
  return text.empty() ? std::string_view("-") : std::string_view(text);
}

std::string RemoteText(const ConnectionFacts& facts) {
  return facts.remote == nullptr ? std::string("-") : facts.remote->ToString();
}

}  // namespace

void LogEnded(const Logger& log, const ConnectionFacts& facts, Ending ending,
              std::string_view detail) {
  if (log.level() > LogLevel::kInfo) return;  // before anything is formatted
  const double seconds = std::chrono::duration<double>(facts.duration).count();
  log.Info("connection ended", {{"direction", DirectionName(facts.direction)},
                                {"listener", facts.listener},
                                {"reason", EndingName(ending)},
                                {"peer", OrDash(facts.peer)},
                                {"own", OrDash(facts.own)},
                                {"remote", RemoteText(facts)},
                                {"received", facts.received_bytes},
                                {"sent", facts.sent_bytes},
                                {"seconds", fmt::format("{:.6f}", seconds)},
                                {"detail", detail}});
}

void LogRefused(const Logger& log, const ConnectionFacts& facts, Refusal refusal,
                std::string_view why, std::string_view rules) {
  if (log.level() > LogLevel::kWarn) return;
  log.Warn("connection refused", {{"direction", DirectionName(facts.direction)},
                                  {"listener", facts.listener},
                                  {"reason", RefusalName(refusal)},
                                  {"caller", OrDash(facts.peer)},
                                  {"own", OrDash(facts.own)},
                                  {"remote", RemoteText(facts)},
                                  {"why", why},
                                  {"rules", rules}});
}

}  // namespace signet::proxy
