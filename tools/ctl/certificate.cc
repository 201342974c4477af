#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "tools/ctl/audit_client.h"

namespace signet::ctl {
namespace {

namespace api = signet::audit::v1;
using identity::AuditRecord;
using identity::LoggedRecord;
using Json = nlohmann::ordered_json;

// Serial numbers are in hex in the log; people paste them with colons and in capitals.
std::string SerialText(std::string text) {
  std::erase(text, ':');
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

// The last change of the entry that granted it, up to the revision it was issued by.
grpc::Status FindGrant(api::Audit::Stub& stub, const Session& session, const LoggedRecord& issued,
                       std::optional<LoggedRecord>* grant) {
  api::ListRecordsRequest request;
  request.set_page_size(kAuditPage);
  request.set_newest_first(true);
  request.set_before_seq(issued.place.seq);
  request.set_subject(issued.record.subject);
  request.set_object(issued.record.object);
  request.set_event("entry");
  return PageAudit(stub, session, &request, [&](LoggedRecord change) {
    if (change.record.revision > issued.record.revision) return true;
    *grant = std::move(change);
    return false;
  });
}

std::string Describe(const LoggedRecord& issued, const std::optional<LoggedRecord>& grant) {
  const AuditRecord& record = issued.record;
  const auto time = [](std::int64_t seconds) { return FormatTime(FromUnixSeconds(seconds)); };
  std::vector<std::pair<std::string, std::string>> lines = {
      {"Serial", record.serial},
      {"SPIFFE ID", record.subject},
      {"Purpose", record.purpose},
      {"Asked for by", record.actor},
      {"Signed by", record.authority_id},
      {"Valid", time(record.not_before) + " to " + time(record.not_after)},
      {"Recorded", fmt::format("{}, record {}", time(record.recorded_at), issued.place.seq)},
  };
  if (!record.object.empty())
    lines.emplace_back("Entry", fmt::format("{} revision {}", record.object, record.revision));
  if (grant)
    lines.emplace_back(
        "Granted by", fmt::format("{}, {} on {}: {}", grant->record.actor, EventName(grant->record),
                                  time(grant->record.recorded_at), grant->record.detail));
  return Details(lines);
}

}  // namespace

int FindCertificate(const Session& session, const std::string& serial_or_id, std::size_t limit) {
  constexpr std::string_view kDoing = "certificate find";
  auto stub = OpenAudit(session);
  if (!stub) return ReportError(stub.error(), kDoing);
  api::ListRecordsRequest request;
  request.set_page_size(kAuditPage);
  request.set_newest_first(true);
  if (serial_or_id.starts_with("spiffe://"))
    request.set_subject(serial_or_id);
  else
    request.set_serial(SerialText(serial_or_id));
  std::vector<LoggedRecord> issued;
  auto status = PageAudit(**stub, session, &request, [&](LoggedRecord record) {
    if (!record.record.serial.empty()) issued.push_back(std::move(record));
    return issued.size() < limit;
  });
  if (!status.ok()) return ReportStatus(status, kDoing);
  if (issued.empty())
    return ReportError({Code::kNotFound, Reason{"no such certificate"},
                        "nothing in the log has this serial number or SPIFFE ID"},
                       kDoing);
  Json list = Json::array();
  for (const LoggedRecord& one : issued) {
    std::optional<LoggedRecord> grant;
    if (!one.record.object.empty()) {
      status = FindGrant(**stub, session, one, &grant);
      if (!status.ok()) return ReportStatus(status, kDoing);
    }
    if (session.format == Format::kJson) {
      Json json = AuditJson(one);
      if (grant) json["granted_by"] = AuditJson(*grant);
      list.push_back(std::move(json));
    } else {
      Print(Describe(one, grant) + "\n");
    }
  }
  if (session.format == Format::kJson) Print(list.dump(2) + "\n");
  return kOk;
}

}  // namespace signet::ctl
