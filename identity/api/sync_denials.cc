#include <algorithm>

#include "identity/api/rpc_status.h"
#include "identity/api/sync_hub.h"
#include "identity/api/sync_session.h"

namespace signet::identity {
namespace {

namespace sync_api = signet::sync::v1;

constexpr std::size_t kDenialsPerPart = 4000;

const std::string& IdOf(const DenialPtr& denial) { return denial->id; }

void Write(const Denial& denial, sync_api::Denial* message) {
  message->set_id(denial.id);
  message->set_kind(static_cast<std::uint32_t>(denial.kind));
  message->set_subject(denial.subject);
  message->set_until(denial.until);
}

}  // namespace

// An agent that says nothing of denials knows none, and is sent none.
void SyncSession::BuildDenials() {
  if (hello_->denials_digest().empty()) return;
  // Read first: what is read after it is at least as new, so the revision never says too much.
  const Revision revision = hub_.registry().revision();
  DenialSetPtr now = hub_.registry().Denials();
  if (now == sent_denials_) return;
  OutgoingDenials next;
  next.revision = revision;
  if (sent_denials_) {
    std::ranges::set_difference(now->all(), sent_denials_->all(), std::back_inserter(next.upserts),
                                std::ranges::less(), IdOf, IdOf);
    for (const DenialPtr& denial : now->all()) {
      // Denials are immutable, so another object is another version.
      const DenialPtr held = sent_denials_->FindById(denial->id);
      if (held && held != denial) next.upserts.push_back(denial);
    }
    for (const DenialPtr& denial : sent_denials_->all())
      if (!now->FindById(denial->id)) next.removed.push_back(denial->id);
  } else if (!Equal(AsBytes(hello_->denials_digest()), now->digest())) {
    next.full = true;
    next.upserts = now->all();
  }
  sent_denials_ = std::move(now);
  if (next.full || !next.upserts.empty() || !next.removed.empty())
    outgoing_denials_ = std::move(next);
}

void SyncSession::SendDenialsPart() {
  OutgoingDenials& out = *outgoing_denials_;
  sync_api::SubscribeResponse response;
  auto* part = response.mutable_denials();
  part->set_revision(out.revision);
  part->set_full(out.full);
  const auto upserts = std::min(out.next_upsert + kDenialsPerPart, out.upserts.size());
  for (; out.next_upsert < upserts; ++out.next_upsert)
    Write(*out.upserts[out.next_upsert], part->add_upserts());
  const auto removed = std::min(out.next_removed + kDenialsPerPart, out.removed.size());
  for (; out.next_removed < removed; ++out.next_removed)
    part->add_removed_ids(out.removed[out.next_removed]);
  const bool last = out.next_upsert == out.upserts.size() && out.next_removed == out.removed.size();
  part->set_last(last);
  if (last) outgoing_denials_.reset();
  in_flight_ = true;
  hub_.CountBatch();
  call_->Send(SerializeMessage(response));
}

void SyncSession::StateDenials(sync_api::Digest* digest) const {
  if (sent_denials_) digest->set_denials_sha256(ToString(sent_denials_->digest()));
}

}  // namespace signet::identity
