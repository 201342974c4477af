// One direction of a carried connection: reads from one stream, writes to the other, at most one
// buffer between them. The end of the source becomes the end of the destination's write half, after
// the last byte; a broken source is never passed on as an orderly end.
//
// Threads: one worker's.
#pragma once

#include <memory>

#include "proxy/forward/buffer_pool.h"
#include "proxy/forward/stream.h"

namespace signet::proxy {

enum class FlowState {
  kOpen,      // reading and writing
  kDraining,  // the source ended; the rest, then the end, are still to be passed on
  kFailing,   // the source broke; what it sent before is still to be written
  kClosed,    // the end was passed on
  kBroken,    // the source broke, or the destination takes no more
};

// The only moves there are.
constexpr bool MayMove(FlowState from, FlowState to) {
  switch (from) {
    case FlowState::kOpen:
      return to == FlowState::kDraining || to == FlowState::kFailing || to == FlowState::kBroken;
    case FlowState::kDraining:
      return to == FlowState::kClosed || to == FlowState::kBroken;
    case FlowState::kFailing:
      return to == FlowState::kBroken;
    case FlowState::kClosed:
    case FlowState::kBroken:
      return false;
  }
  return false;
}

enum class FlowStop {
  kIdle,     // the source has nothing now
  kBlocked,  // the destination takes nothing now
  kBudget,   // this turn's share is used up; there may be more
  kEnded,    // kClosed or kBroken
};

class Flow {
 public:
  // All outlive this.
  Flow(ByteStream& source, ByteStream& destination, BufferPool& pool)
      : source_(&source), destination_(&destination), pool_(&pool) {}
  ~Flow();
  Flow(const Flow&) = delete;
  Flow& operator=(const Flow&) = delete;

  // Moves bytes until one side waits or `budget` is used up; takes what it moved off `budget`.
  FlowStop Pump(std::size_t* budget);

  FlowState state() const { return state_; }
  bool ended() const { return state_ == FlowState::kClosed || state_ == FlowState::kBroken; }
  // The source itself broke, as opposed to a destination that takes no more.
  bool source_broke() const { return source_broke_; }
  // Bytes that were read and wait for the destination.
  std::size_t pending() const { return pending_.size(); }
  // Bytes the destination took.
  std::uint64_t bytes() const { return bytes_; }
  // The destination did not stand yet and is replaced; nothing was written to the old one.
  void ReplaceDestination(ByteStream& destination) { destination_ = &destination; }

 private:
  void MoveTo(FlowState state);
  // Fills the buffer as far as the source gives; kOpen may become kDraining or kFailing.
  std::size_t Fill();
  void DropBuffer();

  ByteStream* source_;
  ByteStream* destination_;
  BufferPool* pool_;
  std::unique_ptr<Buffer> buffer_;
  ByteView pending_;  // inside buffer_
  FlowState state_ = FlowState::kOpen;
  bool source_broke_ = false;
  std::uint64_t bytes_ = 0;
};

}  // namespace signet::proxy
