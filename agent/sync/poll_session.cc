#include "agent/sync/poll_session.h"

#include <grpcpp/grpcpp.h>

#include <set>

#include "agent/sync/batch_assembler.h"
#include "agent/sync/bidi_call.h"
#include "agent/sync/codec.h"
#include "agent/sync/grpc_error.h"
#include "spire/api/server/bundle/v1/bundle.grpc.pb.h"
#include "spire/api/server/entry/v1/entry.grpc.pb.h"

namespace signet::agent {
namespace {

namespace bundle_api = spire::api::server::bundle::v1;
namespace entry_api = spire::api::server::entry::v1;
using SyncCall =
    BidiCall<entry_api::SyncAuthorizedEntriesRequest, entry_api::SyncAuthorizedEntriesResponse>;

std::chrono::system_clock::time_point CallDeadline() {
  return std::chrono::system_clock::now() + kCallTimeout;
}

class EntryDialogue {
 public:
  EntryDialogue(const Connection& connection, const Snapshot& held, std::size_t* skipped)
      : held_(held),
        skipped_(skipped),
        stub_(entry_api::Entry::NewStub(connection.channel)),
        call_([&](auto* context,
                  auto* reactor) { stub_->async()->SyncAuthorizedEntries(context, reactor); },
              CallDeadline()) {}

  Result<std::vector<AuthorizedEntry>> Run() {
    SIGNET_RETURN_IF_ERROR(Ask({}));
    std::vector<std::string> wanted;
    for (const auto& revision : revisions_)
      if (!TakeHeld(revision)) wanted.push_back(revision.id());
    if (!wanted.empty()) SIGNET_RETURN_IF_ERROR(Ask(wanted));
    call_.Cancel();
    return std::move(entries_);
  }

 private:
  // One request and all parts of its answer.
  Status Ask(const std::vector<std::string>& ids) {
    entry_api::SyncAuthorizedEntriesRequest request;
    for (const std::string& id : ids) request.add_ids(id);
    if (!call_.Write(request)) return Fail(FromGrpc(call_.Finish()));
    entry_api::SyncAuthorizedEntriesResponse response;
    do {
      if (call_.Read(&response, kCallTimeout) != SyncCall::Outcome::kMessage) return Fail(Ending());
      for (const auto& message : response.entries()) {
        auto entry = ToEntry(message);
        if (entry) entries_.push_back(std::move(*entry));
        if (!entry) ++*skipped_;
      }
      for (const auto& revision : response.entry_revisions()) revisions_.push_back(revision);
      if (entries_.size() + revisions_.size() > 2 * kMaxEntries)
        return Fail(Code::kResourceExhausted, kMessageMalformed, "too many entries");
    } while (response.more());
    return {};
  }

  Error Ending() {
    const grpc::Status status = call_.Finish();
    if (!status.ok()) return FromGrpc(status);
    return Error{Code::kInternal, kMessageMalformed, "the answer ended too early"};
  }

  bool TakeHeld(const entry_api::EntryRevision& revision) {
    const HeldEntry* held = held_.entries.Find(revision.id());
    if (held == nullptr) return false;
    const AuthorizedEntry& entry = *held->entry;
    if (entry.revision_number != revision.revision_number() ||
        entry.created_at != revision.created_at())
      return false;
    entries_.push_back(entry);
    return true;
  }

  const Snapshot& held_;
  std::size_t* const skipped_;
  std::unique_ptr<entry_api::Entry::Stub> stub_;
  std::vector<AuthorizedEntry> entries_;
  std::vector<entry_api::EntryRevision> revisions_;
  SyncCall call_;
};

Result<std::vector<AuthorizedEntry>> FetchAll(const Connection& connection, std::size_t* skipped) {
  grpc::ClientContext context;
  context.set_deadline(CallDeadline());
  entry_api::GetAuthorizedEntriesResponse answer;
  const grpc::Status status =
      entry_api::Entry::NewStub(connection.channel)
          ->GetAuthorizedEntries(&context, entry_api::GetAuthorizedEntriesRequest(), &answer);
  if (!status.ok()) return Fail(FromGrpc(status));
  std::vector<AuthorizedEntry> entries;
  for (const auto& message : answer.entries()) {
    auto entry = ToEntry(message);
    if (entry) entries.push_back(std::move(*entry));
    if (!entry) ++*skipped;
  }
  return entries;
}

Result<std::vector<identity::Bundle>> FetchBundles(
    const Connection& connection, const std::set<identity::TrustDomain>& federated) {
  const auto stub = bundle_api::Bundle::NewStub(connection.channel);
  std::vector<identity::Bundle> bundles;
  spire::api::types::Bundle message;
  {
    grpc::ClientContext context;
    context.set_deadline(CallDeadline());
    const grpc::Status status = stub->GetBundle(&context, bundle_api::GetBundleRequest(), &message);
    if (!status.ok()) return Fail(FromGrpc(status));
    SIGNET_TRY(auto own, ToBundle(message));
    bundles.push_back(std::move(own));
  }
  for (const identity::TrustDomain& name : federated) {
    grpc::ClientContext context;
    context.set_deadline(CallDeadline());
    bundle_api::GetFederatedBundleRequest request;
    request.set_trust_domain(name.name());
    const grpc::Status status = stub->GetFederatedBundle(&context, request, &message);
    if (status.error_code() == grpc::NOT_FOUND) continue;
    if (!status.ok()) return Fail(FromGrpc(status));
    SIGNET_TRY(auto bundle, ToBundle(message));
    bundles.push_back(std::move(bundle));
  }
  return bundles;
}

// Ids must be unique before they reach the cache; of repeated ones the last counts.
void DropRepeated(std::vector<AuthorizedEntry>* entries) {
  std::map<std::string, AuthorizedEntry> unique;
  for (AuthorizedEntry& entry : *entries) {
    const std::string id = entry.id;
    unique.insert_or_assign(id, std::move(entry));
  }
  entries->clear();
  for (auto& [id, entry] : unique) entries->push_back(std::move(entry));
}

}  // namespace

Result<Delta> PollOnce(const Connection& connection, const Snapshot& held, std::size_t* skipped) {
  auto entries = EntryDialogue(connection, held, skipped).Run();
  if (!entries && entries.error().code == Code::kUnimplemented)
    entries = FetchAll(connection, skipped);
  if (!entries) return Fail(entries.error());
  DropRepeated(&*entries);
  std::set<identity::TrustDomain> federated;
  for (const AuthorizedEntry& entry : *entries)
    federated.insert(entry.federates_with.begin(), entry.federates_with.end());
  federated.erase(held.trust_domain);
  SIGNET_TRY(auto bundles, FetchBundles(connection, federated));
  Delta delta;
  delta.full = true;
  delta.upserts = std::move(*entries);
  delta.bundles = std::move(bundles);
  return delta;
}

}  // namespace signet::agent
