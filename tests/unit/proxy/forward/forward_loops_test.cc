#include "proxy/forward/forward_loops.h"

#include <catch2/catch.hpp>

namespace signet::proxy {
namespace {

net::SocketAddress At(const std::string& text) {
  return (*net::Address::Parse(text)->Resolve()).front();
}
LoopNode Node(const std::string& name, const std::string& listens,
              std::initializer_list<std::string> targets) {
  LoopNode node{name, At(listens), {}};
  for (const std::string& target : targets) node.targets.push_back(At(target));
  return node;
}
bool IsTen(const net::SocketAddress& address) { return address.ToString().starts_with("10."); }
bool Nobody(const net::SocketAddress&) { return false; }
bool Everybody(const net::SocketAddress&) { return true; }

TEST_CASE("a target reaches who listens on its address, or on all of this host's") {
  CHECK(Reaches(At("127.0.0.1:5"), At("127.0.0.1:5"), Nobody));
  CHECK_FALSE(Reaches(At("127.0.0.1:5"), At("127.0.0.1:6"), Everybody));
  CHECK_FALSE(Reaches(At("127.0.0.1:5"), At("127.0.0.2:5"), Everybody));
  CHECK(Reaches(At("10.0.0.1:5"), At("0.0.0.0:5"), IsTen));
  CHECK_FALSE(Reaches(At("10.0.0.1:5"), At("0.0.0.0:5"), Nobody));
  CHECK(Reaches(At("10.0.0.1:5"), At("[::]:5"), IsTen));
  CHECK(Reaches(At("[::1]:5"), At("[::]:5"), Everybody));
  CHECK_FALSE(Reaches(At("[::1]:5"), At("0.0.0.0:5"), Everybody));
  CHECK_FALSE(Reaches(At("[::1]:5"), At("127.0.0.1:5"), Everybody));
  CHECK(Reaches(At("0.0.0.0:5"), At("127.0.0.1:5"), Nobody));
  CHECK_FALSE(Reaches(At("0.0.0.0:5"), At("10.0.0.1:5"), Everybody));
  CHECK(Reaches(At("unix:/run/a"), At("unix:/run/a"), Nobody));
  CHECK_FALSE(Reaches(At("unix:/run/a"), At("unix:/run/b"), Everybody));
  CHECK_FALSE(Reaches(At("unix:/run/a"), At("127.0.0.1:5"), Everybody));
}

TEST_CASE("the kernel knows this host's addresses from others") {
  CHECK(IsOwnAddressOfHost(At("127.0.0.1:80")));
  CHECK(IsOwnAddressOfHost(At("127.9.9.9:1")));
  CHECK_FALSE(IsOwnAddressOfHost(At("192.0.2.1:80")));  // RFC 5737: nobody's
  CHECK_FALSE(IsOwnAddressOfHost(At("unix:/run/a")));
}

TEST_CASE("attack 38: rings are found, whoever is only on the way to one is in none") {
  const std::vector<LoopNode> nodes = {Node("self", "127.0.0.1:1", {"192.0.2.1:9", "127.0.0.1:1"}),
                                       Node("a", "127.0.0.1:2", {"127.0.0.1:3"}),
                                       Node("b", "127.0.0.1:3", {"192.0.2.1:9", "127.0.0.1:4"}),
                                       Node("c", "127.0.0.1:4", {"127.0.0.1:2", "127.0.0.1:3"}),
                                       Node("leads in", "127.0.0.1:5", {"127.0.0.1:2"}),
                                       Node("leads out", "127.0.0.1:6", {"192.0.2.1:9"}),
                                       Node("to it", "127.0.0.1:7", {"127.0.0.1:6"})};
  const auto loops = FindForwardLoops(nodes, Everybody);
  CHECK(loops ==
        std::map<std::size_t, std::string>{
            {0, "self -> self"}, {1, "a -> b -> c -> a"}, {2, "b -> c -> b"}, {3, "c -> b -> c"}});
  CHECK(FindForwardLoops({}, Everybody).empty());
}

}  // namespace
}  // namespace signet::proxy
