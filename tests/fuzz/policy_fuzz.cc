// A policy file and a request out of any bytes: the file is read or refused, and the compiled
// policy decides as the obvious evaluator does. The input is lines of a request, an empty line, the
// file.
#include <vector>

#include "base/check.h"
#include "mesh/policy_file.h"
#include "tests/support/reference_policy.h"

using namespace signet;        // NOLINT: a fuzz target is a program of its own
using namespace signet::mesh;  // NOLINT

namespace {

std::string_view TakeLine(std::string_view* text) {
  const std::string_view line = text->substr(0, text->find('\n'));
  text->remove_prefix(std::min(text->size(), line.size() + 1));
  return line;
}

void CheckDecision(const RequestPolicy& policy, const RequestFacts& facts) {
  const Decision decision = policy.Decide(facts);
  const Verdict expected = test::ReferenceDecide(policy.rules(), false, facts);
  CHECK_TRUE(decision.verdict == expected);
  CHECK_TRUE(decision.shadow.differs ==
             (test::ReferenceDecide(policy.rules(), true, facts) != expected));
  CHECK_TRUE(decision.rule == nullptr || decision.rule->mode == RuleMode::kEnforce);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  RequestFacts facts;
  const auto caller = identity::SpiffeId::Parse(TakeLine(&text));
  if (caller) facts.caller = &*caller;
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
  facts.claims = headers;
  facts.grpc = facts.method == "POST";
  ConfigProblems problems;
  const PolicyFile file = PolicyFile::Parse(text, "fuzz.yaml", &problems);
  for (const PolicyListener& listener : file.listeners)
    if (problems.empty()) CheckDecision(listener.policy, facts);
  (void)CheckCanonicalPath(PathOf(facts.path));
  return 0;
}
