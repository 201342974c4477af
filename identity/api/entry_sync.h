// SyncAuthorizedEntries, SPIRE's polling: up to a page the entries at once; above, first all
// revisions, then the entries the agent asks for, page by page.
//
// Threads: as a StreamHandler.
#pragma once

#include "identity/api/router.h"
#include "identity/registry/registry.h"
#include "spire/api/server/entry/v1/entry.pb.h"

namespace signet::identity {

class EntrySync final : public StreamHandler {
 public:
  EntrySync(Registry& registry, const Authorizer& authorizer, std::size_t page_size,
            std::shared_ptr<StreamCall> call)
      : registry_(registry),
        authorizer_(authorizer),
        page_size_(page_size),
        call_(std::move(call)) {}

  void OnMessage(const std::string& message) override;
  void OnHalfClose() override { call_->End(grpc::Status::OK); }

 private:
  using Request = spire::api::server::entry::v1::SyncAuthorizedEntriesRequest;
  Status Begin(const Request& request);
  void SendRevisions();
  void SendEntries(const Request& request);

  Registry& registry_;
  const Authorizer& authorizer_;
  const std::size_t page_size_;
  const std::shared_ptr<StreamCall> call_;
  bool began_ = false;
  EntryMask mask_;
  std::vector<EntryPtr> entries_;  // as of the first request, by ascending id
};

}  // namespace signet::identity
