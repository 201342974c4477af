#include <catch2/catch.hpp>
#include <initializer_list>
#include <vector>

#include "tools/ctl/commands.h"

namespace signet::ctl {
namespace {

int Run(std::initializer_list<const char*> words) {
  std::vector<char*> argv;
  for (const char* word : words) argv.push_back(const_cast<char*>(word));
  const SystemClock clock;
  return RunCli(static_cast<int>(argv.size()), argv.data(), clock);
}

TEST_CASE("wrong usage, nobody there and help each have their exit code") {
  CHECK(Run({"signet", "--help"}) == kOk);
  CHECK(Run({"signet", "version"}) == kOk);
  CHECK(Run({"signet"}) == kUsage);
  CHECK(Run({"signet", "entry", "create"}) == kUsage);
  CHECK(Run({"signet", "no-such-command"}) == kUsage);
  CHECK(Run({"signet", "-o", "xml", "version"}) == kUsage);
  CHECK(Run({"signet", "--socket", "/nonexistent/admin.sock", "status"}) == kUnreachable);
  CHECK(Run({"signet", "--socket", "/nonexistent/admin.sock", "agent", "show", "not-an-id"}) ==
        kUsage);
  CHECK(Run({"signet", "x509", "fetch", "--agent-socket", "/nonexistent/api.sock"}) ==
        kUnreachable);
}

TEST_CASE("a socket path the system cannot hold is wrong usage, not an outage") {
  const std::string path = "/" + std::string(200, 'a');
  CHECK(Run({"signet", "--socket", path.c_str(), "status"}) == kUsage);
}

}  // namespace
}  // namespace signet::ctl
