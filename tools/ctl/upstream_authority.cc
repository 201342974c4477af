// `signet authority taint-upstream` and `revoke-upstream`: ends trust in a root above our
// authorities once another has replaced it (localauthority.v1).
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "spire/api/server/localauthority/v1/localauthority.grpc.pb.h"
#include "tools/ctl/commands.h"

namespace signet::ctl {
namespace {

namespace api = spire::api::server::localauthority::v1;
using Stub = api::LocalAuthority::Stub;

template <class Request, class Response>
int End(const Session& session, const std::string& subject_key_id, std::string_view command,
        std::string_view done,
        grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*)) {
  const auto doing = fmt::format("authority {}", command);
  const auto channel = OpenChannel(session.server, "signet-server");
  if (!channel) return ReportError(channel.error(), doing);
  Request request;
  request.set_subject_key_id(subject_key_id);
  Response response;
  const auto stub = api::LocalAuthority::NewStub(*channel);
  const auto status = ((*stub).*method)(NewCall(session.server).get(), request, &response);
  if (!status.ok()) return ReportStatus(status, doing);
  const std::string& id = response.upstream_authority_subject_key_id();
  Print(session.format == Format::kJson
            ? nlohmann::json{{"upstream_authority", id}, {"state", done}}.dump(2) + "\n"
            : fmt::format("{} {}\n", done, id));
  return kOk;
}

}  // namespace

int TaintUpstream(const Session& session, const std::string& subject_key_id) {
  return End(session, subject_key_id, "taint-upstream", "tainted",
             &Stub::TaintX509UpstreamAuthority);
}

int RevokeUpstream(const Session& session, const std::string& subject_key_id) {
  return End(session, subject_key_id, "revoke-upstream", "revoked",
             &Stub::RevokeX509UpstreamAuthority);
}

}  // namespace signet::ctl
