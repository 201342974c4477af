// `signet authority rotate`: one command over the server's steps. It keeps nothing of its own:
// where it goes on is read from the server each time, so it may be ended and run again at any
// moment.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "base/config.h"
#include "signet/status/v1/status.grpc.pb.h"
#include "spire/api/server/localauthority/v1/localauthority.grpc.pb.h"
#include "tools/ctl/commands.h"

namespace signet::ctl {
namespace {

namespace api = spire::api::server::localauthority::v1;
namespace status_api = signet::status::v1;
using Json = nlohmann::ordered_json;

constexpr std::string_view kDoing = "authority rotate";
constexpr auto kPollInterval = std::chrono::milliseconds(250);
constexpr std::size_t kNamed = 5;
constexpr Reason kNotAcknowledged{"agents do not hold the next authority yet"};
constexpr Reason kStillHeld{"SVIDs of the old authority are still in use"};

// The steps of localauthority.v1, for either kind of authority.
class Steps {
 public:
  Steps(const Session& session, std::shared_ptr<grpc::Channel> channel, bool jwt)
      : session_(session),
        stub_(api::LocalAuthority::NewStub(channel)),
        status_(status_api::Status::NewStub(channel)),
        jwt_(jwt) {}

  grpc::Status Prepare() const {
    using Stub = api::LocalAuthority::Stub;
    return jwt_ ? Call(&Stub::PrepareJWTAuthority, api::PrepareJWTAuthorityRequest())
                : Call(&Stub::PrepareX509Authority, api::PrepareX509AuthorityRequest());
  }
  grpc::Status Activate(const std::string& id) const {
    using Stub = api::LocalAuthority::Stub;
    return jwt_ ? CallWith<api::ActivateJWTAuthorityRequest>(&Stub::ActivateJWTAuthority, id)
                : CallWith<api::ActivateX509AuthorityRequest>(&Stub::ActivateX509Authority, id);
  }
  grpc::Status Taint(const std::string& id) const {
    using Stub = api::LocalAuthority::Stub;
    return jwt_ ? CallWith<api::TaintJWTAuthorityRequest>(&Stub::TaintJWTAuthority, id)
                : CallWith<api::TaintX509AuthorityRequest>(&Stub::TaintX509Authority, id);
  }
  grpc::Status Revoke(const std::string& id) const {
    using Stub = api::LocalAuthority::Stub;
    return jwt_ ? CallWith<api::RevokeJWTAuthorityRequest>(&Stub::RevokeJWTAuthority, id)
                : CallWith<api::RevokeX509AuthorityRequest>(&Stub::RevokeX509Authority, id);
  }
  // What the server would act on now, oldest first.
  grpc::Status Look(std::vector<status_api::RotatingAuthority>* authorities) const {
    status_api::GetRotationRequest request;
    request.set_type(jwt_ ? "jwt" : "x509");
    status_api::GetRotationResponse response;
    const auto status = status_->GetRotation(NewCall(session_.server).get(), request, &response);
    authorities->assign(response.authorities().begin(), response.authorities().end());
    return status;
  }

 private:
  template <class Method, class Request>
  grpc::Status Call(Method method, const Request& request) const {
    return Answer(method, request);
  }
  template <class Request, class Method>
  grpc::Status CallWith(Method method, const std::string& id) const {
    Request request;
    request.set_authority_id(id);
    return Answer(method, request);
  }
  template <class Request, class Response>
  grpc::Status Answer(grpc::Status (api::LocalAuthority::Stub::*method)(grpc::ClientContext*,
                                                                        const Request&, Response*),
                      const Request& request) const {
    Response response;
    return ((*stub_).*method)(NewCall(session_.server).get(), request, &response);
  }

