// Servers below another one, as those whom a rotation waits for.
#include "identity/api/nested_service.h"

#include "tests/unit/identity/registry/registry_fixture.h"

namespace signet::identity {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

signet::nested::v1::ReportHeldRequest Held(const std::string& instance,
                                           const std::vector<std::string>& authorities) {
  signet::nested::v1::ReportHeldRequest report;
  report.set_instance(instance);
  report.mutable_authorities()->Assign(authorities.begin(), authorities.end());
  return report;
}

const Acknowledgement kAllHere{.all = true, .acknowledged = 2, .live = 2, .waiting_for = {}};

struct World : RegistryFixture {
  World() {
    Entry entry = test::MakeEntry(1);
    entry.downstream = true;
    server = entry.spiffe_id;
    entry_id = Create(entry)->id;
    service.emplace(*registry, clock);
  }
  Acknowledgement Of(const std::string& id) { return service->Of(id, kAllHere); }
  Status Record(const signet::nested::v1::ReportHeldRequest& report) {
    return service->Record(server, clock.Now() + minutes(5), report);
  }

  SpiffeId server;
  std::string entry_id;
  std::optional<NestedService> service;
};

}  // namespace

TEST_CASE("a server below is waited for until it says that its agents hold the authority") {
  World w;
  REQUIRE(w.Record(Held("one", {"first"})));
  CHECK(w.Of("first").all);
  CHECK(w.Of("first").acknowledged == 3);
  const auto next = w.Of("next");
  CHECK_FALSE(next.all);
  CHECK(next.live == 3);
  CHECK(next.acknowledged == 2);
  REQUIRE(next.waiting_for.size() == 1);
  CHECK(next.waiting_for[0].starts_with(w.server.ToString()));
  REQUIRE(w.Record(Held("one", {"first", "next"})));
  CHECK(w.Of("next").all);
  // Another of the same identity speaks for itself.
  REQUIRE(w.Record(Held("two", {"first"})));
  CHECK_FALSE(w.Of("next").all);
}

TEST_CASE("agents here are waited for whatever servers below say") {
  World w;
  REQUIRE(w.Record(Held("one", {"next"})));
  CHECK_FALSE(
      w.service->Of("next", {.all = false, .acknowledged = 1, .live = 2, .waiting_for = {}}).all);
}

TEST_CASE("a server below no longer counts once its SVID or its entry is gone") {
  World w;
  REQUIRE(w.Record(Held("one", {})));
  CHECK_FALSE(w.Of("next").all);
  SECTION("the SVID") {
    w.clock.Advance(minutes(5));
    CHECK(w.Of("next").all);
  }
  SECTION("the entry") {
    REQUIRE(w.registry->DeleteEntries(std::vector{w.entry_id}).at(0));
    CHECK(w.Of("next").all);
  }
}

TEST_CASE("after a start, servers below that have not reported yet are waited for, not for ever") {
  World w;
  CHECK_FALSE(w.Of("first").all);
  CHECK(w.Of("first").waiting_for.size() == 1);
  REQUIRE(w.Record(Held("one", {"first"})));
  CHECK(w.Of("first").all);
  NestedService restarted(*w.registry, w.clock);
  CHECK_FALSE(restarted.Of("first", kAllHere).all);
  w.clock.Advance(seconds(41));
  CHECK(restarted.Of("first", kAllHere).all);  // SPIRE's servers never report
}

TEST_CASE("a report out of bounds is refused, and changes nothing") {
  World w;
  REQUIRE(w.Record(Held("one", {"first"})));
  CHECK_FALSE(w.Record(Held("", {})));
  CHECK_FALSE(w.Record(Held(std::string(65, 'x'), {})));
  CHECK_FALSE(w.Record(Held("one", {""})));
  CHECK_FALSE(w.Record(Held("one", {std::string(257, 'x')})));
  CHECK_FALSE(w.Record(Held("one", std::vector<std::string>(1'001, "x"))));
  CHECK(w.Of("first").all);
  for (int i = 1; i < 1'000; ++i) REQUIRE(w.Record(Held(std::to_string(i), {"first"})));
  const Status over = w.Record(Held("over", {}));
  REQUIRE_FALSE(over);
  CHECK(over.error().reason == kReportsTooMany);
  CHECK(w.Of("first").all);
  // Those that ended make room.
  w.clock.Advance(minutes(6));
  CHECK(w.Record(Held("over", {"first"})));
}

}  // namespace signet::identity
