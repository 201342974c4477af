#include "identity/api/svid_service.h"

#include <algorithm>
#include <unordered_map>

#include "ca/x509/request.h"
#include "identity/api/convert.h"
#include "identity/api/rpc_status.h"

namespace signet::identity {
namespace {

namespace svid_api = spire::api::server::svid::v1;

// A call of up to so many bytes, one certificate request or the claims of one token, takes less of
// a thread than waking another one.
constexpr std::size_t kInlineBytes = 1024;

constexpr std::string_view kBatchNew = "/spire.api.server.svid.v1.SVID/BatchNewX509SVID";

// An empty Name (RFC 5280, 4.1.2.6).
constexpr std::array<std::uint8_t, 2> kEmptyName = {0x30, 0x00};

tl::unexpected<Error> Invalid(std::string detail) {
  return Fail(Code::kInvalidArgument, kFieldInvalid, std::move(detail));
}

Result<ca::CertificateRequest> ReadRequest(const std::string& csr) {
  if (csr.empty()) return Invalid("missing CSR");
  auto request = ca::ParseRequest(AsBytes(csr));
  if (request) return request;
  return Fail(InContext("malformed CSR", Code::kInvalidArgument, request.error()));
}

// A wildcard stands for one label: "*.a.example" covers "x.a.example".
Status CheckWildcards(const std::vector<std::string>& names) {
  for (const auto& name : names) {
    const auto dot = name.find('.');
    if (dot == std::string::npos || name.starts_with("*.")) continue;
    if (std::ranges::find(names, "*" + name.substr(dot)) != names.end())
      return Invalid("CSR DNS name \"" + name + "\" is covered by a wildcard of the same request");
  }
  return {};
}

// Which of the entries an agent asks for it may hold. Most are children of its own; the walk that
// finds the others is made once for a call.
class AuthorizedEntries {
 public:
  AuthorizedEntries(const Registry& registry, const SpiffeId& agent)
      : registry_(registry), agent_(agent) {}

  EntryPtr Find(const std::string& id) {
    if (EntryPtr own = registry_.FindOwnChild(agent_, id); own != nullptr) return own;
    if (!walked_) {
      for (EntryPtr& entry : registry_.AuthorizedEntries(agent_)) {
        const std::string_view entry_id = entry->id;
        by_id_.emplace(entry_id, std::move(entry));
      }
      walked_ = true;
    }
    const auto found = by_id_.find(id);
    return found == by_id_.end() ? nullptr : found->second;
  }

