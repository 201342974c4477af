#include "identity/api/acknowledgements.h"

#include <algorithm>

namespace signet::identity {
namespace {

constexpr std::size_t kMaxNamed = 20;

}  // namespace

void Acknowledgements::Record(const SpiffeId& agent, Revision revision) {
  std::lock_guard lock(mutex_);
  auto& held = held_[agent];
  held = std::max(held, revision);
}

void Acknowledgements::RecordBundleSerial(const SpiffeId& agent, std::uint64_t sequence_number) {
  // Read first: the bundle found is at least as old as this revision says.
  const auto revision = registry_.revision();
  if (const auto bundle = registry_.OwnBundle();
      bundle && sequence_number >= bundle->sequence_number)
    Record(agent, revision);
}

void Acknowledgements::Forget(const SpiffeId& agent) {
  std::lock_guard lock(mutex_);
  held_.erase(agent);
}

Acknowledgement Acknowledgements::Of(Revision published_at) const {
  Acknowledgement result;
  const auto now = UnixSeconds(clock_.Now());
  NodeFilter filter;
  filter.banned = false;
  const auto nodes = registry_.ListNodes(filter, 0, {});
  if (!nodes) return result;  // nobody acknowledged: wait
  std::lock_guard lock(mutex_);
  for (const auto& node : nodes->items) {
    if (std::max(node->serial_expires_at, node->new_serial_expires_at) <= now) continue;
    ++result.live;
    const auto held = held_.find(node->id);
    if (held != held_.end() && held->second >= published_at) {
      ++result.acknowledged;
    } else if (result.waiting_for.size() < kMaxNamed) {
      result.waiting_for.push_back(node->id.ToString());
    }
  }
  result.all = result.acknowledged == result.live;
  return result;
}

}  // namespace signet::identity
