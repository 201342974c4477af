#include "identity/api/sync_session.h"

#include <algorithm>

#include "identity/api/convert.h"
#include "identity/api/rpc_status.h"
#include "identity/api/sync_hub.h"

namespace signet::identity {
namespace {

namespace sync_api = signet::sync::v1;

constexpr std::size_t kUpsertsPerPart = 500;
constexpr std::size_t kRemovalsPerPart = 4000;
constexpr std::size_t kRememberedDigests = 32;
constexpr std::size_t kMaxVersionBytes = 255;
constexpr auto kDigestInterval = std::chrono::seconds(60);
constexpr auto kLookInterval = std::chrono::seconds(15);

const std::string& IdOf(const EntryPtr& entry) { return entry->id; }

void AppendBigEndian(std::uint64_t value, int bytes, Bytes* out) {
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8)
    out->push_back(static_cast<std::uint8_t>(value >> shift));
}

}  // namespace

ca::Sha256Digest EntriesDigest(std::span<const EntryPtr> entries) {
  ca::Sha256Hasher hasher;
  Bytes row;
  for (const auto& entry : entries) {
    row.clear();
    AppendBigEndian(entry->id.size(), 4, &row);
    const auto id = AsBytes(entry->id);
    row.insert(row.end(), id.begin(), id.end());
    AppendBigEndian(static_cast<std::uint64_t>(entry->revision_number), 8, &row);
    AppendBigEndian(static_cast<std::uint64_t>(entry->created_at), 8, &row);
    hasher.Update(row);
  }
  return hasher.Finish();
}

void SyncSession::OnMessage(const std::string& message) {
  sync_api::SubscribeRequest request;
  if (auto parsed = ParseMessage(message, &request); !parsed)
    return call_->End(ToGrpcStatus(parsed.error()));
  if (request.has_hello()) {
    OnHello(request.hello());
  } else if (request.has_applied()) {
    OnApplied(request.applied());
  }
}

void SyncSession::OnHello(const sync_api::Hello& hello) {
  {
    std::lock_guard lock(mutex_);
    if (hello_) {
      return call_->End(
          {grpc::StatusCode::INVALID_ARGUMENT, "hello: sent a second time on this stream"});
    }
    hello_ = hello;
    dirty_ = true;
  }
  hub_.log().Info("agent subscribed",
                  {{"agent", caller().id.ToString()},
                   {"last_revision", hello.last_revision()},
                   {"version", EscapeForLog(hello.agent_version(), kMaxVersionBytes)}});
  hub_.Ready(shared_from_this(), SyncHub::Pace::kInTurn);
}

void SyncSession::OnApplied(const sync_api::Applied& applied) {
  bool differs = false;
  {
    std::lock_guard lock(mutex_);
    const auto found =
        std::ranges::find(recent_, applied.revision(), &std::pair<Revision, Digest>::first);
    if (found == recent_.end() || (outgoing_ && outgoing_->revision == applied.revision())) {
      return call_->End({grpc::StatusCode::INVALID_ARGUMENT,
                         "applied.revision: not a revision sent whole on this stream"});
    }
    differs = !Equal(AsBytes(applied.digest()), found->second);
    if (differs) {
      full_wanted_ = true;
      dirty_ = true;
    }
  }
  if (!differs) return hub_.acknowledgements().Record(caller().id, applied.revision());
  hub_.CountMismatch();
  hub_.Ready(shared_from_this(), SyncHub::Pace::kInTurn);
}

void SyncSession::OnSent() {
  {
    std::lock_guard lock(mutex_);
    in_flight_ = false;
  }
  hub_.Sent(shared_from_this());
}

void SyncSession::OnOver() { hub_.Remove(shared_from_this()); }

void SyncSession::MarkDirty() {
  std::lock_guard lock(mutex_);
  dirty_ = true;
}

bool SyncSession::Holds(const std::string& entry_id) const {
  std::lock_guard lock(mutex_);
  const auto found = std::ranges::lower_bound(sent_.entries, entry_id, {}, IdOf);
  return found != sent_.entries.end() && (*found)->id == entry_id;
}

void SyncSession::Deny(AgentDenial denial, const std::string& reason) {
  {
    std::lock_guard lock(mutex_);
    if (denied_) return;
    denied_ = true;
  }
  sync_api::SubscribeResponse response;
  response.mutable_denied()->set_reason(reason);
  call_->Send(SerializeMessage(response));
  call_->End(DeniedStatus(reason, denial));
}

bool SyncSession::IsDue(SteadyTime now) {
  if (now < next_look_) return false;
  next_look_ = now + kLookInterval;
  return true;
}

bool SyncSession::Pump(Revision last_bundle_removal, SteadyTime now) {
  std::lock_guard lock(mutex_);
  if (!hello_ || in_flight_ || denied_) return false;
  // Who is denied goes ahead of all else, also between the parts of a batch.
  if (!outgoing_denials_) BuildDenials();
  if (!outgoing_ && dirty_) Build(last_bundle_removal);
  if (outgoing_denials_) {
    SendDenialsPart();
  } else if (outgoing_) {
    SendPart();
  } else if (began_ && now >= next_digest_) {
    SendDigest(now);
  }
  return in_flight_;
}

