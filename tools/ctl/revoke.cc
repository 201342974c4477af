#include <fmt/format.h>
#include <time.h>

#include <nlohmann/json.hpp>

#include "base/config.h"
#include "identity/svid/denial.h"
#include "signet/revocation/v1/revocation.grpc.pb.h"
#include "tools/ctl/commands.h"

namespace signet::ctl {
namespace {

namespace api = signet::revocation::v1;
using Json = nlohmann::ordered_json;
using identity::DenialKind;
constexpr std::string_view kServer = "signet-server";
inline constexpr Reason kTimeMalformed{"malformed time"};

Json ToJson(const api::Denial& denial) {
  return {{"id", denial.id()},
          {"kind", identity::DenialKindName(static_cast<DenialKind>(denial.kind()))},
          {"subject", denial.subject()},
          {"created_at", denial.created_at()},
          {"until", denial.until()},
          {"reason", denial.reason()},
          {"created_by", denial.created_by()}};
}

std::string EndText(const api::Denial& denial) {
  return denial.until() == 0 ? "for good" : "until " + FormatTime(FromUnixSeconds(denial.until()));
}

// "2026-11-27T21:00:00Z". Absent when it is none.
std::optional<std::int64_t> ParseUtc(const std::string& text) {
  tm parts{};
  const char* end = ::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  if (end == nullptr || *end != '\0') return std::nullopt;
  return ::timegm(&parts);
}

Result<std::int64_t> ReadEnd(const std::string& text, WallTime now) {
  if (text.empty()) return 0;
  if (const auto in = ParseDuration(text)) return UnixSeconds(now + *in);
  if (const auto at = ParseUtc(text)) {
    if (*at > UnixSeconds(now)) return *at;
    return Fail(Code::kInvalidArgument, kTimeMalformed, text + " is over already");
  }
  return Fail(Code::kInvalidArgument, kTimeMalformed,
              "'" + text +
                  "': give a duration from now, such as 12h, or a time such as "
                  "2026-12-24T18:00:00Z");
}

Result<api::RevokeRequest> MakeRequest(const RevokeOptions& options, WallTime now) {
  if (options.subject.empty() == options.agent.empty())
    return Fail(Code::kInvalidArgument, Reason{"nothing to revoke"},
                "give one of: a SPIFFE ID, a serial number, --agent ID");
  api::RevokeRequest request;
  if (!options.agent.empty())
    request.set_kind(api::DENIAL_KIND_AGENT);
  else if (options.subject.starts_with("spiffe:"))
    request.set_kind(api::DENIAL_KIND_SPIFFE_ID);
  else
    request.set_kind(api::DENIAL_KIND_SERIAL);
  request.set_subject(options.agent.empty() ? options.subject : options.agent);
  // Said here already, with the option to use instead.
  auto known =
      identity::NormalizeDenialSubject(static_cast<DenialKind>(request.kind()), request.subject());
  if (!known && request.subject().find("/spire/agent/") != std::string::npos)
    known.error().detail += "; use --agent";
  if (!known) return Fail(known.error());
  SIGNET_TRY(const std::int64_t until, ReadEnd(options.until, now));
  request.set_until(until);
  request.set_reason(options.reason);
  return request;
}

}  // namespace

int Revoke(const Session& session, const RevokeOptions& options) {
  constexpr std::string_view kDoing = "revoke";
  const auto request = MakeRequest(options, session.clock->Now());
  if (!request) return ReportError(request.error(), kDoing);
  auto channel = OpenChannel(session.server, kServer);
  if (!channel) return ReportError(channel.error(), kDoing);
  api::RevokeResponse response;
  const auto status = api::Revocation::NewStub(*channel)->Revoke(NewCall(session.server).get(),
                                                                 *request, &response);
  if (!status.ok()) return ReportStatus(status, kDoing);
  if (session.format == Format::kJson) {
    Json denials = Json::array();
    for (const auto& denial : response.denials()) denials.push_back(ToJson(denial));
    Print(Json{{"revision", response.revision()}, {"denials", denials}}.dump(2) + "\n");
    return kOk;
  }
  const api::Denial& first = response.denials(0);
  Print(fmt::format("revoked {} {}; denial {}, pushed with revision {}\n", first.subject(),
                    EndText(first), first.id(), response.revision()));
  if (response.denials_size() > 1)
    Print(fmt::format("and {} SVIDs issued through it, by their serial numbers\n",
                      response.denials_size() - 1));
  return kOk;
}

int ListDenials(const Session& session) {
  constexpr std::string_view kDoing = "revoke list";
  auto channel = OpenChannel(session.server, kServer);
  if (!channel) return ReportError(channel.error(), kDoing);
  api::ListDenialsResponse response;
  const auto status = api::Revocation::NewStub(*channel)->ListDenials(
      NewCall(session.server).get(), api::ListDenialsRequest(), &response);
  if (!status.ok()) return ReportStatus(status, kDoing);
  Json list = Json::array();
  std::vector<std::vector<std::string>> rows;
  for (const auto& denial : response.denials()) {
    list.push_back(ToJson(denial));
    rows.push_back({denial.id(),
                    std::string(identity::DenialKindName(static_cast<DenialKind>(denial.kind()))),
                    denial.subject(), EndText(denial), denial.created_by(), denial.reason()});
  }
  if (session.format == Format::kJson)
    Print(list.dump(2) + "\n");
  else if (rows.empty())
    Print("nobody is revoked\n");
  else
    Print(Table({"DENIAL", "KIND", "SUBJECT", "HOLDS", "BY", "REASON"}, rows));
  return kOk;
}

int RemoveDenial(const Session& session, const std::string& id) {
  constexpr std::string_view kDoing = "revoke remove";
  auto channel = OpenChannel(session.server, kServer);
  if (!channel) return ReportError(channel.error(), kDoing);
  api::RemoveDenialRequest request;
  request.set_id(id);
  api::RemoveDenialResponse response;
  const auto status = api::Revocation::NewStub(*channel)->RemoveDenial(
      NewCall(session.server).get(), request, &response);
  if (!status.ok()) return ReportStatus(status, kDoing);
  if (session.format == Format::kJson)
    Print(ToJson(response.denial()).dump(2) + "\n");
  else
    Print(fmt::format("{} is no longer revoked by {}\n", response.denial().subject(), id));
  return kOk;
}

}  // namespace signet::ctl
