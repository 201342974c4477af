#include "agent/sync/push_session.h"

#include "agent/attest/denial.h"
#include "agent/cache/minter.h"
#include "agent/sync/batch_assembler.h"
#include "agent/sync/denial_assembler.h"
#include "agent/sync/grpc_error.h"
#include "base/log.h"
#include "signet/sync/v1/sync.grpc.pb.h"

namespace signet::agent {

namespace sync_api = signet::sync::v1;

namespace {

std::string DigestOf(const Snapshot& snapshot) { return ToString(snapshot.entries.digest()); }

sync_api::SubscribeRequest MakeHello(const Snapshot& snapshot, const SyncSink& sink,
                                     bool ask_for_everything) {
  sync_api::SubscribeRequest request;
  sync_api::Hello* hello = request.mutable_hello();
  hello->set_agent_version(SIGNET_VERSION);
  if (sink.denials) hello->set_denials_digest(ToString(sink.denials()->digest()));
  if (ask_for_everything || snapshot.revision == 0) return request;
  hello->set_last_revision(snapshot.revision);
  hello->set_last_digest(DigestOf(snapshot));
  return request;
}

sync_api::SubscribeRequest MakeApplied(const Snapshot& snapshot) {
  sync_api::SubscribeRequest request;
  request.mutable_applied()->set_revision(snapshot.revision);
  request.mutable_applied()->set_digest(DigestOf(snapshot));
  return request;
}

// The error that stands for "the stream ended; why is in its status".
constexpr Duration kGoodbyeTimeout = std::chrono::seconds(5);

Error Ended() { return Error{Code::kUnavailable, kServerAway, {}}; }

}  // namespace

struct PushSession::Gathering {
  BatchAssembler assembler;
  DenialAssembler denials;
};

PushSession::PushSession(ConnectionPtr connection, SyncSink sink, Duration silence_limit)
    : connection_(std::move(connection)),
      sink_(std::move(sink)),
      silence_limit_(silence_limit),
      gathering_(std::make_shared<Gathering>()),
      call_(
          [&](auto* context, auto* reactor) {
            sync_api::Sync::NewStub(connection_->channel)->async()->Subscribe(context, reactor);
          },
          connection_->valid_until) {}

Error PushSession::Run(bool ask_for_everything) {
  call_.Write(MakeHello(*sink_.held(), sink_, ask_for_everything));
  Error error = Follow();
  if (error.reason != kServerAway) {  // we end it
    call_.Cancel();
    call_.Finish();
    return error;
  }
  const grpc::Status status = call_.Finish();
  if (!status.ok()) return FromGrpc(status);
  error.detail = "the server ended the stream";
  return error;
}

std::optional<Duration> PushSession::retry_hint() const { return RetryHint(call_.context()); }

Error PushSession::Follow() {
  sync_api::SubscribeResponse response;
  while (true) {
    const Call::Outcome outcome = call_.Read(&response, silence_limit_);
    if (outcome == Call::Outcome::kEnded) return Ended();
    if (outcome == Call::Outcome::kTimeout)
      return Error{Code::kDeadlineExceeded, kServerSilent, FormatDuration(silence_limit_)};
    Status handled;
    if (response.has_batch()) handled = OnBatch(response.batch());
    if (response.has_digest()) handled = OnDigest(response.digest());
    if (response.has_denials()) handled = OnDenials(response.denials());
    if (response.has_denied()) return WhyDenied(EscapeForLog(response.denied().reason(), 256));
    if (!handled) return handled.error();
  }
}

// The status that follows says which denial it is; without it the worst is meant.
Error PushSession::WhyDenied(std::string text) {
  sync_api::SubscribeResponse nothing;
  Error banned{Code::kPermissionDenied, kAgentBanned, std::move(text)};
  if (call_.Read(&nothing, kGoodbyeTimeout) != Call::Outcome::kEnded) return banned;
  const grpc::Status status = call_.Finish();
  if (status.ok()) return banned;
  Error why = FromGrpc(status);
  return AnswerTo(why) == DenialAnswer::kErase ? why : banned;
}

Status PushSession::OnBatch(const sync_api::Batch& batch) {
  auto whole = gathering_->assembler.Add(batch);
  if (!whole) return Fail(Code::kFailedPrecondition, kOutOfStep, whole.error().Message());
  if (!*whole) return {};
  Delta delta = std::move(**whole);
  const SnapshotPtr held = sink_.held();
  // "Nothing is missing": the answer to Hello may name the revision already held.
  const bool nothing_new = !delta.full && delta.revision == held->revision &&
                           delta.upserts.empty() && delta.removed_entries.empty() &&
                           delta.bundles.empty() && delta.removed_bundles.empty();
  auto applied = nothing_new ? Result<SnapshotPtr>(held) : sink_.apply(std::move(delta));
  if (!applied) return Fail(Code::kFailedPrecondition, kOutOfStep, applied.error().Message());
  sink_.heard();
  // Not taken: the server has ended the stream. Why is still to be read, a denial perhaps.
  call_.Write(MakeApplied(**applied));
  return {};
}

Status PushSession::OnDenials(const sync_api::Denials& part) {
  if (!sink_.deny) return {};
  auto whole = gathering_->denials.Add(part);
  if (!whole) return Fail(Code::kFailedPrecondition, kOutOfStep, whole.error().Message());
  if (!*whole) return {};
  const Status taken = sink_.deny(std::move(**whole));
  if (!taken) return Fail(Code::kFailedPrecondition, kOutOfStep, taken.error().Message());
  return {};
}

Status PushSession::OnDigest(const sync_api::Digest& digest) {
  const SnapshotPtr held = sink_.held();
  if (digest.revision() != held->revision || digest.entries_sha256() != DigestOf(*held))
    return Fail(Code::kFailedPrecondition, kOutOfStep, "the digests differ");
  // An older server says nothing of denials.
  if (sink_.denials && !digest.denials_sha256().empty() &&
      digest.denials_sha256() != ToString(sink_.denials()->digest()))
    return Fail(Code::kFailedPrecondition, kOutOfStep, "the digests of denials differ");
  sink_.heard();
  return {};
}

}  // namespace signet::agent
