#include "identity/server/issuer.h"

#include <utility>

#include "ca/x509/subject_key.h"

namespace signet::identity {
namespace {

std::string_view PurposeName(ca::Purpose purpose) {
  switch (purpose) {
    case ca::Purpose::kWorkload:
      return "workload";
    case ca::Purpose::kAgent:
      return "agent";
    case ca::Purpose::kServer:
      return "server";
    case ca::Purpose::kDownstreamCa:
      return "downstream";
    case ca::Purpose::kRoot:
      return "root";
  }
  return "unknown";
}

ca::LeafProfile ProfileOf(const IssueRequest& request, const IssuerSettings& settings,
                          WallTime now) {
  std::chrono::seconds ttl = request.ttl;
  if (ttl == std::chrono::seconds(0)) {
    ttl = request.purpose == ca::Purpose::kAgent ? settings.agent_ttl
                                                 : settings.default_x509_svid_ttl;
  }
  return {.purpose = request.purpose,
          .uri_san = request.id.ToString(),
          .dns_sans = request.dns_names,
          .subject = request.subject,
          .not_before = now - settings.backdate,
          .not_after = now + ttl};
}

AuditRecord RecordOf(const IssueRequest& request, const ca::IssuanceIntent& intent, WallTime now) {
  AuditRecord record = MakeIssuanceRecord(intent, now);
  record.object = request.entry_id;
  record.revision = request.entry_revision;
  record.actor = request.requested_by;
  return record;
}

tl::unexpected<Error> FailWithoutAuthority() {
  return Fail(Code::kUnavailable, kNoActiveAuthority, "the server has no authority in use yet");
}

}  // namespace

AuditRecord MakeIssuanceRecord(const ca::IssuanceIntent& intent, WallTime now) {
  AuditRecord record;
  record.event = event::kIssued;
  record.serial = EncodeHex(intent.serial);
  record.subject = intent.uri_san;
  record.purpose = PurposeName(intent.purpose);
  record.actor = "server";
  record.authority_id = EncodeHex(intent.authority_key_id);
  record.not_before = UnixSeconds(intent.not_before);
  record.not_after = UnixSeconds(intent.not_after);
  record.recorded_at = UnixSeconds(now);
  return record;
}

Issuer::Issuer(const ActiveAuthority& authority, const Journal& journal,
               const IssuerSettings& settings, const Clock& clock, Random& random, Metrics& metrics)
    : authority_(authority),
      journal_(journal),
      settings_(settings),
      clock_(clock),
      random_(random),
      issued_(metrics.Counter("signet_server_svids_issued_total", "X.509-SVIDs signed")),
      refused_(metrics.Counter("signet_server_svids_refused_total",
                               "X.509-SVIDs not signed: profile, journal or signer said no")),
      shortened_(metrics.Counter("signet_server_svids_shortened_total",
                                 "X.509-SVIDs cut to the end of the authority that signed them")) {}

// The server's own keys are not a matter of policy.
Status Issuer::CheckKey(const IssueRequest& request) const {
  if (settings_.csr_key_types.empty() || request.purpose == ca::Purpose::kServer) return {};
  return ca::CheckSubjectKey(request.public_key, settings_.csr_key_types);
}

Issuer::Prepared Issuer::Prepare(std::span<const IssueRequest> requests) const {
  const WallTime now = std::chrono::floor<std::chrono::seconds>(clock_.Now());
  Prepared prepared{.authority = authority_.Active(), .certificates = {}, .records = {}};
  for (const IssueRequest& request : requests) {
    const ca::LeafProfile profile = ProfileOf(request, settings_, now);
    if (prepared.authority == nullptr) {
      prepared.certificates.push_back(FailWithoutAuthority());
      continue;
    }
    if (const Status allowed = CheckKey(request); !allowed) {
      prepared.certificates.push_back(Fail(allowed.error()));
      continue;
    }
    const auto& one = prepared.certificates.emplace_back(
        prepared.authority->Prepare(request.public_key, profile, random_, now));
    if (!one) continue;
    if (one->intent.not_after < profile.not_after) shortened_.Add();
    prepared.records.push_back(RecordOf(request, one->intent, now));
  }
  return prepared;
}

std::vector<Result<IssuedSvid>> Issuer::Sign(const Prepared& prepared,
                                             const Status& recorded) const {
  std::vector<Result<IssuedSvid>> issued;
  for (const Result<ca::PreparedCertificate>& one : prepared.certificates) {
    issued.push_back(recorded ? SignOne(prepared.authority.get(), one) : Fail(recorded.error()));
    (issued.back() ? issued_ : refused_).Add();
  }
  return issued;
}

std::vector<Result<IssuedSvid>> Issuer::Issue(std::span<const IssueRequest> requests) const {
  const Prepared prepared = Prepare(requests);
  return Sign(prepared, journal_.Append(prepared.records));
}

void Issuer::IssueLater(std::span<const IssueRequest> requests, Done done) const {
  auto prepared = std::make_shared<Prepared>(Prepare(requests));
  journal_.Append(std::move(prepared->records),
                  [this, prepared, done = std::move(done)](const Status& recorded) {
                    done(Sign(*prepared, recorded));
                  });
}

Result<IssuedSvid> Issuer::SignOne(const ca::X509Authority* authority,
                                   const Result<ca::PreparedCertificate>& prepared) const {
  if (!prepared) return Fail(prepared.error());
  SIGNET_TRY(ca::Certificate leaf, authority->Sign(*prepared));
  IssuedSvid svid{.leaf = leaf, .chain = {leaf}};
  const ca::Chain& upstream = authority->upstream_chain();
  svid.chain.insert(svid.chain.end(), upstream.begin(), upstream.end());
  return svid;
}

Result<IssuedSvid> Issuer::IssueDownstream(const IssueRequest& request) const {
  const WallTime now = std::chrono::floor<std::chrono::seconds>(clock_.Now());
  const auto authority = authority_.Active();
  if (authority == nullptr) return FailWithoutAuthority();
  if (const Status allowed = CheckKey(request); !allowed) {
    refused_.Add();
    return Fail(allowed.error());
  }
  const auto ttl = request.ttl == std::chrono::seconds(0) ? settings_.ca_ttl : request.ttl;
  const ca::DownstreamProfile profile{.uri_san = request.id.ToString(),
                                      .limits = settings_.downstream,
                                      .not_before = now - settings_.backdate,
                                      .not_after = now + ttl};
  const auto prepared = authority->PrepareDownstream(request.public_key, profile, random_, now);
  Status recorded;
  if (prepared) recorded = journal_.Append({RecordOf(request, prepared->intent, now)});
  Result<IssuedSvid> issued =
      recorded ? SignOne(authority.get(), prepared) : Fail(recorded.error());
  (issued ? issued_ : refused_).Add();
  return issued;
}

Result<PreparedSvid> Issuer::PrepareOne(const IssueRequest& request) const {
  Prepared prepared = Prepare({&request, 1});
  auto& certificate = prepared.certificates.front();
  if (certificate)
    return PreparedSvid{std::move(prepared.authority), *std::move(certificate),
                        std::move(prepared.records.front())};
  refused_.Add();
  return Fail(std::move(certificate).error());
}

Result<IssuedSvid> Issuer::Sign(const PreparedSvid& prepared) const {
  Result<IssuedSvid> issued = SignOne(prepared.authority.get(), prepared.certificate);
  (issued ? issued_ : refused_).Add();
  return issued;
}

Result<IssuedSvid> Issuer::IssueOne(const IssueRequest& request) const {
  return std::move(Issue({&request, 1}).front());
}

}  // namespace signet::identity
