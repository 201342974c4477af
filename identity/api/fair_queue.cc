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

std::list<std::string>::iterator FairQueue::Next(Lane* lane) {
  return std::ranges::find_if(lane->turns, [&](const std::string& account) {
    if (!lane->waiting.find(account)->second.front().is_heavy) return true;
    const auto at_work = heavy_.find(account);
    return at_work == heavy_.end() || at_work->second < limits_.heavy_at_once;
  });
}

std::optional<Work> FairQueue::Pop() {
  const bool enough = renewals_in_row_ >= kMostRenewalsInRow;
  for (Lane* const lane : {enough ? &normal_ : &renewals_, enough ? &renewals_ : &normal_}) {
    const auto turn = Next(lane);
    if (turn == lane->turns.end()) continue;
    renewals_in_row_ = lane == &renewals_ ? renewals_in_row_ + 1 : 0;
    return Take(lane, turn);
  }
  return std::nullopt;
}

Work FairQueue::Take(Lane* lane, std::list<std::string>::iterator turn) {
  const auto waiting = lane->waiting.find(*turn);
  Work work = std::move(waiting->second.front());
  waiting->second.pop_front();
  if (waiting->second.empty()) {
    lane->waiting.erase(waiting);
    lane->turns.erase(turn);
  } else {
    lane->turns.splice(lane->turns.end(), lane->turns, turn);
  }
  const auto share = shares_.find(work.account);
  share->second.bytes -= work.bytes;
  if (--share->second.pieces == 0) shares_.erase(share);
  --size_;
  bytes_ -= work.bytes;
  if (work.is_heavy) ++heavy_[work.account];
  return work;
}

void FairQueue::Done(const Work& work) {
  if (!work.is_heavy) return;
  const auto at_work = heavy_.find(work.account);
  CHECK_TRUE(at_work != heavy_.end());
  if (--at_work->second == 0) heavy_.erase(at_work);
}

}  // namespace signet::identity
