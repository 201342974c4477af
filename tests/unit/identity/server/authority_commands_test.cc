#include <catch2/catch.hpp>

#include "identity/server/authority_keeper.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_store.h"

namespace signet::identity {
namespace {

using std::chrono::hours;

const TrustDomain kTrustDomain = TrustDomain::Parse("example.org").value();

struct World {
  test::FakeClock clock;
  OsRandom random;
  Metrics metrics;
  Logger log = Logger::Null();
  AuthoritySettings settings;
  ca::MemoryKeyStore keys;
  std::unique_ptr<test::FakeStore> store = std::make_unique<test::FakeStore>();
  std::unique_ptr<Registry> registry;
  std::unique_ptr<AuthorityKeeper> keeper;

  explicit World(bool keep_jwt = true) {
    settings.keep_jwt = keep_jwt;
    Start();
  }
  void Start() {
    registry = Registry::Load(*store, kTrustDomain, clock, random).value();
    keeper = AuthorityKeeper::Start(*store, *registry, keys, settings, clock, random, log, metrics)
                 .value();
  }
  void Restart() {
    keeper.reset();
    registry.reset();
    store = store->Reopen();
    Start();
  }
  std::string ActiveId(std::string_view type) const {
    return type == kX509Authority ? keeper->Active()->id() : keeper->ActiveJwt()->key_id();
  }
  Publication InBundle(std::string_view type, const std::string& id) const {
    return PublicationOf(*registry->OwnBundle(), type, id);
  }
};

void CheckRefused(const Result<ca::AuthoritySlot>& answer, Code code, Reason reason) {
  REQUIRE_FALSE(answer);
  CHECK(answer.error().code == code);
  CHECK(answer.error().reason == reason);
}
void CheckRefused(const Status& answer, Code code, Reason reason) {
  REQUIRE_FALSE(answer);
  CHECK(answer.error().code == code);
  CHECK(answer.error().reason == reason);
}

}  // namespace

TEST_CASE("an authority of either type is prepared, activated, tainted and revoked in order") {
  for (const std::string_view type : {kX509Authority, kJwtAuthority}) {
    World w;
    const auto old = w.ActiveId(type);
    const auto next = w.keeper->PrepareNext(type).value().id;
    CHECK(w.ActiveId(type) == old);
    CHECK(w.keeper->Show(type).prepared->id == next);
    CHECK_FALSE(w.keeper->Show(type).old);
    CHECK(w.registry->OwnBundle()->sequence_number == 2);
    CHECK(w.InBundle(type, next) == Publication::kTrusted);

    CHECK(w.keeper->ActivatePrepared(type, next).value().id == next);
    CHECK(w.ActiveId(type) == next);
    CHECK(w.keeper->Show(type).old->id == old);
    CHECK_FALSE(w.keeper->Show(type).prepared);
    CHECK(w.registry->OwnBundle()->sequence_number == 2);

    CHECK(w.keeper->TaintOld(type, old).value().tainted);
    CHECK(w.InBundle(type, old) == Publication::kTainted);
    CheckRefused(w.keeper->TaintOld(type, old), Code::kInternal, kAuthorityTainted);

    REQUIRE(w.keeper->Revoke(type, old));
    CHECK(w.InBundle(type, old) == Publication::kAbsent);
    CHECK(w.keeper->Show(type).old->id == old);
    CheckRefused(w.keeper->Revoke(type, old), Code::kInternal, kAuthorityUnpublished);
    CheckRefused(w.keeper->TaintOld(type, old), Code::kInternal, kAuthorityUnpublished);

    w.Restart();
    CHECK(w.ActiveId(type) == next);
    CHECK(w.InBundle(type, old) == Publication::kAbsent);
    REQUIRE(w.keeper->Tick());
    CHECK(w.ActiveId(type) == next);
  }
}

TEST_CASE("an operator's steps out of order are refused, and change nothing") {
  for (const std::string_view type : {kX509Authority, kJwtAuthority}) {
    World w;
    auto& keeper = *w.keeper;
    const auto active = w.ActiveId(type);
    CheckRefused(keeper.ActivatePrepared(type, ""), Code::kInvalidArgument, kAuthorityIdMissing);
    CheckRefused(keeper.ActivatePrepared(type, "x"), Code::kInvalidArgument,
                 kAuthorityIdUnexpected);
    CheckRefused(keeper.ActivatePrepared(type, active), Code::kInvalidArgument,
                 kAuthorityIdUnexpected);
    CheckRefused(keeper.TaintOld(type, ""), Code::kInvalidArgument, kAuthorityIdMissing);
    CheckRefused(keeper.TaintOld(type, "x"), Code::kInvalidArgument, kAuthorityIdUnexpected);
    CheckRefused(keeper.TaintOld(type, active), Code::kInvalidArgument, kAuthorityStateWrong);
    CheckRefused(keeper.Revoke(type, ""), Code::kInvalidArgument, kAuthorityIdMissing);
    CheckRefused(keeper.Revoke(type, "x"), Code::kInvalidArgument, kAuthorityUnpublished);
    CheckRefused(keeper.Revoke(type, active), Code::kInvalidArgument, kAuthorityStateWrong);
    const auto next = keeper.PrepareNext(type).value().id;
    CheckRefused(keeper.TaintOld(type, next), Code::kInvalidArgument, kAuthorityStateWrong);
    CheckRefused(keeper.Revoke(type, next), Code::kInvalidArgument, kAuthorityStateWrong);
    REQUIRE(keeper.ActivatePrepared(type, next));
    CheckRefused(keeper.ActivatePrepared(type, active), Code::kInternal, kAuthorityStateWrong);
    CheckRefused(keeper.Revoke(type, active), Code::kInternal, kAuthorityUntainted);
    CHECK(w.registry->OwnBundle()->sequence_number == 2);
  }
}

TEST_CASE("preparing twice replaces the prepared authority, which stays in the bundle unused") {
  World w;
  const auto first = w.keeper->PrepareNext(kJwtAuthority).value().id;
  const auto second = w.keeper->PrepareNext(kJwtAuthority).value().id;
  CHECK(first != second);
  CheckRefused(w.keeper->ActivatePrepared(kJwtAuthority, first), Code::kInvalidArgument,
               kAuthorityIdUnexpected);
  const auto before = w.ActiveId(kJwtAuthority);
  REQUIRE(w.keeper->ActivatePrepared(kJwtAuthority, second));
  CHECK(w.keeper->Show(kJwtAuthority).old->id == before);
  CHECK(w.InBundle(kJwtAuthority, first) == Publication::kTrusted);
  CheckRefused(w.keeper->TaintOld(kJwtAuthority, first), Code::kInvalidArgument,
               kAuthorityIdUnexpected);
}

TEST_CASE("a prepared authority that has ended is not taken into use") {
  World w;
  const auto next = w.keeper->PrepareNext(kX509Authority).value().id;
  w.clock.Advance(hours(24));
  CheckRefused(w.keeper->ActivatePrepared(kX509Authority, next), Code::kFailedPrecondition,
               kAuthorityUnpublished);
}

TEST_CASE("the JWT authority in use signs after a restart too") {
  World w;
  const auto id = w.keeper->ActiveJwt()->key_id();
  w.Restart();
  REQUIRE(w.keeper->ActiveJwt() != nullptr);
  CHECK(w.keeper->ActiveJwt()->key_id() == id);
  CHECK(w.InBundle(kJwtAuthority, id) == Publication::kTrusted);
}

TEST_CASE("without JWT-SVIDs no JWT authority is made") {
  World w(false);
  CHECK(w.keeper->ActiveJwt() == nullptr);
  CHECK(w.registry->OwnBundle()->jwt_authorities.empty());
  CHECK(w.keeper->Active() != nullptr);
  REQUIRE(w.keeper->Tick());
  CHECK_FALSE(w.keeper->Show(kJwtAuthority).active);
}

}  // namespace signet::identity
