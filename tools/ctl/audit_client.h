// The log as the CLI reads it: pages of records from the server, and how one is shown.
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>

#include "identity/audit/audit_record.h"
#include "signet/audit/v1/audit.grpc.pb.h"
#include "tools/ctl/commands.h"

namespace signet::ctl {

inline constexpr std::uint32_t kAuditPage = 2000;

Result<std::unique_ptr<signet::audit::v1::Audit::Stub>> OpenAudit(const Session& session);

identity::LogHead FromProto(const signet::audit::v1::Head& proto);
identity::LoggedRecord FromProto(const signet::audit::v1::Record& proto);

// Asks page after page for what fits `request`, in its order, until `take` answers false. `last`,
// when given, gets what an answer says beside its records.
grpc::Status PageAudit(signet::audit::v1::Audit::Stub& stub, const Session& session,
                       signet::audit::v1::ListRecordsRequest* request,
                       const std::function<bool(identity::LoggedRecord)>& take,
                       signet::audit::v1::ListRecordsResponse* last = nullptr);

std::string EventName(const identity::AuditRecord& record);
// As exported, with the detail as an object.
nlohmann::ordered_json AuditJson(const identity::LoggedRecord& logged);

}  // namespace signet::ctl
