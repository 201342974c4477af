#include "proxy/forward/admission.h"

namespace signet::proxy {

std::optional<Admission::Seat> Admission::TryEnter(std::size_t limit) {
  if (carried_.fetch_add(1, std::memory_order_relaxed) < limit) return Seat(this);
  carried_.fetch_sub(1, std::memory_order_relaxed);
  return std::nullopt;
}

std::optional<Admission::PeerSeat> Admission::TryEnterPeer(const identity::SpiffeId& peer,
                                                           std::size_t limit) {
  Shard& shard = ShardOf(peer);
  const std::lock_guard lock(shard.mutex);
  std::size_t& taken = shard.seats[peer];
  if (taken < limit) {
    ++taken;
    return PeerSeat(this, peer);
  }
  if (taken == 0) shard.seats.erase(peer);
  return std::nullopt;
}

void Admission::LeavePeer(const identity::SpiffeId& peer) {
  Shard& shard = ShardOf(peer);
  const std::lock_guard lock(shard.mutex);
  const auto taken = shard.seats.find(peer);
  if (--taken->second == 0) shard.seats.erase(taken);
}

Admission::Shard& Admission::ShardOf(const identity::SpiffeId& peer) {
  return shards_[std::hash<identity::SpiffeId>()(peer) % shards_.size()];
}

}  // namespace signet::proxy
