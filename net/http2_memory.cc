#include "net/http2_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>

namespace signet::net {
namespace {

// A frame's payload by default (RFC 9113, 6.5.2); nothing else that nghttp2 asks for is as large.
constexpr std::size_t kFrameBytes = 16 * 1024;

std::size_t PageBytes() {
  static const auto kBytes = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return kBytes;
}

Http2Memory& Of(void* self) { return *static_cast<Http2Memory*>(self); }

}  // namespace

Http2Memory::Http2Memory() : functions_{this, Allocate, Free, AllocateZeroed, Resize} {}

void* Http2Memory::Allocate(std::size_t size, void* self) {
  Http2Memory& memory = Of(self);
  if (size < kFrameBytes || memory.frame_ != nullptr) return std::malloc(size);
  const std::size_t page = PageBytes();
  memory.frame_bytes_ = (size + page - 1) / page * page;
  memory.frame_ = std::aligned_alloc(page, memory.frame_bytes_);
  memory.GiveBack();  // the allocator's pages may have been used before
  return memory.frame_;
}

void Http2Memory::Free(void* block, void* self) {
  Http2Memory& memory = Of(self);
  if (block != nullptr && block == memory.frame_) memory.frame_ = nullptr;
  std::free(block);
}

void* Http2Memory::AllocateZeroed(std::size_t count, std::size_t size, void*) {
  return std::calloc(count, size);
}

void* Http2Memory::Resize(void* block, std::size_t size, void* self) {
  if (block == nullptr) return Allocate(size, self);
  void* const moved = std::realloc(block, size);
  // No frame buffer grows; if one does, it is an ordinary block from there on.
  if (moved != nullptr && block == Of(self).frame_) Of(self).frame_ = nullptr;
  return moved;
}

void Http2Memory::GiveBack() {
  if (frame_ != nullptr) madvise(frame_, frame_bytes_, MADV_DONTNEED);
}

}  // namespace signet::net
