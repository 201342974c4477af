// Which authorities of the own bundle everybody below this server holds: what a nested server tells
// the one above.
//
// Threads: safe from any thread.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "identity/registry/registry.h"
#include "identity/server/authority_keeper.h"

namespace signet::identity {

class HeldAuthorities {
 public:
  // `registry` outlives it.
  HeldAuthorities(const Registry& registry, AcknowledgementSource source)
      : registry_(registry), source_(std::move(source)) {}

  // X.509 by subject key identifier in lower-case hex, JWT by key ID; tainted ones too.
  std::vector<std::string> List();

 private:
  const Registry& registry_;
  const AcknowledgementSource source_;
  std::mutex mutex_;
  // When each was first seen in the bundle. Not before it was published: who holds this revision
  // holds the authority.
  std::map<std::string, Revision> seen_;
};

}  // namespace signet::identity
