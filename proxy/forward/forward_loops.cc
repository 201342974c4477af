#include "proxy/forward/forward_loops.h"

#include <netinet/in.h>
#include <unistd.h>

#include <cstring>

namespace signet::proxy {
namespace {

using Edges = std::vector<std::vector<std::size_t>>;

const sockaddr_in& V4(const net::SocketAddress& address) {
  return reinterpret_cast<const sockaddr_in&>(address.storage);
}
const sockaddr_in6& V6(const net::SocketAddress& address) {
  return reinterpret_cast<const sockaddr_in6&>(address.storage);
}

std::uint16_t PortOf(const net::SocketAddress& address) {
  if (address.family() == AF_INET) return V4(address).sin_port;
  return address.family() == AF_INET6 ? V6(address).sin6_port : 0;
}

bool IsAny(const net::SocketAddress& address) {
  if (address.family() == AF_INET) return V4(address).sin_addr.s_addr == htonl(INADDR_ANY);
  return IN6_IS_ADDR_UNSPECIFIED(&V6(address).sin6_addr);
}

bool IsLoopback(const net::SocketAddress& address) {
  if (address.family() == AF_INET) return ntohl(V4(address).sin_addr.s_addr) >> 24 == 127;
  return IN6_IS_ADDR_LOOPBACK(&V6(address).sin6_addr);
}

bool SameHost(const net::SocketAddress& a, const net::SocketAddress& b) {
  if (a.family() != b.family()) return false;
  if (a.family() == AF_INET) return V4(a).sin_addr.s_addr == V4(b).sin_addr.s_addr;
  return IN6_ARE_ADDR_EQUAL(&V6(a).sin6_addr, &V6(b).sin6_addr);
}

Edges EdgesOf(const std::vector<LoopNode>& nodes, const IsOwnAddress& is_own) {
  Edges edges(nodes.size());
  for (std::size_t from = 0; from < nodes.size(); ++from)
    for (std::size_t to = 0; to < nodes.size(); ++to)
      for (const net::SocketAddress& target : nodes[from].targets) {
        if (!Reaches(target, nodes[to].listens, is_own)) continue;
        edges[from].push_back(to);
        break;
      }
  return edges;
}

// The nodes of a way from `start` back to it, `start` first; empty: there is none.
std::vector<std::size_t> WayBack(const Edges& edges, std::size_t start) {
  std::vector<std::size_t> came_from(edges.size(), edges.size());
  std::vector<std::size_t> reached{start};
  for (std::size_t i = 0; i < reached.size(); ++i)
    for (const std::size_t next : edges[reached[i]]) {
      if (next == start) {
        std::vector<std::size_t> way;
        for (std::size_t at = reached[i]; at != start; at = came_from[at])
          way.insert(way.begin(), at);
        way.insert(way.begin(), start);
        return way;
      }
      if (came_from[next] != edges.size()) continue;
      came_from[next] = reached[i];
      reached.push_back(next);
    }
  return {};
}

}  // namespace

bool IsOwnAddressOfHost(const net::SocketAddress& address) {
  if (address.family() != AF_INET && address.family() != AF_INET6) return false;
  net::SocketAddress local = address;
  if (local.family() == AF_INET)
    reinterpret_cast<sockaddr_in&>(local.storage).sin_port = 0;
  else
    reinterpret_cast<sockaddr_in6&>(local.storage).sin6_port = 0;
  const UniqueFd socket(::socket(local.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0));
  return socket.valid() &&
         ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&local.storage), local.length) == 0;
}

bool Reaches(const net::SocketAddress& target, const net::SocketAddress& listens,
             const IsOwnAddress& is_own) {
  if (target.family() == AF_UNIX || listens.family() == AF_UNIX)
    return target.family() == listens.family() && target.ToString() == listens.ToString();
  if (PortOf(target) != PortOf(listens)) return false;
  if (SameHost(target, listens)) return true;
  // A connection to no address in particular goes to this host's own.
  if (IsAny(target)) return IsAny(listens) || IsLoopback(listens);
  // What listens on all of IPv6 is reached by IPv4 too.
  return IsAny(listens) && (listens.family() == AF_INET6 || target.family() == AF_INET) &&
         is_own(target);
}

std::map<std::size_t, std::string> FindForwardLoops(const std::vector<LoopNode>& nodes,
                                                    const IsOwnAddress& is_own) {
  const Edges edges = EdgesOf(nodes, is_own);
  std::map<std::size_t, std::string> loops;
  for (std::size_t start = 0; start < nodes.size(); ++start) {
    std::string text;
    for (const std::size_t at : WayBack(edges, start)) text.append(nodes[at].name).append(" -> ");
    if (!text.empty()) loops[start] = text + nodes[start].name;
  }
  return loops;
}

}  // namespace signet::proxy
