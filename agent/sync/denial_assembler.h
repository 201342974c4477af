// Gathers the parts of one revision of denials into a DenialDelta, and refuses what the protocol
// forbids. Pure.
#pragma once

#include <optional>

#include "agent/revocation/denial_board.h"
#include "signet/sync/v1/sync.pb.h"

namespace signet::agent {

class DenialAssembler {
 public:
  // The whole revision when `part` is its last part, else nothing yet. A denial of a kind this
  // program does not know is kept as it is; one whose subject does not parse fails the revision
  // (kBatchRefused).
  Result<std::optional<DenialDelta>> Add(const signet::sync::v1::Denials& part);

 private:
  bool gathering_ = false;
  DenialDelta delta_;
};

}  // namespace signet::agent
