// AuthorizedEntries() and AgentsConcerned(), by example and against an evaluator that knows no
// index.
#include <algorithm>
#include <set>

#include "tests/unit/identity/registry/registry_fixture.h"

namespace signet::identity {
namespace {

using test::Domain;
using test::Id;
using test::MakeEntry;
using test::MakeNode;

std::set<std::string> IdSet(const std::vector<EntryPtr>& entries) {
  std::set<std::string> ids;
  for (const EntryPtr& entry : entries) ids.insert(entry->id);
  return ids;
}

// The definition, word by word: grow the set of parents until nothing is added.
std::set<std::string> Naive(const std::vector<EntryPtr>& entries, const std::vector<NodePtr>& nodes,
                            const SpiffeId& agent) {
  const SpiffeId server = ServerId(Domain());
  std::set<SpiffeId> parents{agent};
  for (const NodePtr& node : nodes) {
    if (node->id != agent) continue;
    for (const EntryPtr& entry : entries) {
      const bool holds = std::all_of(
          entry->selectors.begin(), entry->selectors.end(), [&](const Selector& selector) {
            return std::find(node->selectors.begin(), node->selectors.end(), selector) !=
                   node->selectors.end();
          });
      if (entry->parent_id == server && holds) parents.insert(entry->spiffe_id);
    }
  }
  std::set<std::string> authorized;
  while (true) {
    const std::size_t before = authorized.size();
    for (const EntryPtr& entry : entries) {
      if (!parents.contains(entry->parent_id)) continue;
      authorized.insert(entry->id);
      parents.insert(entry->spiffe_id);
    }
    if (authorized.size() == before) return authorized;
  }
}

Entry Between(const std::string& id, std::string_view path, const SpiffeId& parent,
              SelectorSet selectors) {
  Entry entry = MakeEntry(0);
  entry.id = id;
  entry.spiffe_id = Id(path);
  entry.parent_id = parent;
  entry.selectors = std::move(selectors);
  return entry;
}

}  // namespace

TEST_CASE_METHOD(
    RegistryFixture,
    "authorized entries: children, grandchildren, those below an alias, nobody else's") {
  const SpiffeId agent = PutNode(MakeNode(1))->id;
  Node other = MakeNode(2);
  other.selectors = {{"zone", "b"}};
  PutNode(other);
  const SpiffeId server = ServerId(Domain());
  Create(Between("child", "/child", agent, {{"u", "1"}}));
  Create(Between("grandchild", "/grandchild", Id("/child"), {{"u", "2"}}));
  Create(Between("cycle", "/child", Id("/grandchild"), {{"u", "3"}}));
  Create(Between("self", "/self", Id("/self"), {{"u", "4"}}));
  Create(Between("node-entry", "/zone-a", server, {{"zone", "a"}}));
  Create(Between("below-alias", "/w", Id("/zone-a"), {{"u", "5"}}));
  Create(Between("node-entry-both", "/both", server, {{"zone", "a"}, {"zone", "b"}}));
  Create(Between("below-both", "/v", Id("/both"), {{"u", "6"}}));
  Create(Between("of-other", "/o", other.id, {{"u", "7"}}));
  CHECK(IdSet(registry->AuthorizedEntries(agent)) ==
        std::set<std::string>{"child", "grandchild", "cycle", "below-alias"});
  CHECK(IdSet(registry->AuthorizedEntries(other.id)) == std::set<std::string>{"of-other"});
  CHECK(registry->AuthorizedEntries(agent).size() == 4);
  CHECK(registry->AuthorizedEntries(server).empty());
  CHECK(registry->FindOwnChild(server, "node-entry") == nullptr);
  CHECK(registry->FindOwnChild(agent, "unknown") == nullptr);
  // Not attested: only what names it.
  CHECK(IdSet(registry->AuthorizedEntries(Id("/self"))) == std::set<std::string>{"self"});

  const auto concerned = [&](const std::string& id) {
    return registry->AgentsConcerned(*registry->FindEntry(id));
  };
  CHECK(concerned("grandchild") == std::vector<SpiffeId>{agent});
  CHECK(concerned("below-alias") == std::vector<SpiffeId>{agent});
  CHECK(concerned("node-entry") == std::vector<SpiffeId>{agent});
  CHECK(concerned("node-entry-both").empty());
  CHECK(concerned("of-other") == std::vector<SpiffeId>{other.id});
  CHECK(concerned("self").empty());
  // Also of an entry that is gone.
  const Entry gone = *registry->FindEntry("child");
  CHECK(registry->DeleteEntries(std::vector<std::string>{"child"})[0]);
  CHECK(registry->AgentsConcerned(gone) == std::vector<SpiffeId>{agent});
  CHECK(IdSet(registry->AuthorizedEntries(agent)) == std::set<std::string>{"below-alias"});
}

TEST_CASE_METHOD(RegistryFixture, "authorized entries: a node's changed selectors count at once") {
  Node node = MakeNode(1);
  PutNode(node);
  Create(Between("alias", "/alias", ServerId(Domain()), {{"zone", "b"}}));
  Create(Between("below", "/w", Id("/alias"), {{"u", "1"}}));
  CHECK(registry->AuthorizedEntries(node.id).empty());
  node.selectors = {{"zone", "b"}};
  PutNode(node);
  CHECK(registry->AuthorizedEntries(node.id).size() == 1);
  CHECK(registry->DeleteNode(node.id));
  CHECK(registry->AuthorizedEntries(node.id).empty());
}

TEST_CASE(
    "authorized entries: on random registries the walk and its reverse agree with the definition") {
  for (unsigned seed = 1; seed <= 60; ++seed) {
    CAPTURE(seed);
    std::mt19937 dice(seed);
    const auto pick = [&](int bound) {
      return static_cast<int>(dice() % static_cast<unsigned>(bound));
    };
    const auto selectors = [&](int at_most) {
      std::vector<Selector> picked;
      for (int i = pick(at_most); i >= 0; --i) picked.push_back({"s", std::to_string(pick(5))});
      return MakeSelectorSet(picked);
    };
    RegistryFixture fixture;
    Registry& registry = *fixture.registry;
    std::vector<SpiffeId> agents;
    for (int i = 0; i < 6; ++i) {
      Node node = MakeNode(i);
      node.selectors = selectors(4);
      agents.push_back(node.id);
      if (i < 5) fixture.PutNode(node);  // the last is never attested
    }
    const auto random_entry = [&](int number) {
      const std::string path = "/p" + std::to_string(pick(12));
      const int kind = pick(10);
      const SpiffeId parent = kind < 3   ? agents[static_cast<std::size_t>(pick(6))]
                              : kind < 5 ? ServerId(Domain())
                                         : Id("/p" + std::to_string(pick(12)));
      return Between("e" + std::to_string(number), path, parent, selectors(3));
    };
    int number = 0;
    for (int step = 0; step < 12; ++step) {
      std::vector<Entry> batch;
      for (int i = pick(5); i >= 0; --i) batch.push_back(random_entry(number++));
      registry.CreateEntries(batch);
      Entry moved = random_entry(pick(number));
      registry.UpdateEntries({{moved, EntryMask{}}});
      registry.DeleteEntries(std::vector<std::string>{"e" + std::to_string(pick(number))});
      if (pick(3) == 0) {
        Node node = MakeNode(pick(5));
        node.selectors = selectors(4);
        fixture.PutNode(node);
      }
      if (pick(6) == 0) static_cast<void>(registry.DeleteNode(MakeNode(pick(5)).id));
      if (pick(6) == 0) {
        fixture.store = fixture.store->Reopen();
        auto reloaded = Registry::Load(*fixture.store, Domain(), fixture.clock, fixture.random);
        REQUIRE(reloaded);
        for (const SpiffeId& agent : agents) {
          CHECK(IdSet((*reloaded)->AuthorizedEntries(agent)) ==
                IdSet(registry.AuthorizedEntries(agent)));
        }
        fixture.Load();
        break;
      }

      const auto entries = registry.ListEntries({}, 0, "")->items;
      const auto nodes = registry.ListNodes({}, 0, "")->items;
      std::map<SpiffeId, std::set<std::string>> authorized;
      for (const SpiffeId& agent : agents) {
        const auto walked = registry.AuthorizedEntries(agent);
        authorized[agent] = IdSet(walked);
        CHECK(walked.size() == authorized[agent].size());
        CHECK(authorized[agent] == Naive(entries, nodes, agent));
        for (const EntryPtr& entry : entries) {
          const bool own = registry.FindOwnChild(agent, entry->id) != nullptr;
          CHECK(own == (entry->parent_id == agent));
          if (own) CHECK(authorized[agent].contains(entry->id));
        }
      }
      for (const EntryPtr& entry : entries) {
        if (entry->parent_id == ServerId(Domain())) continue;
        std::vector<SpiffeId> expected;
        for (const NodePtr& node : nodes) {
          if (authorized[node->id].contains(entry->id)) expected.push_back(node->id);
        }
        std::sort(expected.begin(), expected.end());
        CHECK(registry.AgentsConcerned(*entry) == expected);
      }
    }
  }
}

}  // namespace signet::identity
