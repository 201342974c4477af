// The inbound handshakes in progress of one worker, and which of them gives way when there are too
// many. A flood pays for itself: over the share of one source address, that address's oldest goes;
// over the share of all, the oldest of the address with the most (of several such, the oldest).
// Whoever has few is not touched by one who has many.
//
// Threads: one worker's.
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <list>
#include <map>

#include "net/address.h"

namespace signet::proxy {

class Connection;

// What counts as one source: an IPv4 address (also inside IPv6), a /64 of IPv6, all of a Unix
// socket.
using SourceKey = std::array<std::uint8_t, 9>;
SourceKey SourceOf(const net::SocketAddress& remote);

class HandshakeQueue {
  struct Waiting {
    Connection* connection;
    std::uint64_t arrival;
  };

 public:
  // A connection's place here.
  class Place {
   public:
    bool held() const { return held_; }

   private:
    friend class HandshakeQueue;
    SourceKey source_{};
    std::list<Waiting>::iterator at_;
    bool held_ = false;
  };
  enum class Over { kNothing, kSource, kAll };
  struct Excess {
    Over over = Over::kNothing;
    Connection* gives_way = nullptr;
  };

  void Add(Connection& connection, const SourceKey& source, Place* place);
  // Does nothing for a place that is not held.
  void Remove(Place* place);
  // Asked after `place` was added: whether a share is exceeded, and who gives way. It is still in
  // here.
  Excess Find(const Place& place, std::size_t share, std::size_t source_share) const;
  std::size_t size() const { return size_; }

 private:
  std::map<SourceKey, std::list<Waiting>> by_source_;  // oldest first; no empty lists
  std::size_t size_ = 0;
  std::uint64_t arrivals_ = 0;
};

}  // namespace signet::proxy
