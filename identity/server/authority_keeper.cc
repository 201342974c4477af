#include "identity/server/authority_keeper.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <utility>

#include "ca/crypto/digest.h"
#include "identity/server/authority_keeper_state.h"

namespace signet::identity {
namespace {

using ca::AuthorityState;
using Step = ca::SlotDecision::Step;

constexpr std::size_t kAgentsNamed = 5;
constexpr std::array kTypes = {kX509Authority, kJwtAuthority};

// The live agents: attested, not banned, with an SVID that still counts.
std::size_t CountLiveAgents(const Registry& registry, WallTime now) {
  NodeFilter filter;
  filter.banned = false;
  const auto page = registry.ListNodes(filter, 0, {});
  if (!page) return 1;  // unknown is not none
  return static_cast<std::size_t>(std::count_if(
      page->items.begin(), page->items.end(),
      [&](const NodePtr& node) { return node->serial_expires_at > UnixSeconds(now); }));
}

Result<ca::Chain> ParseChain(const AuthorityRecord& record) {
  ca::Chain chain;
  for (const Bytes& der : record.chain) {
    SIGNET_TRY(ca::Certificate certificate, ca::Certificate::Parse(der));
    chain.push_back(std::move(certificate));
  }
  return chain;
}

}  // namespace

AuthorityKeeper::State::State(Store& s, Registry& r, ca::KeyStore& k, AuthoritySettings set,
                              const Clock& c, Random& rnd, const Logger& l, Metrics& metrics)
    : store(s),
      registry(r),
      keys(k),
      settings(std::move(set)),
      types(settings.keep_jwt ? std::vector{kX509Authority, kJwtAuthority}
                              : std::vector{kX509Authority}),
      clock(c),
      random(rnd),
      log(l),
      errors(metrics.Counter("signet_server_authority_errors_total",
                             "Steps of authority keeping that failed and will be tried again")) {
  for (const std::string_view type : kTypes) {
    const MetricLabels labels = {{"type", std::string(type)}};
    activations[type] = &metrics.Counter("signet_server_authority_activations_total",
                                         "Authorities taken into use", labels);
    ends[type] = &metrics.Gauge("signet_server_authority_end_seconds",
                                "When the active authority ends, Unix time", labels);
    waiting_for[type] = &metrics.Gauge(
        "signet_server_authority_waiting_agents",
        "Live agents that do not hold the prepared authority yet while it is due", labels);
  }
}

// Reading the journal.

Status AuthorityKeeper::State::Load() {
  SIGNET_TRY(std::vector<AuthorityRecord> loaded, store.LoadAuthorities());
  {
    const std::lock_guard lock(mutex);
    records = std::move(loaded);
    for (const AuthorityRecord& record : records)
      published_at[record.slot.id] = registry.revision();
  }
  const std::vector<AuthorityRecord> found = records;
  for (const AuthorityRecord& record : found) {
    if (record.slot.state == AuthorityState::kOld) continue;
    const auto signer = keys.Find(record.slot.key_id);
    // A key that is there but cannot be read may come back; replacing it in silence would change
    // the trust domain's roots for a wrong file permission.
    if (!signer && signer.error().reason != ca::kKeyNotFound) return Fail(signer.error());
    const Status usable = signer ? Restore(record, *signer) : Fail(signer.error());
    if (!usable) SIGNET_RETURN_IF_ERROR(Demote(record, usable.error().Message()));
  }
  SIGNET_RETURN_IF_ERROR(DemoteUnpublished());
  for (const std::string_view type : kTypes) {
    if (const AuthorityRecord* const record = FindActive(type))
      SetActive(type, ready[record->slot.id]);
  }
  return {};
}

// Makes the authority ready to sign if `signer` is its own.
Status AuthorityKeeper::State::Restore(const AuthorityRecord& record,
                                       std::shared_ptr<const ca::Signer> signer) {
  if (record.type == kJwtAuthority) {
    if (!Equal(signer->public_key().spki(), record.public_key)) {
      return Fail(Code::kFailedPrecondition, ca::kAuthorityKeyMismatch,
                  record.slot.key_id + " holds another key");
    }
    SIGNET_TRY(auto jwt,
               ca::JwtAuthority::Create(record.slot.id, record.slot.not_after, std::move(signer)));
    ready[record.slot.id].jwt = std::move(jwt);
    return {};
  }
  SIGNET_TRY(ca::Chain chain, ParseChain(record));
  SIGNET_TRY(auto x509, ca::X509Authority::Create(std::move(chain), std::move(signer)));
  ready[record.slot.id].x509 = std::move(x509);
  return {};
}

// Takes an authority out of use for good; it stays in the bundle for what it signed.
Status AuthorityKeeper::State::Demote(AuthorityRecord record, const std::string& why) {
  log.Warn("authority cannot be used any more; another one takes its place",
           {{"type", record.type},
            {"authority", record.slot.id},
            {"key", record.slot.key_id},
            {"why", why}});
  ready.erase(record.slot.id);
  record.slot.state = AuthorityState::kOld;
  return Write({std::move(record)});
}

// An active authority that is not in the own bundle signs what nobody can verify.
Status AuthorityKeeper::State::DemoteUnpublished() {
  const BundlePtr bundle = registry.OwnBundle();
  const std::vector<AuthorityRecord> found = records;
  for (const AuthorityRecord& record : found) {
    if (record.slot.state != AuthorityState::kActive) continue;
    if (bundle != nullptr && IsPublished(record, *bundle)) continue;
    SIGNET_RETURN_IF_ERROR(Demote(record, "it is not in the trust bundle"));
    SetActive(record.type, {});
  }
  return {};
}

// The journal of records: durable first, then in memory.
Status AuthorityKeeper::State::Write(std::vector<AuthorityRecord> changed, const Actor& by) {
  const std::vector<AuditRecord> said = RecordsOf(changed, by);
  const auto committed = store.Commit([&](Transaction& transaction) -> Status {
    for (const AuthorityRecord& record : changed)
      SIGNET_RETURN_IF_ERROR(transaction.authorities().Put(record));
    return store.AppendRecords(said);
  });
  if (!committed) return Fail(committed.error());
  const std::lock_guard lock(mutex);
  for (AuthorityRecord& record : changed) {
    const auto same =
        std::find_if(records.begin(), records.end(), [&](const AuthorityRecord& other) {
          return other.type == record.type && other.slot.id == record.slot.id;
        });
    if (same == records.end()) {
      records.push_back(std::move(record));
    } else {
      *same = std::move(record);
    }
  }
  return {};
}

const AuthorityRecord* AuthorityKeeper::State::FindActive(std::string_view type) const {
  const auto found =
      std::find_if(records.begin(), records.end(), [&](const AuthorityRecord& record) {
        return record.type == type && record.slot.state == AuthorityState::kActive;
      });
  return found == records.end() ? nullptr : &*found;
}

// The one DecideSlots() means: usable, and of several the one that ends last.
const AuthorityRecord* AuthorityKeeper::State::FindPrepared(std::string_view type,
                                                            WallTime now) const {
  const AuthorityRecord* prepared = nullptr;
  for (const AuthorityRecord& record : records) {
    const ca::AuthoritySlot& slot = record.slot;
    if (record.type != type || slot.state != AuthorityState::kPrepared || slot.tainted ||
        slot.not_after <= now)
      continue;
    if (prepared == nullptr || slot.not_after > prepared->slot.not_after) prepared = &record;
  }
  return prepared;
}

std::vector<ca::AuthoritySlot> AuthorityKeeper::State::SlotsOf(std::string_view type) const {
  std::vector<ca::AuthoritySlot> slots;
  for (const AuthorityRecord& record : records) {
    if (record.type == type) slots.push_back(record.slot);
  }
  return slots;
}

// One turn.

Status AuthorityKeeper::State::Tick() {
  const std::lock_guard turn(tick_mutex);
  const WallTime now = clock.Now();
  Status first;
  const auto attempt = [&](Status status, const char* what) {
    if (status) return;
    errors.Add();
    log.Error("keeping the authorities failed, will be tried again",
              {{"step", what}, {"error", status.error().Message()}});
    if (first) first = std::move(status);
  };
  attempt(DemoteUnpublished(), "check");
  for (const std::string_view type : types) {
    const Step step = ca::DecideSlots(SlotsOf(type), now, false).step;
    if (step != Step::kPrepare && step != Step::kPrepareAndActivate) continue;
    const auto prepared = Prepare(type, now);
    attempt(prepared ? Status() : Fail(prepared.error()), "prepare");
  }
  // Both types' new authorities go out in one change of the bundle.
  attempt(FollowAbove(now), "follow the authority above");
  attempt(PublishPrepared(), "publish");
  attempt(PublishJwtAbove(now), "publish above");
  for (const std::string_view type : types) attempt(Advance(type, now), "activate");
  attempt(Prune(now), "prune");
  SetEnds();
  return first;
}

Result<std::string> AuthorityKeeper::State::Prepare(std::string_view type, WallTime now,
                                                    const Actor& by) {
  const std::string key_id = ChooseKeyId(type, records);
  Usable made;
  // Certificates and the journal say whole seconds; when what is due is decided exactly.
  const WallTime issued_at = std::chrono::floor<std::chrono::seconds>(now);
  SIGNET_TRY(AuthorityRecord record, type == kX509Authority ? MakeX509(key_id, issued_at, &made)
                                                            : MakeJwt(key_id, issued_at, &made));
  std::vector<AuthorityRecord> changed;
  // A prepared authority whose key was just replaced is one no longer.
  for (const AuthorityRecord& other : records) {
    if (other.type != type || other.slot.state != AuthorityState::kPrepared ||
        other.slot.key_id != key_id)
      continue;
    ready.erase(other.slot.id);
    changed.push_back(other);
    changed.back().slot.state = AuthorityState::kOld;
  }
  log.Info("authority prepared", {{"type", type},
                                  {"authority", record.slot.id},
                                  {"key", key_id},
                                  {"ends", FormatTime(record.slot.not_after)}});
  const std::string id = record.slot.id;
  changed.push_back(std::move(record));
  SIGNET_RETURN_IF_ERROR(Write(std::move(changed), by));
  ready[id] = std::move(made);
  return id;
}

Result<AuthorityRecord> AuthorityKeeper::State::MakeX509(const std::string& key_id, WallTime now,
                                                         Usable* made) {
  SIGNET_TRY(const auto signer, keys.Generate(key_id, settings.ca_key_type));
  ca::Chain chain;
  if (settings.upstream != nullptr) {
    SIGNET_TRY(chain, CertifyAbove(signer, now));
    SIGNET_TRY(made->x509, ca::X509Authority::Create(chain, signer));
  } else {
    const ca::RootProfile profile{.uri_san = registry.trust_domain().IdString(),
                                  .subject = settings.ca_subject,
                                  .not_before = now - settings.backdate,
                                  .not_after = now + settings.ca_ttl};
    SIGNET_TRY(made->x509,
               ca::X509Authority::CreateRoot(
                   profile, signer, random, [&](const ca::IssuanceIntent& intent) -> Status {
                     return store.AppendRecords({MakeIssuanceRecord(intent, now)});
                   }));
    chain = {made->x509->certificate()};
  }
  AuthorityRecord record;
  record.type = kX509Authority;
  const ca::Certificate& certificate = made->x509->certificate();
  record.slot = {.id = made->x509->id(),
                 .key_id = key_id,
                 .state = AuthorityState::kPrepared,
                 .issued_at = now,
                 .not_after = certificate.not_after()};
  for (const ca::Certificate& one : chain) record.chain.push_back(ToBytes(one.der()));
  return record;
}

Result<AuthorityRecord> AuthorityKeeper::State::MakeJwt(const std::string& key_id, WallTime now,
                                                        Usable* made) {
  SIGNET_TRY(const auto signer, keys.Generate(key_id, settings.jwt_key_type));
  AuthorityRecord record;
  record.type = kJwtAuthority;
  record.public_key = ToBytes(signer->public_key().spki());
  // The key id verifiers look for: 128 bits of the key's own digest, so that no two keys share one.
  record.slot = {.id = EncodeHex(ByteView(ca::Sha256(record.public_key)).first(16)),
                 .key_id = key_id,
                 .state = AuthorityState::kPrepared,
                 .issued_at = now,
                 .not_after = now + settings.ca_ttl};
  SIGNET_TRY(made->jwt, ca::JwtAuthority::Create(record.slot.id, record.slot.not_after, signer));
  return record;
}

Status AuthorityKeeper::State::PublishPrepared() {
  const BundlePtr bundle = registry.OwnBundle();
  std::vector<AuthorityRecord> missing;
  for (const AuthorityRecord& record : records) {
    if (record.slot.state != AuthorityState::kPrepared || record.slot.tainted) continue;
    if (bundle == nullptr || !IsPublished(record, *bundle)) {
      missing.push_back(record);
    } else if (!published_at.contains(record.slot.id)) {
      const Revision since = PublishedAt(record);
      const std::lock_guard lock(mutex);
      published_at[record.slot.id] = since;
    }
  }
  if (missing.empty()) return {};
  SIGNET_TRY(const BundlePtr published, registry.ChangeOwnBundle([&](Bundle& own) -> Status {
    for (const AuthorityRecord& record : missing) SIGNET_RETURN_IF_ERROR(Publish(record, own));
    return {};
  }));
  const std::lock_guard lock(mutex);
  for (const AuthorityRecord& record : missing) published_at[record.slot.id] = registry.revision();
  return {};
}

// Takes the prepared authority into use when it is due and may be.
Status AuthorityKeeper::State::Advance(std::string_view type, WallTime now) {
  Step step = ca::DecideSlots(SlotsOf(type), now, false).step;
  const AuthorityRecord* const prepared = FindPrepared(type, now);
  if (step == Step::kWaitForVerifiers && MayActivate(*prepared, now)) step = Step::kActivate;
  if (step != Step::kWaitForVerifiers) waiting_for[type]->Set(0);
  if (step != Step::kActivate) return {};
  const BundlePtr bundle = registry.OwnBundle();
  if (bundle == nullptr || !IsPublished(*prepared, *bundle)) {
    return Fail(Code::kFailedPrecondition, kAuthorityUnpublished,
                prepared->slot.id + " is not in the trust bundle yet");
  }
  SIGNET_RETURN_IF_ERROR(CheckKnownAbove(*prepared, now));
  const AuthorityRecord* const current = FindActive(type);
  if (current != nullptr && !Acknowledged(prepared->slot.id, now).all) {
    log.Warn(
        "authority goes into use before every live agent holds it: the active one is about to end",
        {{"type", type},
         {"authority", prepared->slot.id},
         {"ends", FormatTime(current->slot.not_after)}});
  }
  return Activate(*prepared);
}

bool AuthorityKeeper::State::MayActivate(const AuthorityRecord& prepared, WallTime now) {
  const Acknowledgement answer = Acknowledged(prepared.slot.id, now);
  if (answer.all) return true;
  const std::size_t missing = answer.live - std::min(answer.live, answer.acknowledged);
  waiting_for.at(prepared.type)->Set(static_cast<double>(missing));
  if (wait_logged.insert(prepared.slot.id).second) {
    const std::size_t named = std::min(answer.waiting_for.size(), kAgentsNamed);
    log.Warn("authority is due but waits until every live agent holds it",
             {{"type", prepared.type},
              {"authority", prepared.slot.id},
              {"missing", missing},
              {"live", answer.live},
              {"waits_for",
               fmt::format(
                   "{}", fmt::join(answer.waiting_for.begin(),
                                   answer.waiting_for.begin() + static_cast<long>(named), " "))}});
  }
  return false;
}

Acknowledgement AuthorityKeeper::State::Acknowledged(const std::string& id, WallTime now) const {
  AcknowledgementSource ask;
  Revision since = 0;
  {
    const std::lock_guard lock(mutex);
    ask = source;
    const auto found = published_at.find(id);
    since = found == published_at.end() ? registry.revision() : found->second;
  }
  if (ask) return ask(id, since);
  Acknowledgement answer;
  answer.live = CountLiveAgents(registry, now);
  answer.all = answer.live == 0;
  return answer;
}

Status AuthorityKeeper::State::Activate(const AuthorityRecord& next, const Actor& by) {
  std::vector<AuthorityRecord> changed;
  for (const AuthorityRecord& record : records) {
    if (record.type != next.type || record.slot.state != AuthorityState::kActive) continue;
    changed.push_back(record);
    changed.back().slot.state = AuthorityState::kOld;
  }
  changed.push_back(next);
  changed.back().slot.state = AuthorityState::kActive;
  const std::string id = next.slot.id, type = next.type;
  const auto usable = ready.find(id);
  if (usable == ready.end() || !usable->second.IsOf(type))
    return Fail(Code::kInternal, ca::kKeyNotFound, "no key is loaded for " + id);
  SIGNET_RETURN_IF_ERROR(Write(std::move(changed), by));
  std::erase_if(ready,
                [&](const auto& other) { return other.second.IsOf(type) && other.first != id; });
  SetActive(type, usable->second);
  wait_logged.erase(id);
  activations.at(type)->Add();
  log.Info("authority active", {{"type", type}, {"authority", id}});
  return {};
}

void AuthorityKeeper::State::SetActive(std::string_view type, const Usable& usable) {
  const std::lock_guard lock(mutex);
  if (type == kX509Authority) {
    active = usable.x509;
  } else {
    active_jwt = usable.jwt;
  }
}

// Out of the bundle first, then out of the journal, then the key: after a crash the next turn goes
// on.
Status AuthorityKeeper::State::Prune(WallTime now) {
  if (const BundlePtr bundle = registry.OwnBundle();
      bundle != nullptr && HasPrunable(*bundle, records, now)) {
    SIGNET_TRY(const BundlePtr pruned, registry.ChangeOwnBundle([&](Bundle& own) -> Status {
      PruneBundle(records, now, own);
      return {};
    }));
    log.Info("ended authorities left the trust bundle", {{"sequence", pruned->sequence_number}});
  }
  for (const std::string_view type : kTypes) {
    for (const std::string& id : ca::DecideSlots(SlotsOf(type), now, false).prune) {
      const auto same =
          std::find_if(records.begin(), records.end(), [&](const AuthorityRecord& record) {
            return record.type == type && record.slot.id == id;
          });
      const auto committed = store.Commit([&](Transaction& transaction) -> Status {
        SIGNET_RETURN_IF_ERROR(transaction.authorities().Remove(std::string(type), id));
        return store.AppendRecords({MakeRecord(event::kAuthorityRemoved, *same, Actor())});
      });
      if (!committed) return Fail(committed.error());
      const std::string key_id = same->slot.key_id;
      {
        const std::lock_guard lock(mutex);
        records.erase(same);
        published_at.erase(id);
      }
      ready.erase(id);
      const bool reused =
          std::any_of(records.begin(), records.end(),
                      [&](const AuthorityRecord& record) { return record.slot.key_id == key_id; });
      if (!reused) SIGNET_RETURN_IF_ERROR(keys.Remove(key_id));
    }
  }
  return {};
}

void AuthorityKeeper::State::SetEnds() {
  for (const std::string_view type : kTypes) {
    const AuthorityRecord* const record = FindActive(type);
    ends[type]->Set(record == nullptr ? 0
                                      : static_cast<double>(UnixSeconds(record->slot.not_after)));
  }
}

// The outside.

AuthorityKeeper::AuthorityKeeper(std::unique_ptr<State> state) : state_(std::move(state)) {}
AuthorityKeeper::~AuthorityKeeper() = default;

Result<std::unique_ptr<AuthorityKeeper>> AuthorityKeeper::Start(
    Store& store, Registry& registry, ca::KeyStore& keys, const AuthoritySettings& settings,
    const Clock& clock, Random& random, const Logger& log, Metrics& metrics) {
  auto state =
      std::make_unique<State>(store, registry, keys, settings, clock, random, log, metrics);
  SIGNET_RETURN_IF_ERROR(state->Load());
  // What fails here is fatal only without an authority of each type that can sign now.
  const Status turn = state->Tick();
  const WallTime now = clock.Now();
  for (const std::string_view type : state->types) {
    const AuthorityRecord* const record = state->FindActive(type);
    if (record != nullptr && record->slot.not_after > now) continue;
    if (!turn) return Fail(turn.error());
    return Fail(Code::kInternal, kNoActiveAuthority, std::string(type));
  }
  return std::unique_ptr<AuthorityKeeper>(new AuthorityKeeper(std::move(state)));
}

std::shared_ptr<const ca::X509Authority> AuthorityKeeper::Active() const {
  const std::lock_guard lock(state_->mutex);
  return state_->active;
}

std::shared_ptr<const ca::JwtAuthority> AuthorityKeeper::ActiveJwt() const {
  const std::lock_guard lock(state_->mutex);
  return state_->active_jwt;
}

void AuthorityKeeper::SetAcknowledgementSource(AcknowledgementSource source) {
  const std::lock_guard lock(state_->mutex);
  state_->source = std::move(source);
}

Status AuthorityKeeper::Tick() { return state_->Tick(); }

std::vector<AuthorityKeeper::SlotStatus> AuthorityKeeper::Slots() const {
  std::vector<AuthorityRecord> records;
  {
    const std::lock_guard lock(state_->mutex);
    records = state_->records;
  }
  std::vector<SlotStatus> slots;
  for (const AuthorityRecord& record : records) {
    SlotStatus status{.slot = record.slot, .type = record.type, .acknowledgement = {}};
    if (record.slot.state != AuthorityState::kOld) {
      status.acknowledgement = state_->Acknowledged(record.slot.id, state_->clock.Now());
    }
    slots.push_back(std::move(status));
  }
  return slots;
}

}  // namespace signet::identity
