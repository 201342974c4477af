// signet.audit.v1: the log for administrators.
//
// Threads: safe from any thread.
#pragma once

#include "identity/api/log_keeper.h"
#include "identity/api/router.h"

namespace signet::identity {

class AuditService {
 public:
  AuditService(Store& store, LogKeeper& keeper, const TrustDomain& trust_domain)
      : store_(store), keeper_(keeper), trust_domain_(trust_domain) {}
  void Register(Router* router);

 private:
  Store& store_;
  LogKeeper& keeper_;
  const TrustDomain trust_domain_;
};

}  // namespace signet::identity
