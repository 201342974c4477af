#include "identity/server/journal.h"

#include <utility>

namespace signet::identity {

void Journal::Append(std::vector<AuditRecord> records, std::function<void(Status)> then) const {
  if (records.empty()) return then({});
  store_.SubmitRecords(std::move(records), [this, then = std::move(then)](Status recorded) {
    if (!signers_.Submit([then, recorded = std::move(recorded)] { then(recorded); }))
      then(Fail(Code::kResourceExhausted, kServerBusy, "too much waits to be signed"));
  });
}

}  // namespace signet::identity
