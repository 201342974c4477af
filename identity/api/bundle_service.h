// spire.api.server.bundle.v1.Bundle: the trust domain's own bundle, for anybody who asks.
//
// Threads: immutable after Register(); methods run on the worker pool.
#pragma once

#include "identity/api/acknowledgements.h"
#include "identity/api/router.h"
#include "identity/registry/registry.h"

namespace signet::identity {

class BundleService {
 public:
  BundleService(Registry& registry, const Authorizer& authorizer,
                Acknowledgements& acknowledgements)
      : registry_(registry), authorizer_(authorizer), acknowledgements_(acknowledgements) {}
  void Register(Router* router);

 private:
  Registry& registry_;
  const Authorizer& authorizer_;
  Acknowledgements& acknowledgements_;
};

}  // namespace signet::identity
