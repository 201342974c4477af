#include "identity/registry/page_token.h"
#include "tests/unit/identity/registry/registry_fixture.h"

namespace signet::identity {
namespace {

using test::Domain;

Status Write(Bundle& bundle, std::int64_t hint) {
  bundle.refresh_hint = hint;
  return {};
}

struct BundlesFixture : RegistryFixture {
  BundlePtr Put(std::string_view domain, std::int64_t hint = 60) {
    auto put = registry->ChangeFederatedBundle(
        Domain(domain), [&](Bundle& bundle, bool) { return Write(bundle, hint); });
    REQUIRE(put);
    return *put;
  }
  void AddEntry(int number, std::vector<TrustDomain> federates_with) {
    Entry entry = test::MakeEntry(number);
    entry.federates_with = std::move(federates_with);
    Create(entry);
  }
  std::vector<std::string> Names(const Page<BundlePtr>& page) const {
    std::vector<std::string> names;
    for (const auto& bundle : page.items) names.push_back(bundle->trust_domain.name());
    return names;
  }
};

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("a federated bundle is made, changed and kept over a restart") {
  BundlesFixture f;
  bool existed = true;
  const auto made =
      f.registry->ChangeFederatedBundle(Domain("one.test"), [&](Bundle& bundle, bool exists) {
        existed = exists;
        return Write(bundle, 60);
      });
  REQUIRE(made);
  CHECK_FALSE(existed);
  CHECK((*made)->trust_domain == Domain("one.test"));
  const auto revision = f.registry->revision();
  CHECK(f.Put("one.test") == *made);
  CHECK(f.registry->revision() == revision);
  CHECK(f.Put("one.test", 7)->refresh_hint == 7);
  CHECK(f.registry->revision() == revision + 1);
  f.Restart();
  CHECK(f.registry->FindBundle(Domain("one.test"))->refresh_hint == 7);
}

TEST_CASE("a change of a federated bundle that fails leaves nothing behind") {
  BundlesFixture f;
  const auto refused = f.registry->ChangeFederatedBundle(
      Domain("one.test"),
      [](Bundle&, bool) -> Status { return Fail(Code::kNotFound, kFederatedBundleUnknown); });
  CHECK(refused.error().reason == kFederatedBundleUnknown);
  CHECK(f.registry->FindBundle(Domain("one.test")) == nullptr);
  f.store->FailNextCommit({Code::kUnavailable, kStoreFull, {}});
  const auto full = f.registry->ChangeFederatedBundle(
      Domain("one.test"), [](Bundle& bundle, bool) { return Write(bundle, 1); });
  CHECK(full.error().reason == kStoreFull);
  CHECK(f.registry->FindBundle(Domain("one.test")) == nullptr);
}

TEST_CASE("a federated bundle is removed as asked, and its entries with it, or without, or not") {
  BundlesFixture f;
  f.Put("one.test");
  f.Put("two.test");
  f.AddEntry(1, {Domain("one.test"), Domain("two.test")});
  f.AddEntry(2, {Domain("one.test")});
  f.AddEntry(3, {});
  CHECK(f.registry->RemoveFederatedBundle(Domain("none.test"), BundleRemoval::kDelete)
            .error()
            .reason == kFederatedBundleUnknown);
  const auto in_use =
      f.registry->RemoveFederatedBundle(Domain("one.test"), BundleRemoval::kRestrict);
  CHECK(in_use.error().code == Code::kFailedPrecondition);
  CHECK(in_use.error().reason == kBundleInUse);
  CHECK(f.registry->FindBundle(Domain("one.test")) != nullptr);

  REQUIRE(f.registry->RemoveFederatedBundle(Domain("two.test"), BundleRemoval::kDissociate));
  CHECK(f.registry->FindEntry("entry-1")->federates_with ==
        std::vector<TrustDomain>{Domain("one.test")});
  CHECK(f.registry->FindEntry("entry-1")->revision_number == 0);

  REQUIRE(f.registry->RemoveFederatedBundle(Domain("one.test"), BundleRemoval::kDelete));
  CHECK(f.registry->FindEntry("entry-1") == nullptr);
  CHECK(f.registry->FindEntry("entry-2") == nullptr);
  CHECK(f.registry->FindEntry("entry-3") != nullptr);
  CHECK(f.registry->FederatedBundles().empty());

  f.Put("three.test");
  REQUIRE(f.registry->RemoveFederatedBundle(Domain("three.test"), BundleRemoval::kRestrict));
  f.Restart();
  CHECK(f.registry->FederatedBundles().empty());
  CHECK(f.registry->CountEntries({}) == 1);
}

TEST_CASE("observers hear of a removed bundle and of the entries it takes along, as one change") {
  BundlesFixture f;
  f.Put("one.test");
  f.AddEntry(1, {Domain("one.test")});
  std::vector<Change> changes;
  const auto id = f.registry->AddObserver([&](const Change& change) { changes.push_back(change); });
  REQUIRE(f.registry->RemoveFederatedBundle(Domain("one.test"), BundleRemoval::kDissociate));
  f.registry->RemoveObserver(id);
  REQUIRE(changes.size() == 1);
  CHECK(changes[0].bundles_removed == std::vector<TrustDomain>{Domain("one.test")});
  CHECK(Ids(changes[0].entries_put) == std::vector<std::string>{"entry-1"});
}

TEST_CASE("federated bundles are listed in order of creation, by pages, without the own one") {
  BundlesFixture f;
  f.Put("c.test");
  f.Put("a.test");
  f.Put("b.test");
  f.Put("c.test", 9);
  CHECK(f.Names(f.registry->ListFederatedBundles(0, "").value()) ==
        Names{"c.test", "a.test", "b.test"});
  const auto first = f.registry->ListFederatedBundles(2, "").value();
  CHECK(f.Names(first) == Names{"c.test"});
  const auto second = f.registry->ListFederatedBundles(2, first.next).value();
  CHECK(f.Names(second) == Names{"a.test", "b.test"});
  const auto third = f.registry->ListFederatedBundles(2, second.next).value();
  CHECK(third.items.empty());
  CHECK(third.next.empty());
  CHECK(f.registry->ListFederatedBundles(2, "2").error().reason == kPageTokenMalformed);
}

}  // namespace signet::identity
