// What the log says of the steps an authority takes.
#include <algorithm>

#include "identity/server/authority_keeper_state.h"

namespace signet::identity {
namespace {

std::string_view EventOf(ca::AuthorityState state) {
  switch (state) {
    case ca::AuthorityState::kPrepared:
      return event::kAuthorityPrepared;
    case ca::AuthorityState::kActive:
      return event::kAuthorityActivated;
    case ca::AuthorityState::kOld:
      break;
  }
  return event::kAuthorityRetired;
}

}  // namespace

AuditRecord AuthorityKeeper::State::MakeRecord(std::string_view event, const AuthorityRecord& of,
                                               const Actor& by) const {
  AuditRecord record;
  record.event = event;
  record.recorded_at = UnixSeconds(clock.Now());
  record.actor = by.name;
  record.purpose = of.type;
  record.authority_id = of.slot.id;
  record.not_after = UnixSeconds(of.slot.not_after);
  return record;
}

// One for each step that `changed` takes.
std::vector<AuditRecord> AuthorityKeeper::State::RecordsOf(
    const std::vector<AuthorityRecord>& changed, const Actor& by) const {
  std::vector<AuditRecord> said;
  for (const AuthorityRecord& next : changed) {
    const auto before = std::ranges::find_if(records, [&](const AuthorityRecord& record) {
      return record.type == next.type && record.slot.id == next.slot.id;
    });
    const bool is_new = before == records.end();
    if (is_new || before->slot.state != next.slot.state)
      said.push_back(MakeRecord(EventOf(next.slot.state), next, by));
    if (next.slot.tainted && (is_new || !before->slot.tainted))
      said.push_back(MakeRecord(event::kAuthorityTainted, next, by));
  }
  return said;
}

}  // namespace signet::identity
