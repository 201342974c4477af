#include "identity/registry/page_token.h"
#include "tests/unit/identity/registry/registry_fixture.h"

namespace signet::identity {
namespace {

using test::Domain;

FederationRelationship Relationship(std::string_view domain, std::string_view path = "/") {
  FederationRelationship relationship;
  relationship.trust_domain = Domain(domain);
  relationship.url =
      net::HttpsUrl::Parse("https://" + std::string(domain) + std::string(path)).value();
  return relationship;
}

Bundle WithHint(std::int64_t hint) {
  Bundle bundle;
  bundle.refresh_hint = hint;
  return bundle;
}

struct FederationFixture : RegistryFixture {
  void Make(std::string_view domain) {
    REQUIRE(registry->CreateRelationship(Relationship(domain), std::nullopt));
  }
};

std::vector<std::string> Names(const Page<RelationshipPtr>& page) {
  std::vector<std::string> names;
  for (const auto& relationship : page.items) names.push_back(relationship->trust_domain.name());
  return names;
}
using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("a relationship is created once, with its bundle, and kept over a restart") {
  FederationFixture f;
  const auto created = f.registry->CreateRelationship(Relationship("one.test"), WithHint(60));
  REQUIRE(created);
  CHECK(**created == Relationship("one.test"));
  const auto again = f.registry->CreateRelationship(Relationship("one.test", "/x"), WithHint(7));
  CHECK(again.error().code == Code::kAlreadyExists);
  CHECK(again.error().reason == kRelationshipExists);
  f.Restart();
  REQUIRE(f.registry->FindRelationship(Domain("one.test")) != nullptr);
  CHECK(*f.registry->FindRelationship(Domain("one.test")) == Relationship("one.test"));
  CHECK(f.registry->FindBundle(Domain("one.test"))->refresh_hint == 60);
  CHECK(f.registry->FindRelationship(Domain("two.test")) == nullptr);
}

TEST_CASE("a change of a relationship keeps its trust domain and replaces the bundle it brings") {
  FederationFixture f;
  f.Make("one.test");
  const auto changed = f.registry->ChangeRelationship(
      Domain("one.test"),
      [](FederationRelationship& relationship) {
        relationship = Relationship("two.test", "/new");
        relationship.profile = EndpointProfile::kHttpsSpiffe;
        relationship.endpoint_id = test::Id("/x");
      },
      WithHint(9));
  REQUIRE(changed);
  CHECK((*changed)->trust_domain == Domain("one.test"));
  CHECK((*changed)->url.target() == "/new");
  CHECK(f.registry->FindBundle(Domain("one.test"))->refresh_hint == 9);
  const auto revision = f.registry->revision();
  REQUIRE(f.registry->ChangeRelationship(
      Domain("one.test"), [](FederationRelationship&) {}, std::nullopt));
  CHECK(f.registry->revision() == revision);
  const auto unknown = f.registry->ChangeRelationship(
      Domain("none.test"), [](FederationRelationship&) {}, WithHint(1));
  CHECK(unknown.error().reason == kRelationshipUnknown);
  CHECK(f.registry->FindBundle(Domain("none.test")) == nullptr);
}

TEST_CASE("a removed relationship leaves its bundle behind; what cannot be stored is not seen") {
  FederationFixture f;
  REQUIRE(f.registry->CreateRelationship(Relationship("one.test"), WithHint(60)));
  std::vector<Change> changes;
  const auto id = f.registry->AddObserver([&](const Change& change) { changes.push_back(change); });
  REQUIRE(f.registry->RemoveRelationship(Domain("one.test")));
  f.registry->RemoveObserver(id);
  REQUIRE(changes.size() == 1);
  CHECK(changes[0].relationships_removed == std::vector<TrustDomain>{Domain("one.test")});
  CHECK(f.registry->FindRelationship(Domain("one.test")) == nullptr);
  CHECK(f.registry->FindBundle(Domain("one.test")) != nullptr);
  CHECK(f.registry->RemoveRelationship(Domain("one.test")).error().code == Code::kNotFound);
  f.store->FailNextCommit({Code::kUnavailable, kStoreFull, {}});
  CHECK(f.registry->CreateRelationship(Relationship("two.test"), WithHint(1)).error().reason ==
        kStoreFull);
  CHECK(f.registry->FindRelationship(Domain("two.test")) == nullptr);
  CHECK(f.registry->FindBundle(Domain("two.test")) == nullptr);
}

TEST_CASE("relationships are listed in order of creation, by pages that stay true under change") {
  FederationFixture f;
  CHECK(f.registry->ListRelationships(2, "")->next.empty());
  for (const char* domain : {"c.test", "a.test", "b.test"}) f.Make(domain);
  CHECK(Names(*f.registry->ListRelationships(0, "any")) == Texts{"c.test", "a.test", "b.test"});
  const auto first = f.registry->ListRelationships(2, "");
  CHECK(Names(*first) == Texts{"c.test", "a.test"});
  REQUIRE(f.registry->RemoveRelationship(Domain("a.test")));
  f.Make("a.test");
  const auto second = f.registry->ListRelationships(2, first->next);
  CHECK(Names(*second) == Texts{"b.test", "a.test"});
  const auto last = f.registry->ListRelationships(2, second->next);
  CHECK(last->items.empty());
  CHECK(last->next.empty());
  CHECK(f.registry->ListRelationships(2, "junk").error().reason == kPageTokenMalformed);
}

}  // namespace signet::identity
