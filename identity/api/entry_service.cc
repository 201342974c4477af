#include "identity/api/entry_service.h"

#include "identity/api/convert.h"
#include "identity/api/entry_sync.h"
#include "identity/api/rpc_status.h"

namespace signet::identity {
namespace {

namespace entry_api = spire::api::server::entry::v1;
namespace types = spire::api::types;

template <class Request>
EntryMask OutputMask(const Request& request) {
  return MaskFromProto(request.has_output_mask() ? &request.output_mask() : nullptr);
}

std::string Path(std::string_view name) {
  return "/spire.api.server.entry.v1.Entry/" + std::string(name);
}

}  // namespace

void EntryService::Register(Router* router) {
  RegisterReads(router);
  router->AddUnary(
      Path("BatchCreateEntry"),
      Unary<CreateRequest, CreateResponse>(
          [this](const Caller& caller, const CreateRequest& request) -> Result<CreateResponse> {
            return Create(caller, request);
          }));
  router->AddUnary(
      Path("BatchUpdateEntry"),
      Unary<UpdateRequest, UpdateResponse>(
          [this](const Caller& caller, const UpdateRequest& request) -> Result<UpdateResponse> {
            return Update(caller, request);
          }));
  router->AddUnary(
      Path("BatchDeleteEntry"),
      Unary<DeleteRequest, DeleteResponse>(
          [this](const Caller& caller, const DeleteRequest& request) -> Result<DeleteResponse> {
            return Delete(caller, request);
          }));
  router->AddStream(Path("SyncAuthorizedEntries"), [this](std::shared_ptr<StreamCall> call) {
    return std::make_shared<EntrySync>(registry_, authorizer_, kSyncPageSize, std::move(call));
  });
}

void EntryService::RegisterReads(Router* router) {
  router->AddUnary(Path("CountEntries"),
                   Unary<entry_api::CountEntriesRequest, entry_api::CountEntriesResponse>(
                       [this](const Caller&, const entry_api::CountEntriesRequest& request)
                           -> Result<entry_api::CountEntriesResponse> {
                         // The two filters have the same fields.
                         ListRequest::Filter filter;
                         filter.ParseFromString(request.filter().SerializeAsString());
                         SIGNET_TRY(auto parsed, FilterFromProto(filter, registry_.trust_domain()));
                         entry_api::CountEntriesResponse response;
                         response.set_count(static_cast<int>(registry_.CountEntries(parsed)));
                         return response;
                       }));
  router->AddUnary(Path("ListEntries"), Unary<ListRequest, ListResponse>(
                                            [this](const Caller&, const ListRequest& request) {
                                              return List(request);
                                            }));
  router->AddUnary(
      Path("GetEntry"),
      Unary<entry_api::GetEntryRequest, types::Entry>(
          [this](const Caller&, const entry_api::GetEntryRequest& request) -> Result<types::Entry> {
            if (request.id().empty())
              return Fail(Code::kInvalidArgument, kFieldInvalid, "missing ID");
            const auto entry = registry_.FindEntry(request.id());
            if (!entry) return Fail(Code::kNotFound, kEntryNotFound);
            types::Entry response;
            WriteEntry(*entry, OutputMask(request), &response);
            return response;
          }));
  router->AddUnary(
      Path("GetAuthorizedEntries"),
      Unary<entry_api::GetAuthorizedEntriesRequest, entry_api::GetAuthorizedEntriesResponse>(
          [this](const Caller& caller, const entry_api::GetAuthorizedEntriesRequest& request)
              -> Result<entry_api::GetAuthorizedEntriesResponse> {
            const auto mask = OutputMask(request);
            entry_api::GetAuthorizedEntriesResponse response;
            for (const auto& entry : registry_.AuthorizedEntries(caller.id))
              WriteEntry(*entry, mask, response.add_entries());
            return response;
          }));
}

Result<EntryService::ListResponse> EntryService::List(const ListRequest& request) const {
  SIGNET_TRY(auto filter, FilterFromProto(request.filter(), registry_.trust_domain()));
  const auto size = static_cast<std::size_t>(std::max(request.page_size(), 0));
  auto page = registry_.ListEntries(filter, size, size == 0 ? std::string() : request.page_token());
  if (!page) {
    // INTERNAL as SPIRE answers it.
    return Fail(InContext("failed to list entries", Code::kInternal, page.error()));
  }
  const auto mask = OutputMask(request);
  ListResponse response;
  for (const auto& entry : page->items) WriteEntry(*entry, mask, response.add_entries());
  response.set_next_page_token(page->next);
  return response;
}

// Elements that are refused here keep their place; the others go to the registry in one batch.
EntryService::CreateResponse EntryService::Create(const Caller& caller,
                                                  const CreateRequest& request) {
  const auto count = static_cast<std::size_t>(request.entries_size());
  std::vector<EntryOutcome> outcomes(count);
  std::vector<std::size_t> places;
  std::vector<Entry> entries;
  for (std::size_t i = 0; i < count; ++i) {
    auto read = ReadEntry(request.entries(static_cast<int>(i)), {}, registry_.trust_domain());
    if (!read) {
      outcomes[i].status =
          Fail(InContext("failed to convert entry", read.error().code, read.error()));
    } else {
      places.push_back(i);
      entries.push_back(std::move(*read));
    }
  }
  auto created = registry_.CreateEntries(std::move(entries), caller.AsActor());
  for (std::size_t i = 0; i < created.size(); ++i) outcomes[places[i]] = std::move(created[i]);
  const auto mask = OutputMask(request);
  CreateResponse response;
  for (const auto& outcome : outcomes) {
    auto* result = response.add_results();
    *result->mutable_status() = ToProtoStatus(outcome.status);
    if (outcome.entry) WriteEntry(*outcome.entry, mask, result->mutable_entry());
  }
  return response;
}

EntryService::UpdateResponse EntryService::Update(const Caller& caller,
                                                  const UpdateRequest& request) {
  const auto count = static_cast<std::size_t>(request.entries_size());
  const auto input = MaskFromProto(request.has_input_mask() ? &request.input_mask() : nullptr);
  std::vector<EntryOutcome> outcomes(count);
  std::vector<std::size_t> places;
  std::vector<EntryUpdate> updates;
  for (std::size_t i = 0; i < count; ++i) {
    auto read = ReadEntry(request.entries(static_cast<int>(i)), input, registry_.trust_domain());
    if (!read) {
      outcomes[i].status =
          Fail(InContext("failed to convert entry", read.error().code, read.error()));
    } else {
      places.push_back(i);
      updates.push_back({std::move(*read), input});
    }
  }
  auto updated = registry_.UpdateEntries(std::move(updates), caller.AsActor());
  for (std::size_t i = 0; i < updated.size(); ++i) outcomes[places[i]] = std::move(updated[i]);
  const auto mask = OutputMask(request);
  UpdateResponse response;
  for (const auto& outcome : outcomes) {
    auto* result = response.add_results();
    *result->mutable_status() = ToProtoStatus(outcome.status);
    if (outcome.status && outcome.entry) WriteEntry(*outcome.entry, mask, result->mutable_entry());
  }
  return response;
}

EntryService::DeleteResponse EntryService::Delete(const Caller& caller,
                                                  const DeleteRequest& request) {
  const auto count = static_cast<std::size_t>(request.ids_size());
  std::vector<Status> outcomes(count);
  std::vector<std::size_t> places;
  std::vector<std::string> ids;
  for (std::size_t i = 0; i < count; ++i) {
    const auto& id = request.ids(static_cast<int>(i));
    if (id.empty()) {
      outcomes[i] = Fail(Code::kInvalidArgument, kFieldInvalid, "missing entry ID");
    } else {
      places.push_back(i);
      ids.push_back(id);
    }
  }
  const auto deleted = registry_.DeleteEntries(ids, caller.AsActor());
  for (std::size_t i = 0; i < deleted.size(); ++i) outcomes[places[i]] = deleted[i];
  DeleteResponse response;
  for (std::size_t i = 0; i < count; ++i) {
    auto* result = response.add_results();
    result->set_id(request.ids(static_cast<int>(i)));
    *result->mutable_status() = ToProtoStatus(outcomes[i]);
  }
  return response;
}

}  // namespace signet::identity
