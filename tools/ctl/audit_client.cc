#include "tools/ctl/audit_client.h"

#include <algorithm>

#include "identity/audit/log_export.h"

namespace signet::ctl {

namespace api = signet::audit::v1;
using identity::AuditRecord;
using identity::LoggedRecord;
using Json = nlohmann::ordered_json;

Result<std::unique_ptr<api::Audit::Stub>> OpenAudit(const Session& session) {
  SIGNET_TRY(const auto channel, OpenChannel(session.server, "signet-server"));
  return api::Audit::NewStub(channel);
}

identity::LogHead FromProto(const api::Head& proto) {
  identity::LogHead head;
  head.seq = proto.seq();
  if (proto.hash().size() == head.hash.size())
    std::copy(proto.hash().begin(), proto.hash().end(), head.hash.begin());
  return head;
}

LoggedRecord FromProto(const api::Record& proto) {
  return {FromProto(proto.place()),
          {.event = proto.event(),
           .recorded_at = proto.recorded_at(),
           .actor = proto.actor(),
           .subject = proto.subject(),
           .object = proto.object(),
           .revision = proto.revision(),
           .serial = proto.serial(),
           .purpose = proto.purpose(),
           .authority_id = proto.authority_id(),
           .not_before = proto.not_before(),
           .not_after = proto.not_after(),
           .detail = proto.detail()}};
}

grpc::Status PageAudit(api::Audit::Stub& stub, const Session& session,
                       api::ListRecordsRequest* request,
                       const std::function<bool(LoggedRecord)>& take,
                       api::ListRecordsResponse* last) {
  while (true) {
    api::ListRecordsResponse response;
    const auto status = stub.ListRecords(NewCall(session.server).get(), *request, &response);
    if (!status.ok()) return status;
    if (last != nullptr) {
      *last->mutable_base() = response.base();
      last->set_trust_domain(response.trust_domain());
    }
    for (const auto& record : response.records())
      if (!take(FromProto(record))) return grpc::Status::OK;
    if (response.records().empty()) return grpc::Status::OK;
    const std::uint64_t seq = response.records().rbegin()->place().seq();
    request->newest_first() ? request->set_before_seq(seq) : request->set_after_seq(seq);
  }
}

std::string EventName(const AuditRecord& record) {
  return record.event.empty() ? std::string(identity::event::kIssued) : record.event;
}

Json AuditJson(const LoggedRecord& logged) {
  Json json = Json::parse(identity::FormatLogRecord(logged));
  json["event"] = EventName(logged.record);
  const Json detail = Json::parse(logged.record.detail, nullptr, false);
  if (detail.is_object()) json["detail"] = detail;
  return json;
}

}  // namespace signet::ctl
