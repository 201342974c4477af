#include "proxy/forward/flow.h"

#include <algorithm>

#include "base/check.h"

namespace signet::proxy {

using net::IoResult;
using net::IoStatus;

Flow::~Flow() { DropBuffer(); }

void Flow::MoveTo(FlowState state) {
  CHECK_TRUE(MayMove(state_, state));
  state_ = state;
  if (ended()) DropBuffer();
}

void Flow::DropBuffer() {
  pending_ = {};
  if (buffer_) pool_->Return(std::move(buffer_));
}

FlowStop Flow::Pump(std::size_t* budget) {
  for (;;) {
    if (!pending_.empty()) {
      const IoResult put = destination_->Write(pending_);
      if (put.status == IoStatus::kOk) {
        pending_ = pending_.subspan(put.bytes);
        bytes_ += put.bytes;
        continue;
      }
      if (put.status != IoStatus::kError) return FlowStop::kBlocked;
      MoveTo(FlowState::kBroken);
      return FlowStop::kEnded;
    }
    DropBuffer();
    switch (state_) {
      case FlowState::kOpen: {
        if (*budget == 0) return FlowStop::kBudget;
        const std::size_t got = Fill();
        *budget -= std::min(*budget, got);
        if (got == 0 && state_ == FlowState::kOpen) return FlowStop::kIdle;
        break;
      }
      case FlowState::kDraining: {
        const IoStatus closed = destination_->CloseWrite();
        if (closed == IoStatus::kWantWrite) return FlowStop::kBlocked;
        MoveTo(closed == IoStatus::kOk ? FlowState::kClosed : FlowState::kBroken);
        return FlowStop::kEnded;
      }
      case FlowState::kFailing:
        MoveTo(FlowState::kBroken);
        return FlowStop::kEnded;
      case FlowState::kClosed:
      case FlowState::kBroken:
        return FlowStop::kEnded;
    }
  }
}

std::size_t Flow::Fill() {
  buffer_ = pool_->Take();
  std::size_t filled = 0;
  while (filled < buffer_->size()) {
    const IoResult got = source_->Read(std::span(*buffer_).subspan(filled));
    if (got.status == IoStatus::kOk) {
      filled += got.bytes;
      continue;
    }
    if (got.status == IoStatus::kEof) MoveTo(FlowState::kDraining);
    if (got.status == IoStatus::kError) {
      source_broke_ = true;
      MoveTo(FlowState::kFailing);
    }
    break;
  }
  pending_ = ByteView(*buffer_).first(filled);
  if (filled == 0) DropBuffer();
  return filled;
}

}  // namespace signet::proxy
