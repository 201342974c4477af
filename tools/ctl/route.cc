#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "mesh/routes/route_file.h"
#include "tools/ctl/cases.h"
#include "tools/ctl/route_commands.h"

namespace signet::ctl {
namespace {

using Json = nlohmann::ordered_json;
using mesh::RouteFile;

constexpr Reason kNoSuchRoutes{"no routes of such a listener"};

struct RouteOptions {
  std::string file;
  std::string junit;
  std::string listener;
  std::string method = "GET";
  std::string path = "/";
  std::string host = "localhost";
  std::vector<std::string> headers;  // "name: value"
};

int CheckRoutes(const Session& session, const RouteOptions& options) {
  ConfigProblems problems;
  const RouteFile file = RouteFile::Load(options.file, &problems);
  if (!problems.empty()) return ReportProblems(session, problems);
  Json listeners = Json::array();
  std::size_t all = 0;
  for (const mesh::RouteListener& listener : file.listeners) {
    std::size_t rules = 0;
    if (listener.traffic.routes)
      for (const mesh::HttpRoute& route : listener.traffic.routes->routes())
        rules += route.rules.size();
    all += rules;
    listeners.push_back({{"name", listener.name},
                         {"rules", rules},
                         {"backends", listener.traffic.backends.size()}});
  }
  if (session.format == Format::kJson)
    Print(Json{{"problems", Json::array()}, {"listeners", listeners}}.dump(2) + "\n");
  else
    Print(fmt::format("{} rules of {} listeners, {} tests: no problem\n", all,
                      file.listeners.size(), file.tests.size()));
  return kOk;
}

int TestRoutes(const Session& session, const RouteOptions& options) {
  ConfigProblems problems;
  const RouteFile file = RouteFile::Load(options.file, &problems);
  if (!problems.empty()) return ReportProblems(session, problems);
  std::vector<CaseOutcome> outcomes;
  for (const mesh::RouteTest& test : file.tests)
    outcomes.push_back({test.name, test.file, test.line, mesh::RunTest(test, file)});
  return ReportCases(session, options.file, options.junit, outcomes);
}

int ExplainRoute(const Session& session, const RouteOptions& options) {
  constexpr std::string_view kDoing = "route explain";
  ConfigProblems problems;
  const RouteFile file = RouteFile::Load(options.file, &problems);
  if (!problems.empty()) return ReportProblems(session, problems);
  const mesh::RouteListener* listener = file.Find(options.listener);
  if (listener == nullptr)
    return ReportError(
        {Code::kInvalidArgument, kNoSuchRoutes,
         options.listener.empty() ? "there is not exactly one: give --listener" : options.listener},
        kDoing);
  auto headers = ReadPairs(options.headers, ':');
  if (!headers) return ReportError(headers.error(), kDoing);
  const mesh::WrittenRouteRequest request{options.method, options.path, options.host,
                                          *std::move(headers)};
  const mesh::RouteChoice choice = request.ChooseBy(listener->traffic);
  const std::vector<std::string> said = mesh::Explain(choice);
  if (session.format == Format::kJson) {
    Json rule = nullptr;
    if (choice.rule != nullptr)
      rule = {
          {"name", choice.rule->name}, {"file", choice.rule->file}, {"line", choice.rule->line}};
    Print(Json{{"listener", listener->name},
               {"outcome", mesh::RouteVerdictName(choice.verdict)},
               {"rule", rule},
               {"explanation", said}}
              .dump(2) +
          "\n");
    return kOk;
  }
  for (const std::string& each : said) Print(each + "\n");
  return kOk;
}

}  // namespace

void AddRouteCommands(CLI::App* app, Session* session, int* exit_code) {
  CLI::App* route = app->add_subcommand("route", "Routes of proxies: files on this machine");
  route->require_subcommand(1);
  const auto options = std::make_shared<RouteOptions>();
  const auto add = [&](const std::string& name, const std::string& what, auto run) {
    CLI::App* command = route->add_subcommand(name, what);
    command->callback([=] { *exit_code = run(*session, *options); });
    command->add_option("file", options->file, "A rules file, or a proxy's configuration")
        ->type_name("FILE")
        ->required();
    return command;
  };
  add("check", "Tell every problem of a file; exit code 2 when there is one", CheckRoutes);
  add("test", "Run the route_tests in a file; exit code 1 when one fails", TestRoutes)
      ->add_option("--junit", options->junit, "Also write the outcome as JUnit XML")
      ->type_name("FILE");
  CLI::App* explain =
      add("explain", "Say which rule takes a request, and what it does", ExplainRoute);
  explain->add_option("--listener", options->listener, "outbound/NAME, when there are several")
      ->type_name("NAME");
  explain->add_option("--method", options->method, "HTTP method")->capture_default_str();
  explain->add_option("--path", options->path, "Path with its query")->capture_default_str();
  explain->add_option("--host", options->host, "Host as it was sent")->capture_default_str();
  explain->add_option("--header", options->headers, "A header; repeatable")
      ->type_name("'NAME: VALUE'");
}

}  // namespace signet::ctl
