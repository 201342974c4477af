#include "identity/api/nested_service.h"

#include <algorithm>

namespace signet::identity {
namespace {

namespace api = signet::nested::v1;
using std::chrono::seconds;

constexpr std::size_t kMaxReports = 1'000;
constexpr int kMaxAuthorities = 1'000;
constexpr std::size_t kMaxIdBytes = 256;
constexpr std::size_t kMaxInstanceBytes = 64;
constexpr std::size_t kMaxNamed = 20;
// Servers below report every five seconds, and come back after at most thirty.
constexpr seconds kReportsWithin{40};

Status CheckReport(const api::ReportHeldRequest& report) {
  const auto malformed = [](const char* what) {
    return Fail(Code::kInvalidArgument, kReportMalformed, what);
  };
  if (report.instance().empty() || report.instance().size() > kMaxInstanceBytes)
    return malformed("instance: 1 to 64 bytes");
  if (report.authorities_size() > kMaxAuthorities) return malformed("authorities: more than 1000");
  for (const std::string& id : report.authorities())
    if (id.empty() || id.size() > kMaxIdBytes) return malformed("authorities: 1 to 256 bytes each");
  return {};
}

void Wait(Acknowledgement* held, std::string name) {
  held->all = false;
  if (held->waiting_for.size() < kMaxNamed) held->waiting_for.push_back(std::move(name));
}

}  // namespace

NestedService::NestedService(Registry& registry, const Clock& clock)
    : registry_(registry), clock_(clock), heard_all_at_(clock.SteadyNow() + kReportsWithin) {}

void NestedService::Register(Router* router) {
  router->AddUnary(
      "/signet.nested.v1.Nested/ReportHeld",
      Unary<api::ReportHeldRequest, api::ReportHeldResponse>(
          [this](const Caller& caller,
                 const api::ReportHeldRequest& request) -> Result<api::ReportHeldResponse> {
            SIGNET_RETURN_IF_ERROR(Record(caller.id, caller.valid_until, request));
            return api::ReportHeldResponse();
          }));
}

Status NestedService::Record(const SpiffeId& server, WallTime valid_until,
                             const api::ReportHeldRequest& report) {
  SIGNET_RETURN_IF_ERROR(CheckReport(report));
  const WallTime now = clock_.Now();
  const std::string key = server.ToString() + " " + report.instance();
  const std::lock_guard lock(mutex_);
  if (!reports_.contains(key) && reports_.size() >= kMaxReports) {
    std::erase_if(reports_, [&](const auto& each) { return each.second.valid_until <= now; });
    if (reports_.size() >= kMaxReports)
      return Fail(Code::kResourceExhausted, kReportsTooMany, std::to_string(kMaxReports));
  }
  reports_.insert_or_assign(
      key, Report{server, valid_until, {report.authorities().begin(), report.authorities().end()}});
  return {};
}

// Not once everybody had the time: a server below that never reports (SPIRE's) is not waited for.
bool NestedService::IsSomebodyUnheard() const {
  if (clock_.SteadyNow() >= heard_all_at_) return false;
  EntryFilter filter;
  filter.downstream = true;
  const auto servers = registry_.ListEntries(filter, kMaxReports, {});
  if (!servers) return true;
  const std::lock_guard lock(mutex_);
  return std::ranges::any_of(servers->items, [&](const EntryPtr& server) {
    return std::ranges::none_of(
        reports_, [&](const auto& each) { return each.second.server == server->spiffe_id; });
  });
}

Acknowledgement NestedService::Of(const std::string& authority_id, Acknowledgement held) const {
  const WallTime now = clock_.Now();
  if (IsSomebodyUnheard()) {
    ++held.live;
    Wait(&held, "servers below, which have not had the time to report since the start");
  }
  const std::lock_guard lock(mutex_);
  for (const auto& [key, report] : reports_) {
    if (report.valid_until <= now || !registry_.HasDownstreamEntry(report.server)) continue;
    ++held.live;
    if (report.authorities.contains(authority_id)) {
      ++held.acknowledged;
    } else {
      Wait(&held, report.server.ToString() + " (a server below)");
    }
  }
  return held;
}

}  // namespace signet::identity
