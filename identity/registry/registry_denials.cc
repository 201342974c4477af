#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "identity/registry/registry.h"
#include "identity/registry/registry_state.h"

namespace signet::identity {
namespace {

// What goes to a proxy in one message; kMaxDenials serial numbers fit.
constexpr std::size_t kMaxDenialBytes = 16U << 20;

std::size_t BytesOf(const Denial& denial) {
  constexpr std::size_t kFraming = 24;  // as a message: tags, lengths, numbers
  return kFraming + denial.id.size() + denial.subject.size();
}

Status CheckRoom(const DenialSet& held, std::size_t subject_bytes) {
  constexpr std::size_t kIdBytes = 36;
  std::size_t bytes = BytesOf({}) + kIdBytes + subject_bytes;
  for (const DenialPtr& denial : held.all()) bytes += BytesOf(*denial);
  if (held.all().size() < kMaxDenials && bytes <= kMaxDenialBytes) return {};
  return Fail(Code::kResourceExhausted, kTooManyDenials,
              fmt::format("{} are kept already; at most {} or {} bytes are: remove some",
                          held.all().size(), kMaxDenials, kMaxDenialBytes));
}

// 0 is for good, so it is later than any time.
std::int64_t LaterEnd(std::int64_t a, std::int64_t b) {
  return a == 0 || b == 0 ? 0 : std::max(a, b);
}

Node Banned(Node node) {
  node.serial.clear();
  node.new_serial.clear();
  node.new_serial_expires_at = 0;
  return node;
}

}  // namespace

Status Registry::State::CheckNodeNotDenied(const Node& node) const {
  if (node.banned()) return {};
  const Denial* denial = denials->Find(node.id, {}, clock.Now());
  if (denial == nullptr) return {};
  return Fail(Code::kPermissionDenied, kIdentityRevoked,
              fmt::format("{} is denied by {}", node.id.ToString(), denial->id));
}

void Registry::State::ApplyDenials(const Change& change) {
  if (change.denials_put.empty() && change.denials_removed.empty()) return;
  std::set<std::string_view> removed;
  for (const DenialPtr& denial : change.denials_removed) removed.insert(denial->id);
  std::vector<DenialPtr> next;
  for (const DenialPtr& denial : denials->all())
    if (!removed.contains(denial->id)) next.push_back(denial);
  next.insert(next.end(), change.denials_put.begin(), change.denials_put.end());
  denials = DenialSet::Create(std::move(next));
}

DenialPtr Registry::State::PutDenial(Denial wanted, Change* change) {
  if (const DenialPtr same = denials->FindSame(wanted.kind, wanted.subject)) {
    Denial longer = *same;
    longer.until = LaterEnd(same->until, wanted.until);
    if (longer.until == same->until) return same;
    wanted = std::move(longer);
  } else {
    wanted.id = random.Uuid();
    wanted.created_at = Now();
  }
  change->denials_put.push_back(std::make_shared<const Denial>(std::move(wanted)));
  return change->denials_put.back();
}

// The agent's own denial and ban stand before the log is read: what is signed after that is
// refused, what was recorded before it is read here.
Status Registry::State::DenyIssuedThrough(const Denial& agent, const Actor& by,
                                          std::vector<DenialPtr>* made) {
  const std::size_t room = kMaxDenials - denials->all().size();
  SIGNET_TRY(const std::vector<LiveSerial> serials,
             store.LoadLiveSerials(agent.subject, Now(), room + 1));
  if (serials.size() > room)
    return Fail(Code::kResourceExhausted, kTooManyDenials,
                fmt::format("{} is denied and banned, but not the SVIDs issued through it: there "
                            "are more than {}, and at most {} denials are kept; rotate the "
                            "authority, then taint and revoke the old one",
                            agent.subject, room, kMaxDenials));
  Change change;
  for (const LiveSerial& live : serials) {
    auto digits = NormalizeDenialSubject(DenialKind::kSerial, live.serial);
    if (!digits) continue;  // no certificate has it
    Denial denial = agent;
    denial.kind = DenialKind::kSerial;
    denial.subject = *std::move(digits);
    denial.until = live.not_after;
    denial.reason = agent.reason.empty() ? "issued through " + agent.subject : agent.reason;
    made->push_back(PutDenial(std::move(denial), &change));
  }
  return change.denials_put.empty() ? Status() : Publish(change, by);
}

DenialSetPtr Registry::Denials() const {
  const std::shared_lock lock(state_->memory_mutex);
  return state_->denials;
}

bool Registry::IsDenied(const SpiffeId& id, std::string_view serial) const {
  return Denials()->Find(id, serial, state_->clock.Now()) != nullptr;
}

Result<std::vector<DenialPtr>> Registry::Deny(Denial wanted, const Actor& by) {
  State& state = *state_;
  SIGNET_TRY(wanted.subject, NormalizeDenialSubject(wanted.kind, wanted.subject));
  if (wanted.reason.size() > kMaxDenialTextBytes)
    return Fail(Code::kInvalidArgument, kDenialMalformed,
                fmt::format("a reason has at most {} bytes", kMaxDenialTextBytes));
  const std::lock_guard changing(state.change_mutex);
  if (!state.denials->FindSame(wanted.kind, wanted.subject))
    SIGNET_RETURN_IF_ERROR(CheckRoom(*state.denials, wanted.subject.size()));
  if (wanted.kind == DenialKind::kSerial && wanted.until == 0) {
    SIGNET_TRY(wanted.until, state.EndOfSerial(wanted.subject));
  }
  Change change;
  std::vector<DenialPtr> made = {state.PutDenial(wanted, &change)};
  if (wanted.kind == DenialKind::kAgent) {
    SIGNET_TRY(const SpiffeId agent, SpiffeId::Parse(wanted.subject));
    if (const NodePtr node = state.nodes.Find(agent); node && !node->banned())
      change.nodes_put.push_back(std::make_shared<const Node>(Banned(*node)));
  }
  if (!change.denials_put.empty() || !change.nodes_put.empty())
    SIGNET_RETURN_IF_ERROR(state.Publish(change, by));
  if (wanted.kind == DenialKind::kAgent)
    SIGNET_RETURN_IF_ERROR(state.DenyIssuedThrough(*made.front(), by, &made));
  return made;
}

// The log writes whole octets, and all of them.
Result<std::int64_t> Registry::State::EndOfSerial(const std::string& digits) {
  constexpr std::size_t kSerialDigits = 40;
  const std::string whole = std::string(kSerialDigits - digits.size(), '0') + digits;
  for (const std::string& spelling : {digits, "0" + digits, whole}) {
    SIGNET_TRY(const auto issued, store.LoadLog({.serial = spelling, .limit = 1}));
    // A record of a denial names a serial number too, but no purpose.
    if (!issued.empty() && !issued.front().record.purpose.empty())
      return std::max(issued.front().record.not_after, Now() + 1);
  }
  return 0;
}

Result<DenialPtr> Registry::RemoveDenial(const std::string& id, const Actor& by) {
  State& state = *state_;
  const std::lock_guard changing(state.change_mutex);
  DenialPtr denial = state.denials->FindById(id);
  if (!denial) return Fail(Code::kNotFound, kDenialUnknown, "list shows the ids there are");
  Change change;
  change.denials_removed.push_back(denial);
  SIGNET_RETURN_IF_ERROR(state.Publish(change, by));
  return denial;
}

Result<std::size_t> Registry::PruneDenials(const Actor& by) {
  State& state = *state_;
  const std::lock_guard changing(state.change_mutex);
  const WallTime now = state.clock.Now();
  Change change;
  for (const DenialPtr& denial : state.denials->all())
    if (!denial->HoldsAt(now)) change.denials_removed.push_back(denial);
  if (!change.denials_removed.empty()) SIGNET_RETURN_IF_ERROR(state.Publish(change, by));
  return change.denials_removed.size();
}

}  // namespace signet::identity
