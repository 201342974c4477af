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

TEST_CASE("a relationship that cannot be is wrong usage before anybody is asked") {
  const auto create = [](std::initializer_list<const char*> more) {
    std::vector<const char*> words = {"signet",     "--socket", "/nonexistent/admin.sock",
                                      "federation", "create",   "--trust-domain",
                                      "other.test", "--url",    "https://other.test/"};
    words.insert(words.end(), more);
    std::vector<char*> argv;
    for (const char* word : words) argv.push_back(const_cast<char*>(word));
    const SystemClock clock;
    return RunCli(static_cast<int>(argv.size()), argv.data(), clock);
  };
  CHECK(create({}) == kUsage);
  CHECK(create({"--profile", "https"}) == kUsage);
  CHECK(create({"--profile", "https_spiffe"}) == kUsage);
  CHECK(create({"--profile", "https_web", "--endpoint-spiffe-id", "spiffe://other.test/x"}) ==
        kUsage);
  CHECK(create({"--profile", "https_web"}) == kUnreachable);
  CHECK(create({"--profile", "https_web", "--bundle", "/nonexistent/bundle.json"}) == kNotFound);
  CHECK(Run({"signet", "federation", "update"}) == kUsage);
  CHECK(Run({"signet", "federation", "create", "--help"}) == kOk);
}

TEST_CASE("a bundle is read before it is set, and a file that is none is wrong usage") {
  CHECK(Run({"signet", "bundle", "set", "--trust-domain", "other.test"}) == kUsage);
  CHECK(Run({"signet", "bundle", "set", "--trust-domain", "other.test", "/dev/null"}) != kOk);
  CHECK(Run({"signet", "bundle", "set", "--trust-domain", "a b", "/nonexistent"}) == kUsage);
  CHECK(Run({"signet", "bundle", "delete", "--trust-domain", "a.test", "--mode", "all"}) == kUsage);
}

}  // namespace
}  // namespace signet::ctl
