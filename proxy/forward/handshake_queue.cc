#include "proxy/forward/handshake_queue.h"

#include <netinet/in.h>

#include <algorithm>
#include <cstring>

namespace signet::proxy {

SourceKey SourceOf(const net::SocketAddress& remote) {
  SourceKey key{};
  if (remote.family() == AF_INET) {
    const auto& in = reinterpret_cast<const sockaddr_in&>(remote.storage);
    key[0] = 4;
    std::memcpy(&key[1], &in.sin_addr, 4);
  } else if (remote.family() == AF_INET6) {
    const auto& in6 = reinterpret_cast<const sockaddr_in6&>(remote.storage);
    const bool is_v4 = IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr);
    key[0] = is_v4 ? 4 : 6;
    std::memcpy(&key[1], in6.sin6_addr.s6_addr + (is_v4 ? 12 : 0), is_v4 ? 4 : 8);
  }
  return key;
}

void HandshakeQueue::Add(Connection& connection, const SourceKey& source, Place* place) {
  std::list<Waiting>& own = by_source_[source];
  place->at_ = own.insert(own.end(), {&connection, ++arrivals_});
  place->source_ = source;
  place->held_ = true;
  ++size_;
}

void HandshakeQueue::Remove(Place* place) {
  if (!place->held_) return;
  place->held_ = false;
  const auto own = by_source_.find(place->source_);
  own->second.erase(place->at_);
  if (own->second.empty()) by_source_.erase(own);
  --size_;
}

HandshakeQueue::Excess HandshakeQueue::Find(const Place& place, std::size_t share,
                                            std::size_t source_share) const {
  const auto& own = by_source_.at(place.source_);
  if (size_ > share) {
    const auto gives_way_first = [](const auto& a, const auto& b) {
      if (a.second.size() != b.second.size()) return a.second.size() > b.second.size();
      return a.second.front().arrival < b.second.front().arrival;
    };
    const auto most = std::ranges::min_element(by_source_, gives_way_first);
    return {Over::kAll, most->second.front().connection};
  }
  if (own.size() > source_share) return {Over::kSource, own.front().connection};
  return {};
}

}  // namespace signet::proxy
