// A registry over a store in memory, with a clock that stands still.
#pragma once

#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <vector>

#include "identity/registry/registry.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_random.h"
#include "tests/support/fake_store.h"
#include "tests/support/store_values.h"

namespace signet::identity {

struct RegistryFixture {
  RegistryFixture() { Load(); }

  void Load() {
    registry.reset();
    auto loaded = Registry::Load(*store, test::Domain(), clock, random);
    if (!loaded) FAIL(loaded.error().Message());
    registry = *std::move(loaded);
  }
  void Restart() {
    store = store->Reopen();
    Load();
  }
  EntryPtr Create(const Entry& entry) {
    auto outcomes = registry->CreateEntries({entry});
    REQUIRE(outcomes.size() == 1);
    if (!outcomes[0].status) FAIL(outcomes[0].status.error().Message());
    return outcomes[0].entry;
  }
  NodePtr PutNode(const Node& node) {
    auto put = registry->ChangeNode(node.id, [&](Node& current) -> Status {
      current = node;
      return {};
    });
    REQUIRE(put);
    return *put;
  }

  test::FakeClock clock;
  test::FakeRandom random;
  std::unique_ptr<test::FakeStore> store = std::make_unique<test::FakeStore>();
  std::unique_ptr<Registry> registry;
};

inline std::vector<std::string> Ids(const std::vector<EntryPtr>& entries) {
  std::vector<std::string> ids;
  for (const EntryPtr& entry : entries) ids.push_back(entry->id);
  return ids;
}

}  // namespace signet::identity
