#include "agent/endpoints/debug_service.h"

#include "ca/x509/path.h"
#include "identity/spiffe/spiffe_id.h"

namespace signet::agent {
namespace {

namespace api = spire::agent::debug::v1;

constexpr Duration kKept = std::chrono::seconds(5);

// The subject as SPIRE writes it, with the attribute's name in capitals; an authority's begins so.
std::string SubjectOf(const ca::Certificate& certificate) {
  constexpr std::string_view kSerialNumber = "serialNumber=";
  auto text = certificate.SubjectText();
  if (text.starts_with(kSerialNumber)) text.replace(0, kSerialNumber.size(), "SERIALNUMBER=");
  return text;
}

void Write(const ca::Certificate& certificate, api::GetInfoResponse::Cert* told) {
  if (!certificate.uri_sans().empty()) {
    if (const auto id = identity::SpiffeId::Parse(certificate.uri_sans().front())) {
      told->mutable_id()->set_trust_domain(id->trust_domain().name());
      told->mutable_id()->set_path(id->path());
    }
  }
  told->set_expires_at(UnixSeconds(certificate.not_after()));
  told->set_subject(SubjectOf(certificate));
}

}  // namespace

DebugService::DebugService(std::function<AgentFigures()> figures, const Clock& clock)
    : figures_(std::move(figures)), clock_(clock), started_at_(clock.SteadyNow()) {}

api::GetInfoResponse DebugService::Compose() const {
  const AgentFigures figures = figures_();
  api::GetInfoResponse info;
  const auto path = ca::BuildPath(figures.chain, figures.roots, clock_.Now());
  for (const ca::Certificate& certificate : path ? *path : figures.chain)
    Write(certificate, info.add_svid_chain());
  const auto up = clock_.SteadyNow() - started_at_;
  info.set_uptime(static_cast<int>(std::chrono::duration_cast<std::chrono::seconds>(up).count()));
  info.set_svids_count(static_cast<int>(figures.x509_svids));
  info.set_cached_x509_svids_count(static_cast<int>(figures.x509_svids));
  info.set_cached_jwt_svids_count(static_cast<int>(figures.jwt_svids));
  if (figures.last_sync) info.set_last_sync_success(UnixSeconds(*figures.last_sync));
  return info;
}

api::GetInfoResponse DebugService::Recent() {
  const std::lock_guard lock(mutex_);
  const SteadyTime now = clock_.SteadyNow();
  if (!composed_at_ || now - *composed_at_ >= kKept) {
    composed_ = Compose();
    composed_at_ = now;
  }
  return composed_;
}

void DebugService::Register(CallTable* calls, AttestationPool& pool) {
  calls->AddUnary<api::GetInfoRequest, api::GetInfoResponse>(
      "/spire.agent.debug.v1.Debug/GetInfo", &pool,
      [this](const api::GetInfoRequest&, api::GetInfoResponse* response) {
        *response = Recent();
        return grpc::Status::OK;
      });
}

}  // namespace signet::agent