 private:
  const Registry& registry_;
  const SpiffeId& agent_;
  bool walked_ = false;
  std::unordered_map<std::string_view, EntryPtr> by_id_;
};

// An agent's call may have waited since it was authorized.
Status CheckStillAttested(const Registry& registry, const SpiffeId& agent) {
  if (const auto node = registry.FindNode(agent); node && !node->banned()) return {};
  return Fail(Code::kPermissionDenied, kCallDenied, "the agent was banned or deleted meanwhile");
}

// Asked before something is issued and again when the log has its record (Registry::Deny()).
Status CheckNotDenied(const Registry& registry, const SpiffeId& id) {
  if (!registry.IsDenied(id)) return {};
  return Fail(Code::kPermissionDenied, kIdentityRevoked, id.ToString());
}

}  // namespace

void SvidService::Register(Router* router) {
  router->AddDeferred(
      kBatchNew, kInlineBytes,
      Deferred<BatchRequest, BatchResponse>(
          [this](const Caller& caller, const BatchRequest& request, Then<BatchResponse> then) {
            BatchNew(caller, request, std::move(then));
          }));
  router->AddUnary(
      "/spire.api.server.svid.v1.SVID/MintX509SVID",
      Unary<MintRequest, MintResponse>([this](const Caller& caller, const MintRequest& request) {
        return Mint(caller, request);
      }));
  router->AddUnary("/spire.api.server.svid.v1.SVID/NewDownstreamX509CA",
                   Unary<DownstreamRequest, DownstreamResponse>(
                       [this](const Caller& caller, const DownstreamRequest& request) {
                         return NewDownstream(caller, request);
                       }));
  RegisterTokens(router);
}

void SvidService::RegisterTokens(Router* router) {
  using MintJwtResponse = svid_api::MintJWTSVIDResponse;
  using NewJwtResponse = svid_api::NewJWTSVIDResponse;
  router->AddDeferred(
      "/spire.api.server.svid.v1.SVID/MintJWTSVID", kInlineBytes,
      Deferred<MintJwtRequest, MintJwtResponse>(
          [this](const Caller& caller, const MintJwtRequest& request, Then<MintJwtResponse> then) {
            IssueJwt(CheckMintJwt(caller, request), std::move(then));
          }));
  router->AddDeferred(
      "/spire.api.server.svid.v1.SVID/NewJWTSVID", kInlineBytes,
      Deferred<NewJwtRequest, NewJwtResponse>(
          [this](const Caller& caller, const NewJwtRequest& request, Then<NewJwtResponse> then) {
            IssueJwt(CheckNewJwt(caller, request), std::move(then));
          }));
  router->AddInline(
      "/spire.api.server.svid.v1.SVID/MintWITSVID",
      Unary<svid_api::MintWITSVIDRequest, svid_api::MintWITSVIDResponse>(
          [](const Caller&,
             const svid_api::MintWITSVIDRequest&) -> Result<svid_api::MintWITSVIDResponse> {
            return Fail(Code::kUnimplemented, kWitDisabled);
          }));
  router->AddUnary("/spire.api.server.svid.v1.SVID/BatchNewWITSVID",
                   Unary<BatchWitRequest, BatchWitResponse>(
                       [this](const Caller& caller, const BatchWitRequest& request) {
                         return BatchNewWit(caller, request);
                       }));
}

Result<SvidService::Batch> SvidService::CheckBatch(const Caller& caller,
                                                   const BatchRequest& request) const {
  if (request.params().empty()) return Invalid("missing parameters");
  SIGNET_RETURN_IF_ERROR(CheckStillAttested(registry_, caller.id));
  SIGNET_RETURN_IF_ERROR(signing_.Take(caller, static_cast<std::size_t>(request.params_size())));
  AuthorizedEntries authorized(registry_, caller.id);
  Batch batch;
  for (const auto& params : request.params()) {
    auto* result = batch.response.add_results();
    const auto refuse = [&](Error error) {
      *result->mutable_status() = ToProtoStatus(Fail(std::move(error)));
    };
    if (params.entry_id().empty()) {
      refuse({Code::kInvalidArgument, kFieldInvalid, "missing entry ID"});
      continue;
    }
    if (params.csr().empty()) {
      refuse({Code::kInvalidArgument, kFieldInvalid, "missing CSR"});
      continue;
    }
    const EntryPtr found = authorized.Find(params.entry_id());
    if (found == nullptr) {
      refuse({Code::kNotFound, kEntryNotFound, "entry not found or not authorized"});
      continue;
    }
    if (const Status denied = CheckNotDenied(registry_, found->spiffe_id); !denied) {
      refuse(denied.error());
      continue;
    }
    auto csr = ReadRequest(params.csr());
    if (!csr) {
      refusals_.Add(caller.AsActor(), kBatchNew, csr.error().Message());
      refuse(csr.error());
      continue;
    }
    const Entry& entry = *found;
    IssueRequest issue;
    issue.public_key = csr->public_key;
    issue.id = entry.spiffe_id;
    issue.dns_names = entry.dns_names;
    issue.ttl = std::chrono::seconds(entry.x509_svid_ttl);
    issue.entry_id = entry.id;
    issue.entry_revision = entry.revision_number;
    issue.requested_by = caller.Name();
    batch.issues.push_back(std::move(issue));
    batch.places.push_back(batch.response.results_size() - 1);
  }
  return batch;
}

void SvidService::BatchNew(const Caller& caller, const BatchRequest& request,
                           Then<BatchResponse> then) const {
  auto checked = CheckBatch(caller, request);
  if (!checked) return then(Fail(std::move(checked).error()));
  const auto batch = std::make_shared<Batch>(*std::move(checked));
  issuer_.IssueLater(
      batch->issues, [&registry = registry_, agent = caller.id, batch,
                      then = std::move(then)](const std::vector<Result<IssuedSvid>>& issued) {
        if (const Status attested = CheckStillAttested(registry, agent); !attested)
          return then(Fail(attested.error()));
        for (std::size_t i = 0; i < issued.size(); ++i) {
          auto* result = batch->response.mutable_results(batch->places[i]);
          if (!issued[i]) {
            *result->mutable_status() = ToProtoStatus(Fail(issued[i].error()));
          } else if (const Status denied = CheckNotDenied(registry, batch->issues[i].id); !denied) {
            *result->mutable_status() = ToProtoStatus(denied);
          } else {
            *result->mutable_status() = ToProtoStatus({});
            WriteSvid(*issued[i], batch->issues[i].id, result->mutable_svid());
          }
        }
        then(std::move(batch->response));
      });
}

Status SvidService::CheckDnsNames(const SpiffeId& id, const std::vector<std::string>& names) const {
  // The rules are an entry's, so an entry is what is asked about.
  Entry entry;
  entry.spiffe_id = id;
  entry.parent_id = ServerId(registry_.trust_domain());
  entry.selectors = {{"mint", "x509"}};
  for (const auto& name : names) {
    entry.dns_names = {name};
    if (auto checked = CheckEntry(entry, registry_.trust_domain()); !checked) {
      return Fail(InContext("CSR DNS name is invalid", Code::kInvalidArgument, checked.error()));
    }
  }
  return CheckWildcards(names);
}

Result<SvidService::MintResponse> SvidService::Mint(const Caller& caller,
                                                    const MintRequest& request) const {
  SIGNET_TRY(auto csr, ReadRequest(request.csr()));
  if (csr.uri_sans.empty()) return Invalid("CSR URI SAN is required");
  if (csr.uri_sans.size() > 1) return Invalid("only one URI SAN is expected");
  auto id = SpiffeId::Parse(csr.uri_sans.front());
  if (!id) return Invalid("CSR URI SAN is invalid: " + id.error().detail);
  SIGNET_RETURN_IF_ERROR(CheckWorkloadId(*id, registry_.trust_domain(), "CSR URI SAN is invalid"));
  SIGNET_RETURN_IF_ERROR(CheckDnsNames(*id, csr.dns_sans));
  SIGNET_RETURN_IF_ERROR(signing_.Take(caller, 1));
  IssueRequest issue;
  issue.public_key = csr.public_key;
  issue.id = *id;
  issue.dns_names = csr.dns_sans;
  if (!Equal(csr.subject, kEmptyName)) issue.subject = csr.subject;
  issue.ttl = std::chrono::seconds(std::max(request.ttl(), 0));
  issue.requested_by = caller.Name();
  SIGNET_RETURN_IF_ERROR(CheckNotDenied(registry_, *id));
  SIGNET_TRY(auto svid, issuer_.IssueOne(issue));
  SIGNET_RETURN_IF_ERROR(CheckNotDenied(registry_, *id));
  MintResponse response;
  WriteSvid(svid, *id, response.mutable_svid());
  return response;
}

Result<SvidService::DownstreamResponse> SvidService::NewDownstream(
    const Caller& caller, const DownstreamRequest& request) const {
  SIGNET_RETURN_IF_ERROR(signing_.Take(caller, 1));
  const EntryPtr entry = registry_.FindDownstreamEntry(caller.id);
  if (entry == nullptr) {
    return Fail(Code::kPermissionDenied, kCallDenied,
                "the entry that made the caller a downstream server is gone");
  }
  SIGNET_TRY(auto csr, ReadRequest(request.csr()));
  IssueRequest issue;
  issue.public_key = csr.public_key;
  SIGNET_TRY(issue.id, SpiffeId::FromPath(registry_.trust_domain(), ""));
  issue.ttl = std::chrono::seconds(std::max(request.preferred_ttl(), 0));
  issue.entry_id = entry->id;
  issue.entry_revision = entry->revision_number;
  issue.requested_by = caller.Name();
  SIGNET_RETURN_IF_ERROR(CheckNotDenied(registry_, caller.id));
  auto issued = issuer_.IssueDownstream(issue);
  SIGNET_RETURN_IF_ERROR(CheckNotDenied(registry_, caller.id));
  if (!issued) {
    // A profile that cannot be is our fault, not the caller's.
    const auto& error = issued.error();
    const auto code = error.code == Code::kInvalidArgument ? Code::kInternal : error.code;
    return Fail(InContext("failed to sign downstream X.509 CA", code, error));
  }
  DownstreamResponse response;
  for (const auto& certificate : issued->chain)
    response.add_ca_cert_chain(ToString(certificate.der()));
  const auto bundle = registry_.OwnBundle();
  for (const auto& authority : bundle->x509_authorities)
    response.add_x509_authorities(ToString(authority.certificate.der()));
  return response;
}

EntryPtr SvidService::FindAuthorized(const Caller& caller, const std::string& entry_id) const {
  return AuthorizedEntries(registry_, caller.id).Find(entry_id);
}

Result<JwtIssueRequest> SvidService::CheckMintJwt(const Caller& caller,
                                                  const MintJwtRequest& request) const {
  if (jwt_issuer_ == nullptr) return Fail(Code::kUnimplemented, kJwtDisabled);
  if (!request.has_id()) return Invalid("invalid SPIFFE ID: request must specify SPIFFE ID");
  SIGNET_TRY(auto id,
             WorkloadIdFromProto(request.id(), registry_.trust_domain(), "invalid SPIFFE ID"));
  if (request.audience().empty()) return Invalid("at least one audience is required");
  SIGNET_RETURN_IF_ERROR(jwt_signing_.Take(caller, 1));
  JwtIssueRequest issue;
  issue.id = std::move(id);
  issue.audience.assign(request.audience().begin(), request.audience().end());
  issue.ttl = std::chrono::seconds(std::max(request.ttl(), 0));
  issue.requested_by = caller.Name();
  return issue;
}

Result<JwtIssueRequest> SvidService::CheckNewJwt(const Caller& caller,
                                                 const NewJwtRequest& request) const {
  if (jwt_issuer_ == nullptr) return Fail(Code::kUnimplemented, kJwtDisabled);
  SIGNET_RETURN_IF_ERROR(CheckStillAttested(registry_, caller.id));
  SIGNET_RETURN_IF_ERROR(jwt_signing_.Take(caller, 1));
  const auto entry = FindAuthorized(caller, request.entry_id());
  if (!entry) return Fail(Code::kNotFound, kEntryNotFound, "entry not found or not authorized");
  if (request.audience().empty()) return Invalid("at least one audience is required");
  JwtIssueRequest issue;
  issue.id = entry->spiffe_id;
  issue.audience.assign(request.audience().begin(), request.audience().end());
  issue.ttl = std::chrono::seconds(entry->jwt_svid_ttl);
  issue.state_token_id = entry->jwt_svid_include_jti;
  issue.entry_id = entry->id;
  issue.entry_revision = entry->revision_number;
  issue.requested_by = caller.Name();
  return issue;
}

template <class Response>
void SvidService::IssueJwt(const Result<JwtIssueRequest>& request, Then<Response> then) const {
  if (!request) return then(Fail(request.error()));
  if (const Status denied = CheckNotDenied(registry_, request->id); !denied)
    return then(Fail(denied.error()));
  jwt_issuer_->IssueLater(*request, [&registry = registry_, id = request->id,
                                     then = std::move(then)](const Result<IssuedJwt>& issued) {
    if (const Status denied = CheckNotDenied(registry, id); !denied)
      return then(Fail(denied.error()));
    if (!issued) {
      // Claims that cannot be are INTERNAL, as SPIRE answers them.
      const auto& error = issued.error();
      const auto code = error.code == Code::kInvalidArgument ? Code::kInternal : error.code;
      return then(Fail(InContext("failed to sign JWT-SVID", code, error)));
    }
    Response response;
    JwtSvid& svid = *response.mutable_svid();
    svid.set_token(issued->token);
    *svid.mutable_id() = ToProto(id);
    svid.set_issued_at(UnixSeconds(issued->issued_at));
    svid.set_expires_at(UnixSeconds(issued->expires_at));
    then(std::move(response));
  });
}

Result<SvidService::BatchWitResponse> SvidService::BatchNewWit(
    const Caller& caller, const BatchWitRequest& request) const {
  if (request.params().empty()) return Invalid("missing parameters");
  BatchWitResponse response;
  for (const auto& params : request.params()) {
    Status status = Fail(Code::kUnimplemented, kWitDisabled);
    if (params.entry_id().empty()) {
      status = Invalid("missing entry ID");
    } else if (!FindAuthorized(caller, params.entry_id())) {
      status = Fail(Code::kNotFound, kEntryNotFound, "entry not found or not authorized");
    }
    *response.add_results()->mutable_status() = ToProtoStatus(status);
  }
  return response;
}

}  // namespace signet::identity
