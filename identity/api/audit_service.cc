#include "identity/api/audit_service.h"

#include <algorithm>

#include "signet/audit/v1/audit.pb.h"

namespace signet::identity {
namespace {

namespace api = signet::audit::v1;

constexpr std::uint32_t kDefaultPage = 500;
constexpr std::uint32_t kLargestPage = 5000;

std::string Path(std::string_view name) { return "/signet.audit.v1.Audit/" + std::string(name); }

void Write(const LogHead& head, api::Head* proto) {
  proto->set_seq(head.seq);
  proto->set_hash(head.hash.data(), head.hash.size());
}

void Write(const LoggedRecord& logged, api::Record* proto) {
  const AuditRecord& record = logged.record;
  Write(logged.place, proto->mutable_place());
  proto->set_event(record.event);
  proto->set_recorded_at(record.recorded_at);
  proto->set_actor(record.actor);
  proto->set_subject(record.subject);
  proto->set_object(record.object);
  proto->set_revision(record.revision);
  proto->set_serial(record.serial);
  proto->set_purpose(record.purpose);
  proto->set_authority_id(record.authority_id);
  proto->set_not_before(record.not_before);
  proto->set_not_after(record.not_after);
  proto->set_detail(record.detail);
}

LogFilter FilterOf(const api::ListRecordsRequest& request) {
  const std::uint32_t size = request.page_size() == 0 ? kDefaultPage : request.page_size();
  return {.after = request.after_seq(),
          .before = request.before_seq(),
          .since = request.since(),
          .until = request.until(),
          .subject = request.subject(),
          .serial = request.serial(),
          .event = request.event(),
          .object = request.object(),
          .newest_first = request.newest_first(),
          .limit = std::min(size, kLargestPage)};
}

}  // namespace

void AuditService::Register(Router* router) {
  router->AddUnary(
      Path("ListRecords"),
      Unary<api::ListRecordsRequest, api::ListRecordsResponse>(
          [this](const Caller&,
                 const api::ListRecordsRequest& request) -> Result<api::ListRecordsResponse> {
            api::ListRecordsResponse response;
            response.set_trust_domain(trust_domain_.name());
            SIGNET_TRY(const auto base, store_.LoadLogBase());
            Write(base, response.mutable_base());
            SIGNET_TRY(const auto records, store_.LoadLog(FilterOf(request)));
            for (const LoggedRecord& record : records) Write(record, response.add_records());
            return response;
          }));
  router->AddUnary(
      Path("GetCheckpoint"),
      Unary<api::GetCheckpointRequest, api::Checkpoint>(
          [this](const Caller&, const api::GetCheckpointRequest&) -> Result<api::Checkpoint> {
            SIGNET_TRY(const auto checkpoint, keeper_.MakeCheckpoint());
            api::Checkpoint response;
            Write(checkpoint.head, response.mutable_head());
            response.set_made_at(checkpoint.made_at);
            response.set_public_key(ToString(checkpoint.public_key));
            response.set_signature(ToString(checkpoint.signature));
            response.set_trust_domain(trust_domain_.name());
            return response;
          }));
  router->AddUnary(Path("Prune"),
                   Unary<api::PruneRequest, api::PruneResponse>(
                       [this](const Caller& caller,
                              const api::PruneRequest& request) -> Result<api::PruneResponse> {
                         SIGNET_TRY(const auto removed,
                                    keeper_.Prune(request.before(), caller.AsActor()));
                         api::PruneResponse response;
                         response.set_removed(removed);
                         SIGNET_TRY(const auto base, store_.LoadLogBase());
                         Write(base, response.mutable_base());
                         return response;
                       }));
}

}  // namespace signet::identity