  const Session& session_;
  std::unique_ptr<api::LocalAuthority::Stub> stub_;
  std::unique_ptr<status_api::Status::Stub> status_;
  bool jwt_;
};

const status_api::RotatingAuthority* Find(
    const std::vector<status_api::RotatingAuthority>& authorities, std::string_view state) {
  const status_api::RotatingAuthority* found = nullptr;
  for (const auto& each : authorities)
    if (each.authority().state() == state) found = &each;  // the newest
  return found;
}

std::string Names(const google::protobuf::RepeatedPtrField<std::string>& ids) {
  std::string names;
  for (int i = 0; i < std::min(ids.size(), static_cast<int>(kNamed)); ++i)
    names += (i == 0 ? "" : ", ") + ids[i];
  return ids.size() > static_cast<int>(kNamed) ? names + ", …" : names;
}

std::string PlanTable(const std::vector<status_api::RotatingAuthority>& authorities,
                      std::int64_t now) {
  std::vector<std::vector<std::string>> rows;
  for (const auto& each : authorities) {
    const auto& authority = each.authority();
    rows.push_back({authority.state() + (authority.tainted() ? ", tainted" : ""), authority.id(),
                    Relative(authority.not_after(), now),
                    fmt::format("{}/{}", authority.acknowledged(), authority.live_agents()),
                    std::to_string(each.renewable()), std::to_string(each.others()),
                    each.last_ends_at() == 0 ? "" : Relative(each.last_ends_at(), now)});
  }
  return Table({"STATE", "AUTHORITY", "ENDS", "AGENTS HOLDING IT", "SVIDS RENEWED BY AGENTS",
                "OTHERS", "LAST SVID ENDS"},
               rows);
}

Json PlanJson(const std::vector<status_api::RotatingAuthority>& authorities) {
  Json list = Json::array();
  for (const auto& each : authorities) {
    const auto& a = each.authority();
    Json holders = Json::array();
    for (const auto& holder : each.holders())
      holders.push_back({{"agent", holder.agent()}, {"svids", holder.svids()}});
    list.push_back(
        {{"id", a.id()},
         {"state", a.state()},
         {"tainted", a.tainted()},
         {"not_after", a.not_after()},
         {"acknowledged", a.acknowledged()},
         {"live_agents", a.live_agents()},
         {"waiting_for", std::vector<std::string>(a.waiting_for().begin(), a.waiting_for().end())},
         {"renewable_svids", each.renewable()},
         {"other_svids", each.others()},
         {"last_svid_ends_at", each.last_ends_at()},
         {"holders", holders}});
  }
  return list;
}

// One rotation, carried out from where the server stands.
class Rotation {
 public:
  Rotation(const Session& session, const RotateOptions& options, Steps steps,
           std::chrono::milliseconds timeout)
      : session_(session),
        options_(options),
        steps_(std::move(steps)),
        deadline_(session.clock->SteadyNow() + timeout) {}

  int Run();

 private:
  using Authorities = std::vector<status_api::RotatingAuthority>;
  // Looks until `done` says so; shows `progress` when it changes. False: the time is over.
  template <class Done, class Progress>
  Result<bool> Wait(Done done, Progress progress);
  Result<Authorities> Look() const;
  Status Do(const grpc::Status& status) const;
  Status ShowPlan(const Authorities& authorities) const;
  Status PrepareIfNeeded(const Authorities& authorities);
  Status AwaitAgents();
  Status ActivateNext();
  Status AwaitRenewal();
  Status RevokeOld();
  Status CarryOut();
  void Say(const std::string& line) const;
  bool compromise() const { return options_.reason == "compromise"; }

