#include "ca/authority/authority_slots.h"

#include <catch2/catch.hpp>

namespace signet::ca {
namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using Step = SlotDecision::Step;

const WallTime kStart = FromUnixSeconds(1'767'225'600);

AuthoritySlot Slot(AuthorityState state, Duration issued_after_start,
                   Duration lifetime = hours(24)) {
  AuthoritySlot slot;
  slot.id = std::string(AuthorityStateName(state));
  slot.key_id = "x509-CA-A";
  slot.state = state;
  slot.issued_at = kStart + std::chrono::duration_cast<WallTime::duration>(issued_after_start);
  slot.not_after = slot.issued_at + std::chrono::duration_cast<WallTime::duration>(lifetime);
  return slot;
}

Step StepAt(const std::vector<AuthoritySlot>& slots, Duration after_start, bool acknowledged) {
  return DecideSlots(slots, kStart + std::chrono::duration_cast<WallTime::duration>(after_start),
                     acknowledged)
      .step;
}

}  // namespace

TEST_CASE("thresholds are half and a sixth of the life, at most 30 and 7 days") {
  struct Row {
    Duration lifetime, prepare, activate;
  };
  for (const Row& row :
       {Row{hours(24), hours(12), hours(4)}, Row{minutes(1), seconds(30), seconds(10)},
        Row{days(42), days(21), days(7)}, Row{days(60), days(30), days(7)},
        Row{days(3650), days(30), days(7)}}) {
    const AuthoritySlot slot = Slot(AuthorityState::kActive, hours(0), row.lifetime);
    CHECK(PrepareThreshold(slot) == row.prepare);
    CHECK(ActivateThreshold(slot) == row.activate);
    CHECK(MaxUncutTtl(row.lifetime) == row.activate);
  }
}

TEST_CASE("a day's authority is followed as SPIRE follows it") {
  const AuthoritySlot active = Slot(AuthorityState::kActive, hours(0));
  const AuthoritySlot next = Slot(AuthorityState::kPrepared, hours(12));
  struct Row {
    std::string what;
    std::vector<AuthoritySlot> slots;
    Duration at;
    bool acknowledged;
    Step step;
  };
  const std::vector<Row> rows = {
      {"nothing there", {}, hours(0), false, Step::kPrepareAndActivate},
      {"fresh", {active}, hours(0), false, Step::kNothing},
      {"at half life exactly", {active}, hours(12), false, Step::kNothing},
      {"past half life", {active}, hours(12) + seconds(1), false, Step::kPrepare},
      {"prepared, before five sixths", {active, next}, hours(13), true, Step::kNothing},
      {"at five sixths exactly", {active, next}, hours(20), true, Step::kNothing},
      {"past five sixths, acknowledged",
       {active, next},
       hours(20) + seconds(1),
       true,
       Step::kActivate},
      {"past five sixths, not acknowledged",
       {active, next},
       hours(20) + seconds(1),
       false,
       Step::kWaitForVerifiers},
      {"an hour left, not acknowledged", {active, next}, hours(23), false, Step::kWaitForVerifiers},
      {"under five minutes left",
       {active, next},
       hours(24) - minutes(5) + seconds(1),
       false,
       Step::kActivate},
      {"ended, not acknowledged", {active, next}, hours(25), false, Step::kActivate},
      {"ended, nothing prepared", {active}, hours(25), true, Step::kPrepareAndActivate},
      {"late and nothing prepared", {active}, hours(23), true, Step::kPrepare},
      {"prepared and none active", {next}, hours(13), false, Step::kActivate},
      {"both ended", {active, next}, hours(37), true, Step::kPrepareAndActivate},
      {"only an old one",
       {Slot(AuthorityState::kOld, hours(0))},
       hours(1),
       true,
       Step::kPrepareAndActivate},
  };
  for (const Row& row : rows) {
    INFO(row.what);
    CHECK(StepAt(row.slots, row.at, row.acknowledged) == row.step);
  }
}

TEST_CASE("a tainted prepared authority is never taken into use") {
  AuthoritySlot tainted = Slot(AuthorityState::kPrepared, hours(12));
  tainted.tainted = true;
  const AuthoritySlot active = Slot(AuthorityState::kActive, hours(0));
  CHECK(StepAt({active, tainted}, hours(21), true) == Step::kPrepare);
  CHECK(StepAt({tainted}, hours(13), true) == Step::kPrepareAndActivate);
}

TEST_CASE("a short life's last moment is a twelfth of it") {
  const AuthoritySlot active = Slot(AuthorityState::kActive, seconds(0), seconds(60));
  const AuthoritySlot next = Slot(AuthorityState::kPrepared, seconds(31), seconds(60));
  CHECK(StepAt({active, next}, seconds(55), false) == Step::kWaitForVerifiers);
  CHECK(StepAt({active, next}, seconds(56), false) == Step::kActivate);
}

TEST_CASE("authorities are pruned a day after their end, or a life after it when that is shorter") {
  const auto pruned = [](const AuthoritySlot& slot, Duration at) {
    return DecideSlots({slot}, kStart + std::chrono::duration_cast<WallTime::duration>(at), true)
               .prune.size() == 1;
  };
  const AuthoritySlot old = Slot(AuthorityState::kOld, hours(0), days(10));
  CHECK_FALSE(pruned(old, days(11) - seconds(1)));
  CHECK(pruned(old, days(11)));
  const AuthoritySlot brief = Slot(AuthorityState::kOld, hours(0), minutes(1));
  CHECK_FALSE(pruned(brief, minutes(2) - seconds(1)));
  CHECK(pruned(brief, minutes(2)));
  CHECK(pruned(Slot(AuthorityState::kPrepared, hours(0), minutes(1)), minutes(2)));
  CHECK_FALSE(pruned(Slot(AuthorityState::kActive, hours(0), minutes(1)), minutes(2)));
}

}  // namespace signet::ca
