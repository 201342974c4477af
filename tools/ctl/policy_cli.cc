#include <CLI/CLI.hpp>

#include <memory>

#include "tools/ctl/policy_commands.h"

namespace signet::ctl {
namespace {

struct Parsed {
  std::string file;
  std::string junit;
  ExplainOptions explain;
};

void AddFile(CLI::App* command, std::string* place) {
  command->add_option("file", *place, "A rules file, or a proxy's configuration")
      ->type_name("FILE")
      ->required();
}

void AddExplainOptions(CLI::App* explain, ExplainOptions* options) {
  explain->add_option("--log", options->log, "Show what this log says of the refusal")
      ->type_name("FILE");
  explain->add_option("--listener", options->listener, "inbound/NAME, when there are several")
      ->type_name("NAME");
  explain->add_option("--caller", options->caller, "SPIFFE ID")->type_name("ID");
  explain->add_option("--source", options->source, "Address of the caller")->type_name("IP");
  explain->add_option("--port", options->port, "Port of the listener")->type_name("N");
  explain->add_option("--method", options->method, "HTTP method")->capture_default_str();
  explain->add_option("--path", options->path, "Path as forwarded")->capture_default_str();
  explain->add_option("--host", options->host, "Host as forwarded")->capture_default_str();
  explain->add_flag("--grpc", options->grpc, "It is a gRPC request");
  explain->add_option("--header", options->headers, "A header; repeatable")
      ->type_name("'NAME: VALUE'");
  explain->add_option("--claim", options->claims, "A claim of the JWT-SVID; repeatable")
      ->type_name("NAME=VALUE");
}

}  // namespace

void AddPolicyCommands(CLI::App* app, Session* session, int* exit_code) {
  CLI::App* policy = app->add_subcommand("policy", "Rules of proxies: files on this machine");
  policy->require_subcommand(1);
  const auto parsed = std::make_shared<Parsed>();
  CLI::App* check = policy->add_subcommand(
      "check", "Tell every problem of a file; exit code 2 when there is one");
  check->callback([=] { *exit_code = CheckPolicy(*session, parsed->file); });
  AddFile(check, &parsed->file);
  CLI::App* test =
      policy->add_subcommand("test", "Run the test cases in a file; exit code 1 when one fails");
  test->callback([=] { *exit_code = TestPolicy(*session, parsed->file, parsed->junit); });
  AddFile(test, &parsed->file);
  test->add_option("--junit", parsed->junit, "Also write the outcome as JUnit XML")
      ->type_name("FILE");
  CLI::App* explain =
      policy->add_subcommand("explain", "Say which rule decides over a request, or made a refusal");
  explain->callback([=] { *exit_code = ExplainPolicy(*session, parsed->explain); });
  AddFile(explain, &parsed->explain.file);
  explain->add_option("id", parsed->explain.refusal_id, "A refusal's id, from the log")
      ->type_name("ID");
  AddExplainOptions(explain, &parsed->explain);
}

}  // namespace signet::ctl
