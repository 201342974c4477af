#include "identity/registry/prune.h"

#include "tests/unit/identity/registry/registry_fixture.h"

namespace signet::identity {
namespace {

using std::chrono::hours;
using test::MakeNode;

}  // namespace

TEST_CASE_METHOD(RegistryFixture,
                 "nodes whose SVIDs ended long ago are forgotten, save the banned, those that "
                 "cannot attest again, and those that have a newer one") {
  const std::int64_t before = UnixSeconds(clock.Now() - hours(2));
  const auto put = [&](int i, auto change) {
    Node node = MakeNode(i);
    node.serial_expires_at = before - 1;
    node.new_serial_expires_at = 0;
    node.can_reattest = true;
    change(node);
    PutNode(node);
  };
  put(0, [](Node&) {});
  put(1, [&](Node& node) { node.serial_expires_at = before; });
  put(2, [&](Node& node) { node.new_serial_expires_at = before; });
  put(3, [](Node& node) { node.can_reattest = false; });
  put(4, [](Node&) {});
  REQUIRE(registry->BanNode(MakeNode(4).id));
  put(5, [](Node&) {});
  const auto there = [&](int i) { return registry->FindNode(MakeNode(i).id) != nullptr; };
  NodePruning pruning;
  const auto prune = [&](std::size_t limit) {
    return PruneNodes(*registry, pruning, clock.Now(), limit);
  };

  CHECK(prune(100) == std::size_t{0});
  pruning.expired_for = hours(2);
  CHECK(prune(1) == std::size_t{1});
  CHECK(prune(100) == std::size_t{1});
  CHECK(prune(100) == std::size_t{0});
  CHECK_FALSE(there(0));
  CHECK_FALSE(there(5));
  for (const int i : {1, 2, 3, 4}) CHECK(there(i));
  pruning.removal = NodeRemoval::kAll;
  CHECK(prune(100) == std::size_t{1});
  CHECK_FALSE(there(3));
  Restart();
  for (const int i : {1, 2, 4}) CHECK(there(i));
}

}  // namespace signet::identity
