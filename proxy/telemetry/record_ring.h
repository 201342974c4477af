// Records on their way from one worker to the telemetry thread: a ring of bytes with one writer and
// one reader, without locks. When it is full, records are dropped and counted; the writer never
// waits and allocates nothing.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>

#include "proxy/telemetry/record.h"

namespace signet::proxy {

class RecordRing {
 public:
  static constexpr std::size_t kBytes = 256 * 1024;
  static constexpr std::size_t kLongestText = 1024;  // of each text of a record; more is cut

  // The ring's memory is made with the first record.
  RecordRing() = default;

  // The writer's. False when it was dropped.
  bool Push(const Record& record);
  // Bytes waiting; for either side.
  std::size_t size() const {
    return head_.load(std::memory_order_acquire) - tail_.load(std::memory_order_acquire);
  }
  std::uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }

  // The reader's: hands each record to `sink`; answers how many.
  std::size_t Drain(const std::function<void(const Record&)>& sink);

 private:
  std::unique_ptr<std::uint8_t[]> bytes_;
  std::atomic<std::size_t> head_{0};  // written so far; the writer's
  std::atomic<std::size_t> tail_{0};  // read so far; the reader's
  std::atomic<std::uint64_t> dropped_{0};
};

}  // namespace signet::proxy