  const Session& session_;
  const RotateOptions& options_;
  const Steps steps_;
  const SteadyTime deadline_;
  std::string old_;   // the authority that is being replaced
  std::string next_;  // and the one that replaces it
};

void Rotation::Say(const std::string& line) const {
  if (session_.format == Format::kJson) return;
  Print(line + "\n");
}

Status Rotation::Do(const grpc::Status& status) const {
  if (status.ok()) return {};
  return Fail(static_cast<Code>(status.error_code()), {}, status.error_message());
}

Result<Rotation::Authorities> Rotation::Look() const {
  Authorities authorities;
  SIGNET_RETURN_IF_ERROR(Do(steps_.Look(&authorities)));
  return authorities;
}

template <class Done, class Progress>
Result<bool> Rotation::Wait(Done done, Progress progress) {
  std::string said;
  while (true) {
    SIGNET_TRY(const Authorities authorities, Look());
    const std::string line = progress(authorities);
    if (!line.empty() && line != said) Say("  " + line);
    said = line;
    if (done(authorities)) return true;
    if (session_.clock->SteadyNow() >= deadline_) return false;
    std::this_thread::sleep_for(kPollInterval);
  }
}

Status Rotation::ShowPlan(const Authorities& authorities) const {
  if (session_.format == Format::kJson) {
    if (options_.plan) Print(PlanJson(authorities).dump(2) + "\n");
    return {};
  }
  Print(PlanTable(authorities, UnixSeconds(session_.clock->Now())) + "\n");
  const bool prepared = Find(authorities, "prepared") != nullptr;
  Say(prepared ? "1. the next authority is prepared and published already"
               : "1. prepare the next authority and publish it in the bundle");
  Say(options_.force ? "2. do not wait for agents (--force): peers that lack it refuse new SVIDs"
                     : "2. wait until every live agent says that it holds it");
  Say("3. sign with it; connections go on, SVIDs are renewed at their half-life");
  if (compromise())
    Say("4. taint the old one: agents renew all its SVIDs at once\n"
        "5. when none is held any more, revoke it: what it signed is refused everywhere");
  return {};
}

Status Rotation::PrepareIfNeeded(const Authorities& authorities) {
  const auto* active = Find(authorities, "active");
  if (active != nullptr) old_ = active->authority().id();
  if (const auto* prepared = Find(authorities, "prepared")) {
    next_ = prepared->authority().id();
    Say("goes on with the prepared authority " + next_);
    return {};
  }
  SIGNET_RETURN_IF_ERROR(Do(steps_.Prepare()));
  SIGNET_TRY(const Authorities now, Look());
  const auto* prepared = Find(now, "prepared");
  if (prepared == nullptr)
    return Fail(Code::kAborted, Reason{"another rotation is under way"}, "look again in a moment");
  next_ = prepared->authority().id();
  Say("prepared " + next_ + "; the bundle has it");
  return {};
}

Status Rotation::AwaitAgents() {
  std::string missing;
  const auto held = [&](const Authorities& authorities) {
    const auto* prepared = Find(authorities, "prepared");
    if (prepared == nullptr) return true;  // in use already: the server's own schedule was quicker
    missing = Names(prepared->authority().waiting_for());
    return prepared->authority().acknowledged() == prepared->authority().live_agents();
  };
  const auto progress = [](const Authorities& authorities) -> std::string {
    const auto* prepared = Find(authorities, "prepared");
    if (prepared == nullptr) return {};
    const auto& authority = prepared->authority();
    return fmt::format(
        "{} of {} agents hold it{}", authority.acknowledged(), authority.live_agents(),
        authority.waiting_for().empty() ? "" : "; waiting for " + Names(authority.waiting_for()));
  };
  SIGNET_TRY(const bool all, Wait(held, progress));
  if (all) return {};
  return Fail(Code::kDeadlineExceeded, kNotAcknowledged,
              "waiting for " + missing +
                  ". Bring them back, ban them (`signet agent ban`), or use --force; nothing is "
                  "undone by running this again");
}

Status Rotation::ActivateNext() {
  SIGNET_TRY(const Authorities authorities, Look());
  const auto* active = Find(authorities, "active");
  if (active == nullptr || active->authority().id() != next_)
    SIGNET_RETURN_IF_ERROR(Do(steps_.Activate(next_)));
  Say("active: " + next_);
  return {};
}

Status Rotation::AwaitRenewal() {
  std::string left;
  const auto find_old = [&](const Authorities& authorities) {
    const status_api::RotatingAuthority* found = nullptr;
    for (const auto& each : authorities)
      if (each.authority().id() == old_) found = &each;
    return found;
  };
  const auto done = [&](const Authorities& authorities) {
    const auto* old = find_old(authorities);
    left = old == nullptr || old->holders().empty() ? "" : old->holders(0).agent();
    return old == nullptr || old->renewable() == 0;
  };
  const auto progress = [&](const Authorities& authorities) -> std::string {
    const auto* old = find_old(authorities);
    if (old == nullptr) return {};
    return fmt::format("{} SVIDs of the old authority are still to be renewed", old->renewable());
  };
  SIGNET_TRY(const bool all, Wait(done, progress));
  if (all) return {};
  return Fail(Code::kDeadlineExceeded, kStillHeld,
              "most of them by " + left + "; run this again to go on, --force to revoke anyway");
}

Status Rotation::RevokeOld() {
  SIGNET_RETURN_IF_ERROR(Do(steps_.Revoke(old_)));
  Say("revoked: " + old_ + "; what it signed is not accepted any more");
  return {};
}

Status Rotation::CarryOut() {
  SIGNET_TRY(const Authorities authorities, Look());
  SIGNET_RETURN_IF_ERROR(ShowPlan(authorities));
  if (options_.plan) return {};
  // A run that was ended between the taint and the end goes on there.
  const auto* old = Find(authorities, "old");
  if (compromise() && old != nullptr && old->authority().tainted() &&
      Find(authorities, "prepared") == nullptr) {
    old_ = old->authority().id();
    Say("goes on with the tainted authority " + old_);
  } else {
    SIGNET_RETURN_IF_ERROR(PrepareIfNeeded(authorities));
    if (!options_.force) SIGNET_RETURN_IF_ERROR(AwaitAgents());
    SIGNET_RETURN_IF_ERROR(ActivateNext());
    if (!compromise()) return options_.wait && !old_.empty() ? AwaitRenewal() : Status();
    SIGNET_RETURN_IF_ERROR(Do(steps_.Taint(old_)));
    Say("tainted: " + old_);
  }
  if (const Status renewed = AwaitRenewal(); !renewed && !options_.force)
    return Fail(renewed.error());
  return RevokeOld();
}

int Rotation::Run() {
  if (const Status done = CarryOut(); !done) return ReportError(done.error(), kDoing);
  if (session_.format == Format::kJson && !options_.plan) {
    const auto authorities = Look();
    if (!authorities) return ReportError(authorities.error(), kDoing);
    Print(PlanJson(*authorities).dump(2) + "\n");
  }
  return kOk;
}

}  // namespace

int RotateAuthority(const Session& session, const RotateOptions& options) {
  const auto timeout = ParseDuration(options.timeout);
  if (!timeout || *timeout <= Duration(0))
    return ReportError({Code::kInvalidArgument, Reason{"not a duration"},
                        fmt::format("--timeout '{}'; write 90s or 10m", options.timeout)},
                       kDoing);
  auto channel = OpenChannel(session.server, "signet-server");
  if (!channel) return ReportError(channel.error(), kDoing);
  Rotation rotation(session, options, Steps(session, *channel, options.jwt),
                    std::chrono::duration_cast<std::chrono::milliseconds>(*timeout));
  return rotation.Run();
}

}  // namespace signet::ctl
