// Copy buffers of one worker, held only while data is in flight: a connection that is idle or keeps
// up holds none.
//
// Threads: one worker's.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace signet::proxy {

inline constexpr std::size_t kBufferBytes = 64 * 1024;
using Buffer = std::array<std::uint8_t, kBufferBytes>;

class BufferPool {
 public:
  // Keeps at most `kept` unused buffers; more are given back to the allocator.
  explicit BufferPool(std::size_t kept) : kept_(kept) {}

  std::unique_ptr<Buffer> Take() {
    ++in_use_;
    if (free_.empty()) return std::unique_ptr<Buffer>(new Buffer);  // not zeroed
    std::unique_ptr<Buffer> buffer = std::move(free_.back());
    free_.pop_back();
    return buffer;
  }
  void Return(std::unique_ptr<Buffer> buffer) {
    --in_use_;
    if (free_.size() < kept_) free_.push_back(std::move(buffer));
  }
  std::size_t in_use() const { return in_use_; }

 private:
  const std::size_t kept_;
  std::size_t in_use_ = 0;
  std::vector<std::unique_ptr<Buffer>> free_;
};

}  // namespace signet::proxy
