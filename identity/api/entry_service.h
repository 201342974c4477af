// spire.api.server.entry.v1.Entry: registration entries for administrators, and the entries an
// agent may hold for agents that poll.
//
// Threads: immutable after Register(); methods run on the worker pool.
#pragma once

#include "identity/api/router.h"
#include "identity/registry/registry.h"
#include "spire/api/server/entry/v1/entry.pb.h"

namespace signet::identity {

// Entries and revisions in one message of SyncAuthorizedEntries, as SPIRE's.
inline constexpr std::size_t kSyncPageSize = 500;

class EntryService {
 public:
  EntryService(Registry& registry, const Authorizer& authorizer)
      : registry_(registry), authorizer_(authorizer) {}
  void Register(Router* router);

 private:
  using ListRequest = spire::api::server::entry::v1::ListEntriesRequest;
  using ListResponse = spire::api::server::entry::v1::ListEntriesResponse;
  using CreateRequest = spire::api::server::entry::v1::BatchCreateEntryRequest;
  using CreateResponse = spire::api::server::entry::v1::BatchCreateEntryResponse;
  using UpdateRequest = spire::api::server::entry::v1::BatchUpdateEntryRequest;
  using UpdateResponse = spire::api::server::entry::v1::BatchUpdateEntryResponse;
  using DeleteRequest = spire::api::server::entry::v1::BatchDeleteEntryRequest;
  using DeleteResponse = spire::api::server::entry::v1::BatchDeleteEntryResponse;

  void RegisterReads(Router* router);
  Result<ListResponse> List(const ListRequest& request) const;
  CreateResponse Create(const Caller& caller, const CreateRequest& request);
  UpdateResponse Update(const Caller& caller, const UpdateRequest& request);
  DeleteResponse Delete(const Caller& caller, const DeleteRequest& request);

  Registry& registry_;
  const Authorizer& authorizer_;
};

}  // namespace signet::identity
