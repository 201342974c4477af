#include <CLI/CLI.hpp>

#include <memory>

#include "tools/ctl/proxy_client.h"
#include "tools/ctl/proxy_commands.h"

namespace signet::ctl {
namespace {

constexpr const char* kFooter = R"(Examples:
  signet proxy stat
  signet proxy top --interval 5s --direction inbound
  signet proxy tap --peer 'spiffe://example.org/shop*' --status 5xx
  signet proxy tap --path '/orders/*' --count 10 -o json
  signet proxy connections --listener web
  signet proxy config --admin-socket /run/signet/proxy/admin.sock)";

struct Parsed {
  ProxyOptions options;
  std::string socket = kDefaultProxySocket;
};
using Run = int (*)(const Session&, const ProxyOptions&);

void AddFilters(CLI::App* command, ProxyOptions* options) {
  command->add_option("--direction", options->direction, "inbound or outbound")->type_name("WORD");
  command->add_option("--listener", options->listener, "Only of this listener")->type_name("NAME");
  command->add_option("--peer", options->peer, "Only of this SPIFFE ID; 'ID*': that begin so")
      ->type_name("ID");
}

void AddTapOptions(CLI::App* tap, ProxyOptions* options) {
  tap->add_option("--method", options->method, "Only of this method")->type_name("WORD");
  tap->add_option("--path", options->path, "Only of this path; '/a/*': below it")
      ->type_name("PATH");
  tap->add_option("--status", options->status, "Only with this status, such as 403 or 5xx")
      ->type_name("STATUS");
  tap->add_option("--count", options->count, "So many records; 0: until interrupted");
}

}  // namespace

void AddProxyCommands(CLI::App* app, Session* session, int* exit_code) {
  CLI::App* proxy = app->add_subcommand("proxy", "What a proxy on this machine is doing");
  proxy->require_subcommand(1);
  proxy->footer(kFooter);
  const auto parsed = std::make_shared<Parsed>();
  const auto command = [&](const char* name, const char* about, Run run) {
    CLI::App* made = proxy->add_subcommand(name, about);
    made->callback([=] {
      session->server.socket = parsed->socket;
      *exit_code = run(*session, parsed->options);
    });
    made->add_option("--admin-socket", parsed->socket, "The proxy's setting `admin`")
        ->type_name("PATH")
        ->capture_default_str();
    return made;
  };
  AddFilters(command("stat", "Requests by listener, peer and route since the start", ShowProxyStat),
             &parsed->options);
  CLI::App* top = command("top", "The same a second, the most first", ShowProxyTop);
  AddFilters(top, &parsed->options);
  top->add_option("--interval", parsed->options.interval, "What is counted at a time")
      ->type_name("DURATION")
      ->capture_default_str();
  top->add_option("--count", parsed->options.count, "So many times; 0: until interrupted");
  CLI::App* tap =
      command("tap", "Requests and connections as they end; nothing of a body", TapProxy);
  AddFilters(tap, &parsed->options);
  AddTapOptions(tap, &parsed->options);
  AddFilters(
      command("connections", "Connections, and requests in progress on them", ListProxyConnections),
      &parsed->options);
  command("config", "The configuration in force",
          [](const Session& asked, const ProxyOptions&) { return ShowProxyConfig(asked); });
}

}  // namespace signet::ctl
