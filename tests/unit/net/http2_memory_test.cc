#include "net/http2_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>
#include <vector>

namespace signet::net {
namespace {

constexpr std::size_t kBytes = 16'394;

std::ptrdiff_t PagesInMemory(void* block) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> pages((kBytes + page - 1) / page);
  REQUIRE(mincore(block, kBytes, pages.data()) == 0);
  return std::ranges::count_if(pages, [](unsigned char state) { return (state & 1) != 0; });
}

}  // namespace

TEST_CASE("a frame buffer takes memory as it is used, and gives it back") {
  // The allocator may hand out again what was used before.
  void* const used = std::malloc(1 << 16);
  std::memset(used, 1, 1 << 16);
  std::free(used);
  Http2Memory memory;
  nghttp2_mem* const functions = memory.handle();
  void* const block = functions->realloc(nullptr, kBytes, functions->mem_user_data);
  REQUIRE(block != nullptr);
  CHECK(PagesInMemory(block) == 0);
  std::memset(block, 1, 100);
  CHECK(PagesInMemory(block) == 1);
  std::memset(block, 1, kBytes);
  CHECK(PagesInMemory(block) > 1);
  memory.GiveBack();
  CHECK(PagesInMemory(block) == 0);
  std::memset(block, 1, kBytes);
  functions->free(block, functions->mem_user_data);
  memory.GiveBack();  // of nothing
}

TEST_CASE("what is no frame buffer is ordinary memory") {
  Http2Memory memory;
  nghttp2_mem* const functions = memory.handle();
  void* const self = functions->mem_user_data;
  void* const frame = functions->malloc(kBytes, self);
  void* small = functions->malloc(10, self);
  void* const zeroed = functions->calloc(10, 10, self);
  void* const second = functions->malloc(kBytes, self);
  std::memset(small, 7, 10);
  std::memset(second, 7, kBytes);
  small = functions->realloc(small, 100'000, self);
  memory.GiveBack();
  CHECK(static_cast<char*>(small)[9] == 7);
  CHECK(static_cast<char*>(second)[kBytes - 1] == 7);
  CHECK(static_cast<char*>(zeroed)[99] == 0);
  for (void* block : {frame, small, zeroed, second}) functions->free(block, self);
}

}  // namespace signet::net
