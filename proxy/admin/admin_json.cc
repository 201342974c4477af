#include "proxy/admin/admin_json.h"

#include "proxy/telemetry/json_members.h"

namespace signet::proxy {
namespace {

template <class Items, class ToJson>
std::string ArrayOf(const Items& items, ToJson to_json) {
  std::vector<std::string> texts;
  for (const auto& item : items) texts.push_back(to_json(item));
  return JsonArray(texts);
}

std::string RequestJson(const LiveRequest& request) {
  std::string out;
  JsonMembers members(&out);
  members.Text("method", request.method);
  members.Text("host", request.host);
  members.Text("path", request.path);
  members.Seconds("seconds", request.age);
  members.Raw("answering", request.answering ? "true" : "false");
  members.End();
  return out;
}

std::string ConnectionJson(const LiveConnection& connection) {
  std::string out;
  JsonMembers members(&out);
  members.Text("direction", DirectionName(connection.direction));
  members.Text("listener", connection.listener);
  members.Text("phase", connection.phase);
  members.Text("caller", connection.caller);
  members.Text("callee", connection.callee);
  members.Text("remote", connection.remote);
  members.Number("received", connection.received);
  members.Number("sent", connection.sent);
  members.Seconds("seconds", connection.age);
  members.Raw("requests", ArrayOf(connection.requests, RequestJson));
  members.End();
  return out;
}

std::string ListenerJson(const ListenerConfig& listener) {
  std::string out;
  JsonMembers members(&out);
  members.Text("direction", DirectionName(listener.direction));
  members.Text("name", listener.name);
  members.Text("listen", listener.listen_text);
  members.Text("forward", listener.forward.ToString());
  members.Text("protocol", ProtocolName(listener.protocol));
  members.Number("rules", listener.policy.rules().size());
  members.Text("rules_at", listener.policy_place);
  members.End();
  return out;
}

std::string LimitsJson(const LimitsConfig& limits) {
  std::string out;
  JsonMembers members(&out);
  members.Number("connections", limits.connections);
  members.Number("per_peer", limits.per_peer);
  members.Number("handshakes", limits.handshakes);
  members.Number("handshakes_per_address", limits.handshakes_per_address);
  members.Text("handshake_deadline", FormatDuration(limits.handshake_deadline));
  members.Text("idle", FormatDuration(limits.idle));
  members.Text("connect_timeout", FormatDuration(limits.connect_timeout));
  members.Text("drain", FormatDuration(limits.drain));
  members.End();
  return out;
}

std::string IdentityJson(const IdentitySnapshot& identity) {
  std::string out;
  JsonMembers members(&out);
  members.Text("id", identity.id.ToString());
  members.Text("serial", identity.tls.chain.front().SerialHex());
  members.Text("valid_until", FormatTime(identity.valid_until));
  members.Raw("trust_domains", ArrayOf(identity.bundles, [](const auto& each) {
                return "\"" + EscapeForLog(each.first.name()) + "\"";
              }));
  members.End();
  return out;
}

}  // namespace

std::string ProblemJson(std::string_view problem) {
  std::string out;
  JsonMembers members(&out);
  members.Text("problem", problem);
  members.End();
  return out;
}

std::string ConnectionsJson(const std::vector<LiveConnection>& connections) {
  return ArrayOf(connections, ConnectionJson);
}

std::string ConfigJson(const ProxyConfig& config, const IdentitySnapshot* identity) {
  std::string out;
  JsonMembers members(&out);
  members.Text("file", config.files.front());
  if (identity != nullptr) members.Raw("identity", IdentityJson(*identity));
  members.Text("workload_api", config.workload_api);
  members.Raw("listeners", ArrayOf(config.listeners, ListenerJson));
  members.Raw("limits", LimitsJson(config.limits));
  members.Text("metrics", config.metrics ? config.metrics->ToString() : "");
  members.Text("access_log", config.telemetry.access_log);
  members.Text("otlp", config.telemetry.otlp);
  members.End();
  return out;
}

}  // namespace signet::proxy
