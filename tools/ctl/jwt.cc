#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/config.h"
#include "base/file.h"
#include "ca/jose/jws.h"
#include "google/protobuf/util/json_util.h"
#include "spiffe/workload.grpc.pb.h"
#include "tools/ctl/commands.h"
#include "tools/ctl/workload_client.h"

namespace signet::ctl {
namespace {

using Json = nlohmann::ordered_json;
constexpr std::size_t kMaxTokenFile = 64 * 1024;

// The claims of a token that the agent itself handed out; not verified here.
Result<nlohmann::json> ClaimsOf(const std::string& token) {
  SIGNET_TRY(const auto jws, ca::ParseCompactJws(token));
  auto claims = nlohmann::json::parse(jws.payload, nullptr, false);
  if (!claims.is_object() || !claims["exp"].is_number())
    return Fail(Code::kDataLoss, Reason{"malformed token"}, "no claims");
  return claims;
}

int Show(const Session& session, const JWTSVIDResponse& response) {
  const std::int64_t now = UnixSeconds(session.clock->Now());
  Json list = Json::array();
  for (const JWTSVID& svid : response.svids()) {
    const auto claims = ClaimsOf(svid.svid());
    if (!claims) return ReportError(claims.error(), "jwt fetch");
    const auto end = (*claims)["exp"].get<std::int64_t>();
    list.push_back({{"spiffe_id", svid.spiffe_id()},
                    {"hint", svid.hint()},
                    {"audience", (*claims)["aud"]},
                    {"not_after", end},
                    {"token", svid.svid()}});
    if (session.format == Format::kText)
      Print(Details({{"SPIFFE ID", svid.spiffe_id()},
                     {"Audience", (*claims)["aud"].dump()},
                     {"Valid until",
                      fmt::format("{} ({})", FormatTime(FromUnixSeconds(end)), Relative(end, now))},
                     {"Hint", svid.hint()},
                     {"Token", svid.svid()}}) +
            "\n");
  }
  if (session.format == Format::kJson) Print(list.dump(2) + "\n");
  return kOk;
}

// "-" is standard input, "@FILE" a file, anything else the token itself.
Result<std::string> ReadToken(const std::string& given) {
  if (given != "-" && !given.starts_with("@")) return given;
  SIGNET_TRY(const Bytes content,
             ReadFile(given == "-" ? "/dev/stdin" : given.substr(1), kMaxTokenFile));
  std::string token = ToString(content);
  while (!token.empty() && (token.back() == '\n' || token.back() == '\r')) token.pop_back();
  return token;
}

}  // namespace

int FetchJwt(const Session& session, const JwtOptions& options) {
  constexpr std::string_view kDoing = "jwt fetch";
  auto client = WorkloadClient::Open(options.agent_socket, options.timeout);
  if (!client) return ReportError(client.error(), kDoing);
  JWTSVIDRequest request;
  for (const std::string& audience : options.audience) request.add_audience(audience);
  request.set_spiffe_id(options.spiffe_id);
  JWTSVIDResponse response;
  const auto status = client->stub().FetchJWTSVID(client->NewCall().get(), request, &response);
  if (!status.ok()) return ReportWorkloadStatus(status, kDoing);
  if (response.svids().empty())
    return ReportError(Error{Code::kDataLoss, {}, "the agent sent an answer without a token"},
                       kDoing);
  return Show(session, response);
}

int ValidateJwt(const Session& session, const JwtOptions& options) {
  constexpr std::string_view kDoing = "jwt validate";
  auto token = ReadToken(options.token);
  if (!token) return ReportError(token.error(), kDoing);
  auto client = WorkloadClient::Open(options.agent_socket, options.timeout);
  if (!client) return ReportError(client.error(), kDoing);
  ValidateJWTSVIDRequest request;
  request.set_audience(options.audience.front());
  request.set_svid(*std::move(token));
  ValidateJWTSVIDResponse response;
  const auto status = client->stub().ValidateJWTSVID(client->NewCall().get(), request, &response);
  if (!status.ok()) return ReportWorkloadStatus(status, kDoing);
  std::string claims;
  if (!google::protobuf::util::MessageToJsonString(response.claims(), &claims).ok())
    return ReportError(Error{Code::kDataLoss, {}, "the agent's answer cannot be shown"}, kDoing);
  if (session.format == Format::kJson) {
    const Json answer = {{"spiffe_id", response.spiffe_id()}, {"claims", Json::parse(claims)}};
    Print(answer.dump(2) + "\n");
  } else {
    Print(Details({{"SPIFFE ID", response.spiffe_id()}, {"Claims", claims}}));
  }
  return kOk;
}

}  // namespace signet::ctl
