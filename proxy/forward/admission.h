// How many connections are carried at once, in all and of one caller. A seat is held as long as its
// connection lives and gives itself back.
//
// Threads: safe from any thread; touched once when a connection opens and once when it closes.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <mutex>
#include <optional>
#include <unordered_map>

#include "identity/spiffe/spiffe_id.h"

namespace signet::proxy {

class Admission {
 public:
  class Seat {
   public:
    Seat() = default;
    Seat(Seat&& other) noexcept : owner_(std::exchange(other.owner_, nullptr)) {}
    Seat& operator=(Seat&& other) noexcept {
      std::swap(owner_, other.owner_);
      return *this;
    }
    ~Seat() {
      if (owner_ != nullptr) owner_->carried_.fetch_sub(1, std::memory_order_relaxed);
    }

   private:
    friend class Admission;
    explicit Seat(Admission* owner) : owner_(owner) {}
    Admission* owner_ = nullptr;
  };

  class PeerSeat {
   public:
    PeerSeat() = default;
    PeerSeat(PeerSeat&& other) noexcept
        : owner_(std::exchange(other.owner_, nullptr)), peer_(std::move(other.peer_)) {}
    PeerSeat& operator=(PeerSeat&& other) noexcept {
      std::swap(owner_, other.owner_);
      std::swap(peer_, other.peer_);
      return *this;
    }
    ~PeerSeat() {
      if (owner_ != nullptr) owner_->LeavePeer(peer_);
    }

   private:
    friend class Admission;
    PeerSeat(Admission* owner, identity::SpiffeId peer) : owner_(owner), peer_(std::move(peer)) {}
    Admission* owner_ = nullptr;
    identity::SpiffeId peer_;
  };

  // Absent when `limit` seats are taken.
  std::optional<Seat> TryEnter(std::size_t limit);
  std::optional<PeerSeat> TryEnterPeer(const identity::SpiffeId& peer, std::size_t limit);

  std::size_t carried() const { return carried_.load(std::memory_order_relaxed); }

 private:
  struct Shard {
    std::mutex mutex;
    std::unordered_map<identity::SpiffeId, std::size_t> seats;  // no zeros: bounded by carried_
  };

  Shard& ShardOf(const identity::SpiffeId& peer);
  void LeavePeer(const identity::SpiffeId& peer);

  std::atomic<std::size_t> carried_{0};
  std::array<Shard, 16> shards_;
};

}  // namespace signet::proxy