SyncSession::Target SyncSession::ReadTarget() const {
  Target target;
  auto& registry = hub_.registry();
  target.entries = registry.AuthorizedEntries(caller().id);
  std::ranges::sort(target.entries, {}, IdOf);
  if (auto own = registry.OwnBundle()) target.bundles[registry.trust_domain()] = std::move(own);
  for (const auto& entry : target.entries) {
    for (const auto& domain : entry->federates_with) {
      if (target.bundles.contains(domain)) continue;
      if (auto bundle = registry.FindBundle(domain)) target.bundles[domain] = std::move(bundle);
    }
  }
  return target;
}

// Whether the agent holds exactly the entries it should, and no bundle it should not.
bool SyncSession::MayContinue(const Target& target, Revision now,
                              Revision last_bundle_removal) const {
  return hello_->last_revision() != 0 && hello_->last_revision() <= now &&
         hello_->last_revision() >= last_bundle_removal &&
         Equal(AsBytes(hello_->last_digest()), EntriesDigest(target.entries));
}

void SyncSession::Build(Revision last_bundle_removal) {
  dirty_ = false;
  // Read first: what is read after it is at least as new, so the revision never says too much.
  const auto revision = hub_.registry().revision();
  auto target = ReadTarget();
  Outgoing next;
  if (!began_ && MayContinue(target, revision, last_bundle_removal)) {
    if (hello_->last_revision() < revision) {
      for (const auto& [domain, bundle] : target.bundles) next.bundles.push_back(bundle);
    }
  } else if (!began_ || full_wanted_) {
    next.full = true;
    next.upserts = target.entries;
    for (const auto& [domain, bundle] : target.bundles) next.bundles.push_back(bundle);
  } else {
    next = Difference(target);
    if (next.upserts.empty() && next.removed_entries.empty() && next.bundles.empty() &&
        next.removed_bundles.empty()) {
      return;
    }
  }
  if (began_ && revision <= sent_revision_) {
    // Revisions grow: the same one cannot be sent again. The agent subscribes anew and gets all; a
    // difference is the work of a change that is just being announced and comes with its revision.
    if (full_wanted_)
      call_->End({grpc::StatusCode::ABORTED, "the entries held differ: subscribe again"});
    return;
  }
  began_ = true;
  full_wanted_ = false;
  next.revision = revision;
  sent_ = std::move(target);
  sent_revision_ = revision;
  recent_.emplace_back(revision, EntriesDigest(sent_.entries));
  if (recent_.size() > kRememberedDigests) recent_.pop_front();
  outgoing_ = std::move(next);
}

SyncSession::Outgoing SyncSession::Difference(const Target& target) const {
  Outgoing next;
  auto old = sent_.entries.begin();
  for (const auto& entry : target.entries) {
    for (; old != sent_.entries.end() && (*old)->id < entry->id; ++old)
      next.removed_entries.push_back((*old)->id);
    const bool held = old != sent_.entries.end() && (*old)->id == entry->id;
    // Entries are immutable, so another object is another version.
    if (!held || *old != entry) next.upserts.push_back(entry);
    if (held) ++old;
  }
  for (; old != sent_.entries.end(); ++old) next.removed_entries.push_back((*old)->id);
  for (const auto& [domain, bundle] : target.bundles) {
    const auto held = sent_.bundles.find(domain);
    if (held == sent_.bundles.end() || held->second != bundle) next.bundles.push_back(bundle);
  }
  for (const auto& [domain, bundle] : sent_.bundles) {
    if (!target.bundles.contains(domain)) next.removed_bundles.push_back(domain.name());
  }
  return next;
}

void SyncSession::SendPart() {
  Outgoing& out = *outgoing_;
  sync_api::SubscribeResponse response;
  auto* batch = response.mutable_batch();
  batch->set_revision(out.revision);
  batch->set_full(out.full);
  const auto upserts = std::min(out.next_upsert + kUpsertsPerPart, out.upserts.size());
  for (; out.next_upsert < upserts; ++out.next_upsert)
    WriteEntry(*out.upserts[out.next_upsert], {}, batch->add_upserts());
  const auto removed = std::min(out.next_removed + kRemovalsPerPart, out.removed_entries.size());
  for (; out.next_removed < removed; ++out.next_removed)
    batch->add_removed_entry_ids(out.removed_entries[out.next_removed]);
  for (const auto& bundle : out.bundles) WriteBundle(*bundle, {}, batch->add_bundles());
  out.bundles.clear();
  for (const auto& name : out.removed_bundles) batch->add_removed_bundles(name);
  out.removed_bundles.clear();
  const bool last =
      out.next_upsert == out.upserts.size() && out.next_removed == out.removed_entries.size();
  batch->set_last(last);
  if (last) outgoing_.reset();
  in_flight_ = true;
  hub_.CountBatch();
  call_->Send(SerializeMessage(response));
}

void SyncSession::SendDigest(SteadyTime now) {
  const bool first = next_digest_ == SteadyTime();
  next_digest_ = now + kDigestInterval;
  if (first) return;  // the revision itself was just sent
  sync_api::SubscribeResponse response;
  response.mutable_digest()->set_revision(sent_revision_);
  response.mutable_digest()->set_entries_sha256(ToString(recent_.back().second));
  StateDenials(response.mutable_digest());
  in_flight_ = true;
  call_->Send(SerializeMessage(response));
}

}  // namespace signet::identity
