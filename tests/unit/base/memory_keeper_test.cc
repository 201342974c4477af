// Memory that was needed for a while only.
#include <malloc.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "base/memory_keeper.h"

using namespace signet;
using namespace std::chrono_literals;

TEST_CASE("memory is given back once a process is quiet after work, and not again for nothing") {
  TrimRule rule;
  CHECK_FALSE(rule.IsDue(30ms));   // it starts
  CHECK(rule.IsDue(31ms));         // it has started
  CHECK_FALSE(rule.IsDue(32ms));   // nothing since
  CHECK_FALSE(rule.IsDue(300ms));  // at work
  CHECK_FALSE(rule.IsDue(600ms));  // still
  CHECK(rule.IsDue(601ms));        // quiet
  CHECK_FALSE(rule.IsDue(640ms));
  CHECK_FALSE(rule.IsDue(645ms));  // too little
  CHECK_FALSE(rule.IsDue(700ms));
  CHECK(rule.IsDue(701ms));
}

#if !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)  // they bring allocators of their own
namespace {

std::size_t AnonymousKilobytes() {
  std::ifstream file("/proc/self/status");
  for (std::string word; file >> word;)
    if (word == "RssAnon:") return (file >> word, std::stoul(word));
  return 0;
}

}  // namespace

TEST_CASE("what a burst left behind goes back to the system, and nothing that is in use") {
  constexpr std::size_t kPieces = 40'000, kSize = 1024;
  mallopt(M_MMAP_THRESHOLD, 1 << 20);
  std::vector<std::unique_ptr<std::string>> pieces;
  for (std::size_t i = 0; i < kPieces; ++i)
    pieces.push_back(std::make_unique<std::string>(kSize, 'x'));
  const auto kept = std::make_unique<std::string>(kSize, 'k');  // above them: holds the heap's end
  const std::size_t full = AnonymousKilobytes();
  pieces.clear();
  pieces.shrink_to_fit();
  GiveBackMemory();
  CHECK(AnonymousKilobytes() + kPieces * kSize / 2048 < full);
  CHECK(*kept == std::string(kSize, 'k'));
}
#endif
