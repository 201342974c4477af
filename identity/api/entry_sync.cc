#include "identity/api/entry_sync.h"

#include <algorithm>

#include "identity/api/convert.h"
#include "identity/api/rpc_status.h"

namespace signet::identity {
namespace {

using Response = spire::api::server::entry::v1::SyncAuthorizedEntriesResponse;

const std::string& IdOf(const EntryPtr& entry) { return entry->id; }

}  // namespace

void EntrySync::OnMessage(const std::string& message) {
  Request request;
  auto status = ParseMessage(message, &request);
  if (status && !began_) status = Begin(request);
  if (!status) return call_->End(ToGrpcStatus(status.error()));
  // The stream may have been opened long before this message.
  if (const auto denial = authorizer_.CheckAgent(*call_->caller()); denial != AgentDenial::kNone)
    return call_->End(DeniedStatus("the agent may not sync any more", denial));
  if (!began_) {
    began_ = true;
    if (entries_.size() > page_size_) return SendRevisions();
    Response response;
    for (const auto& entry : entries_) WriteEntry(*entry, mask_, response.add_entries());
    call_->Send(SerializeMessage(response));
    return call_->End(grpc::Status::OK);
  }
  SendEntries(request);
}

Status EntrySync::Begin(const Request& request) {
  if (!request.ids().empty()) {
    return Fail(Code::kInvalidArgument, kFieldInvalid,
                "specifying IDs on initial request is not supported");
  }
  mask_ = MaskFromProto(request.has_output_mask() ? &request.output_mask() : nullptr);
  if (!mask_.revision_number)
    return Fail(Code::kInvalidArgument, kFieldInvalid, "revision number cannot be masked");
  entries_ = registry_.AuthorizedEntries(call_->caller()->id);
  std::ranges::sort(entries_, {}, IdOf);
  return {};
}

void EntrySync::SendRevisions() {
  for (std::size_t at = 0; at < entries_.size(); at += page_size_) {
    const auto end = std::min(at + page_size_, entries_.size());
    Response response;
    for (auto i = at; i < end; ++i) {
      auto* revision = response.add_entry_revisions();
      revision->set_id(entries_[i]->id);
      revision->set_revision_number(entries_[i]->revision_number);
      revision->set_created_at(entries_[i]->created_at);
    }
    response.set_more(end < entries_.size());
    call_->Send(SerializeMessage(response));
  }
}

void EntrySync::SendEntries(const Request& request) {
  std::vector<std::string> ids(request.ids().begin(), request.ids().end());
  std::ranges::sort(ids);
  const auto repeated = std::ranges::unique(ids);
  ids.erase(repeated.begin(), repeated.end());
  Response response;
  for (const auto& id : ids) {
    const auto found = std::ranges::lower_bound(entries_, id, {}, IdOf);
    if (found == entries_.end() || (*found)->id != id) continue;
    if (static_cast<std::size_t>(response.entries_size()) == page_size_) {
      response.set_more(true);
      call_->Send(SerializeMessage(response));
      response.Clear();
    }
    WriteEntry(**found, mask_, response.add_entries());
  }
  call_->Send(SerializeMessage(response));
}

}  // namespace signet::identity
