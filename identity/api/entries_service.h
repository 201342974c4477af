// signet.entries.v1.Entries: an owner's entries as a whole, applied in one step or not at all, and
// given back as they were applied.
//
// Threads: immutable after Register(); methods run on the worker pool.
#pragma once

#include "identity/api/router.h"
#include "identity/registry/registry.h"
#include "signet/entries/v1/entries.pb.h"

namespace signet::identity {

class EntriesService {
 public:
  explicit EntriesService(Registry& registry) : registry_(registry) {}
  void Register(Router* router);

 private:
  Result<signet::entries::v1::ApplyResponse> Apply(
      const Caller& caller, const signet::entries::v1::ApplyRequest& request);
  Result<signet::entries::v1::ListResponse> List(
      const signet::entries::v1::ListRequest& request) const;

  Registry& registry_;
};

}  // namespace signet::identity
