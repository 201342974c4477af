// Every example of docs/traffic.md is a configuration that loads.
#include <catch2/catch.hpp>

#include "base/file.h"
#include "proxy/config.h"
#include "tests/support/temp_dir.h"

namespace signet::proxy {
namespace {

TEST_CASE("the examples of the page on traffic load") {
  const auto page = ReadFile(std::string(SIGNET_SOURCE) + "/docs/traffic.md", 1U << 20);
  REQUIRE(page);
  const std::string text(page->begin(), page->end());
  constexpr std::string_view kBegin = "```yaml\n";
  std::size_t examples = 0;
  for (std::size_t at = text.find(kBegin); at != std::string::npos; at = text.find(kBegin, at)) {
    at += kBegin.size();
    const std::string example = text.substr(at, text.find("```", at) - at);
    test::TempDir directory;
    REQUIRE(WriteFileAtomically(directory.File("proxy.yaml"), AsBytes(example), 0600));
    ConfigProblems problems;
    const auto config = LoadConfig(directory.File("proxy.yaml"), "/run/agent.sock", &problems);
    INFO(example << problems.Text());
    CHECK(config);
    ++examples;
  }
  CHECK(examples >= 2);
}

}  // namespace
}  // namespace signet::proxy
