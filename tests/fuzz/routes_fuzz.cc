// A file of routes and a request out of any bytes: the file is read or refused, the compiled table
// chooses as the obvious evaluator does, and what a rule makes of the request is a target and a
// Location that carry no control character. The input is lines of a request, an empty line, the
// file.
#include <vector>

#include "base/check.h"
#include "mesh/routes/route_action.h"
#include "mesh/routes/traffic.h"
#include "tests/support/reference_routes.h"

using namespace signet;        // NOLINT: a fuzz target is a program of its own
using namespace signet::mesh;  // NOLINT

namespace {

std::string_view TakeLine(std::string_view* text) {
  const std::string_view line = text->substr(0, text->find('\n'));
  text->remove_prefix(std::min(text->size(), line.size() + 1));
  return line;
}

void CheckActions(const RouteChoice& choice, const RequestFacts& facts) {
  const RouteRule& rule = *choice.rule;
  if (rule.rewrite) {
    const std::string target = EditTarget(rule.rewrite->path, *choice.match, facts.path);
    CHECK_TRUE(rule.rewrite->path.type == PathEdit::Type::kKeep || target.starts_with('/'));
  }
  if (rule.redirect) {
    const std::string location =
        RedirectLocation(*rule.redirect, *choice.match, "http", facts.host, facts.path);
    CHECK_TRUE(location.find("\r") == std::string::npos ||
               facts.path.find('\r') != std::string_view::npos ||
               facts.host.find('\r') != std::string_view::npos);
  }
  CHECK_TRUE((PickBackend(rule, 12345) == nullptr) == (rule.total_weight == 0));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  RequestFacts facts;
  facts.method = TakeLine(&text);
  facts.path = TakeLine(&text);
  facts.host = TakeLine(&text);
  std::vector<NameValue> headers;
  for (std::string_view line = TakeLine(&text); !line.empty(); line = TakeLine(&text)) {
    const std::size_t colon = line.find(':');
    if (colon != std::string_view::npos)
      headers.push_back({line.substr(0, colon), line.substr(colon + 1)});
  }
  facts.headers = headers;
  ConfigProblems problems;
  ConfigMap root = ConfigMap::Parse(text, "fuzz.yaml", &problems);
  const Traffic traffic = ReadTraffic(root, {"outbound/x", "outbound[0]", true, true}, &problems);
  if (!problems.empty() || !traffic.routes) return 0;
  const RouteChoice choice = traffic.routes->Choose(facts);
  const test::ReferenceRoute expected = test::ReferenceChoose(traffic.routes->routes(), facts);
  CHECK_TRUE(choice.verdict == expected.verdict);
  if (choice.verdict != RouteVerdict::kFound) return 0;
  CHECK_TRUE(choice.rule->name == expected.rule);
  CheckActions(choice, facts);
  return 0;
}
