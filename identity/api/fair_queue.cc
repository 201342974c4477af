#include "identity/api/fair_queue.h"

#include <algorithm>

#include "base/check.h"

namespace signet::identity {
namespace {

constexpr std::size_t kOneAtLeast = 256;
constexpr int kMostRenewalsInRow = 8;

}  // namespace

QueueLimits QueueLimits::Of(std::size_t all) {
  QueueLimits limits;
  limits.all = all;
  limits.of_one = std::min(all, std::max(kOneAtLeast, all / 8));
  return limits;
}

bool FairQueue::Push(Work work) {
  const auto found = shares_.find(work.account);
  const Share share = found == shares_.end() ? Share() : found->second;
  if (size_ >= limits_.all || share.pieces >= limits_.of_one) return false;
  if (size_ > 0 && bytes_ + work.bytes > limits_.bytes) return false;
  if (share.pieces > 0 && share.bytes + work.bytes > limits_.bytes_of_one) return false;
  Share& counted = shares_[work.account];
  ++counted.pieces;
  counted.bytes += work.bytes;
  ++size_;
  bytes_ += work.bytes;
  Lane& lane = work.urgency == Urgency::kRenewal ? renewals_ : normal_;
  auto& waiting = lane.waiting[work.account];
  if (waiting.empty()) lane.turns.push_back(work.account);
  waiting.push_back(std::move(work));
  return true;
}

FairQueue::Lane& FairQueue::NextLane() {
  if (renewals_.turns.empty()) return normal_;
  if (normal_.turns.empty()) return renewals_;
  if (renewals_in_row_ < kMostRenewalsInRow) return renewals_;
  return normal_;
}

Work FairQueue::Pop() {
  CHECK_TRUE(size_ > 0);
  Lane& lane = NextLane();
  renewals_in_row_ = &lane == &renewals_ ? renewals_in_row_ + 1 : 0;
  const auto waiting = lane.waiting.find(lane.turns.front());
  Work work = std::move(waiting->second.front());
  waiting->second.pop_front();
  if (waiting->second.empty()) {
    lane.waiting.erase(waiting);
    lane.turns.pop_front();
  } else {
    lane.turns.splice(lane.turns.end(), lane.turns, lane.turns.begin());
  }
  const auto share = shares_.find(work.account);
  share->second.bytes -= work.bytes;
  if (--share->second.pieces == 0) shares_.erase(share);
  --size_;
  bytes_ -= work.bytes;
  return work;
}

}  // namespace signet::identity
