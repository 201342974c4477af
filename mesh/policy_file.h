// A file of rules read apart from any proxy: for checking it, for running the test cases in it, and
// for finding what a refusal's id stands for. It is a proxy's rules file, or the proxy's whole
// configuration with the rules file it names; of the latter only the rules are looked at.
//
// Threads: values; a PolicyFile is immutable once loaded.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/config.h"
#include "mesh/request_policy.h"

namespace signet::mesh {

// The rules of one listener.
struct PolicyListener {
  std::string name;  // "inbound/web"
  RequestPolicy policy;
  std::string file;
  int line = 0;
};

// A request as it is written down: what RequestFacts views.
struct WrittenRequest {
  identity::SpiffeId caller;
  IpAddress source;
  std::uint16_t port = 0;
  std::string method;
  std::string path;
  std::string host;
  bool grpc = false;
  std::vector<std::pair<std::string, std::string>> headers;
  std::vector<std::pair<std::string, std::string>> claims;

  // Decides over it.
  Decision DecideBy(const RequestPolicy& policy) const;
};

// One element of `tests`.
struct PolicyTest {
  std::string name;
  std::string listener;
  WrittenRequest request;
  Verdict expect = Verdict::kDeny;
  std::string rule;                // that must decide; empty: any
  std::optional<Verdict> audited;  // what audit rules would make of it; absent: not asked
  std::string file;
  int line = 0;
};

struct PolicyFile {
  std::vector<PolicyListener> listeners;
  std::vector<PolicyTest> tests;

  // Every problem of `path`, and of the rules file it names, is told.
  static PolicyFile Load(const std::string& path, ConfigProblems* problems);
  static PolicyFile Parse(std::string_view text, const std::string& name, ConfigProblems* problems);

  // Null: none. "web" stands for "inbound/web"; empty for the only one there is.
  const PolicyListener* Find(std::string_view listener) const;
};

// How one test came out; empty: it holds.
std::string RunTest(const PolicyTest& test, const PolicyFile& file);

// What a refusal's id, or the part of it before the dash, stands for: each element says it in one
// sentence ("denied by <rule> (file:line)", …). Empty: nothing in the file.
std::vector<std::string> ExplainId(std::string_view refusal_id, const PolicyFile& file);

std::string_view VerdictName(Verdict verdict);  // "deny", "allow", "malformed"

}  // namespace signet::mesh
