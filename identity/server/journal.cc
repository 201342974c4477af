#include "identity/server/journal.h"

#include <utility>

namespace signet::identity {

void Journal::Append(std::vector<AuditRecord> records, std::function<void(Status)> then) const {
  if (records.empty()) return then({});
  std::string account = records.front().actor;
  store_.SubmitRecords(std::move(records), [this, account = std::move(account),
                                            then = std::move(then)](Status recorded) {
    Work work{.account = account,
              .run = [then, recorded = std::move(recorded)] { then(recorded); }};
    if (!signers_.Submit(std::move(work)))
      then(Fail(Code::kResourceExhausted, kServerBusy, "too much waits to be signed"));
  });
}

}  // namespace signet::identity
