// Memory for an HTTP/2 session of nghttp2's. Each session has a buffer for one frame of 16 KiB, of
// which most frames use the first hundred bytes: here it takes pages of memory only as they are
// used, and gives them back when the session is at rest.
//
// Threads: the session's.
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstddef>

namespace signet::net {

class Http2Memory {
 public:
  Http2Memory();
  Http2Memory(const Http2Memory&) = delete;
  Http2Memory& operator=(const Http2Memory&) = delete;

  // For nghttp2_session_server_new3() and its like; valid as long as this.
  nghttp2_mem* handle() { return &functions_; }
  // The pages of the frame buffer. Only when the last nghttp2_session_mem_send() said that there is
  // nothing to send: what the buffer holds is lost.
  void GiveBack();

 private:
  static void* Allocate(std::size_t size, void* self);
  static void Free(void* block, void* self);
  static void* AllocateZeroed(std::size_t count, std::size_t size, void* self);
  static void* Resize(void* block, std::size_t size, void* self);

  nghttp2_mem functions_;
  void* frame_ = nullptr;
  std::size_t frame_bytes_ = 0;
};

}  // namespace signet::net
