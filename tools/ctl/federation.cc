#include <fmt/format.h>

#include "spire/api/server/trustdomain/v1/trustdomain.grpc.pb.h"
#include "tools/ctl/convert.h"

namespace signet::ctl {
namespace {

namespace api = spire::api::server::trustdomain::v1;
namespace types = spire::api::types;
constexpr std::string_view kServer = "signet-server";
constexpr int kPageSize = 100;
using Json = nlohmann::ordered_json;

std::string ProfileOf(const types::FederationRelationship& relationship) {
  return relationship.has_https_spiffe() ? "https_spiffe" : "https_web";
}

Json ToJson(const types::FederationRelationship& relationship) {
  Json json{{"trust_domain", relationship.trust_domain()},
            {"bundle_endpoint_url", relationship.bundle_endpoint_url()},
            {"bundle_endpoint_profile", ProfileOf(relationship)}};
  if (relationship.has_https_spiffe())
    json["endpoint_spiffe_id"] = relationship.https_spiffe().endpoint_spiffe_id();
  if (const auto bundle = BundleFromMessage(relationship.trust_domain_bundle());
      relationship.has_trust_domain_bundle() && bundle)
    json["bundle"] = Json::parse(identity::FormatSpiffeBundle(*bundle));
  return json;
}

std::string BundleText(const types::FederationRelationship& relationship) {
  if (!relationship.has_trust_domain_bundle()) return "none yet";
  const auto& bundle = relationship.trust_domain_bundle();
  return fmt::format("sequence {}, {} X.509 and {} JWT authorities", bundle.sequence_number(),
                     bundle.x509_authorities_size(), bundle.jwt_authorities_size());
}

int ShowOne(const Session& session, const types::FederationRelationship& relationship) {
  if (session.format == Format::kJson) {
    Print(ToJson(relationship).dump(2) + "\n");
    return kOk;
  }
  Print(Details({{"Trust domain", relationship.trust_domain()},
                 {"Bundle endpoint", relationship.bundle_endpoint_url()},
                 {"Profile", ProfileOf(relationship)},
                 {"Endpoint ID", relationship.https_spiffe().endpoint_spiffe_id()},
                 {"Bundle", BundleText(relationship)}}));
  return kOk;
}

// What `options` says, and in `mask` which fields that is.
Status Fill(const FederationOptions& options, types::FederationRelationship* relationship,
            types::FederationRelationshipMask* mask) {
  const auto invalid = [](std::string what) {
    return Fail(Code::kInvalidArgument, {}, std::move(what));
  };
  relationship->set_trust_domain(options.trust_domain);
  if (options.url) {
    relationship->set_bundle_endpoint_url(*options.url);
    mask->set_bundle_endpoint_url(true);
  }
  if (options.profile == "https_spiffe") {
    if (!options.endpoint_id) return invalid("--profile https_spiffe needs --endpoint-spiffe-id");
    relationship->mutable_https_spiffe()->set_endpoint_spiffe_id(*options.endpoint_id);
  } else if (options.endpoint_id) {
    return invalid("--endpoint-spiffe-id belongs to --profile https_spiffe");
  } else if (options.profile) {
    relationship->mutable_https_web();
  }
  mask->set_bundle_endpoint_profile(options.profile.has_value());
  if (options.bundle_file.empty()) return {};
  SIGNET_TRY(*relationship->mutable_trust_domain_bundle(),
             ReadBundleFile(options.bundle_file, options.trust_domain));
  mask->set_trust_domain_bundle(true);
  return {};
}

int ReportElement(const types::Status& status, std::string_view doing) {
  return ReportStatus({static_cast<grpc::StatusCode>(status.code()), status.message()}, doing);
}

}  // namespace

int CreateRelationship(const Session& session, const FederationOptions& options) {
  constexpr std::string_view kDoing = "federation create";
  api::BatchCreateFederationRelationshipRequest request;
  types::FederationRelationshipMask all;
  if (auto filled = Fill(options, request.add_federation_relationships(), &all); !filled)
    return ReportError(filled.error(), kDoing);
  auto channel = OpenChannel(session.server, kServer);
  if (!channel) return ReportError(channel.error(), kDoing);
  api::BatchCreateFederationRelationshipResponse response;
  const auto status = api::TrustDomain::NewStub(*channel)->BatchCreateFederationRelationship(
      NewCall(session.server).get(), request, &response);
  if (!status.ok()) return ReportStatus(status, kDoing);
  const auto& result = response.results(0);
  if (result.status().code() != 0) return ReportElement(result.status(), kDoing);
  return ShowOne(session, result.federation_relationship());
}

int UpdateRelationship(const Session& session, const FederationOptions& options) {
  constexpr std::string_view kDoing = "federation update";
  api::BatchUpdateFederationRelationshipRequest request;
  if (auto filled =
          Fill(options, request.add_federation_relationships(), request.mutable_input_mask());
      !filled)
    return ReportError(filled.error(), kDoing);
  auto channel = OpenChannel(session.server, kServer);
  if (!channel) return ReportError(channel.error(), kDoing);
  api::BatchUpdateFederationRelationshipResponse response;
  const auto status = api::TrustDomain::NewStub(*channel)->BatchUpdateFederationRelationship(
      NewCall(session.server).get(), request, &response);
  if (!status.ok()) return ReportStatus(status, kDoing);
  const auto& result = response.results(0);
  if (result.status().code() != 0) return ReportElement(result.status(), kDoing);
  return ShowOne(session, result.federation_relationship());
}

int DeleteRelationships(const Session& session, const std::vector<std::string>& trust_domains) {
  constexpr std::string_view kDoing = "federation delete";
  auto channel = OpenChannel(session.server, kServer);
  if (!channel) return ReportError(channel.error(), kDoing);
  api::BatchDeleteFederationRelationshipRequest request;
  for (const auto& name : trust_domains) request.add_trust_domains(name);
  api::BatchDeleteFederationRelationshipResponse response;
  const auto status = api::TrustDomain::NewStub(*channel)->BatchDeleteFederationRelationship(
      NewCall(session.server).get(), request, &response);
  if (!status.ok()) return ReportStatus(status, kDoing);
  int exit_code = kOk;
  Json list = Json::array();
  for (const auto& result : response.results()) {
    const bool done = result.status().code() == 0;
    list.push_back({{"trust_domain", result.trust_domain()},
                    {"result", done ? "deleted" : result.status().message()}});
    if (!done) exit_code = ReportElement(result.status(), kDoing);
    if (done && session.format == Format::kText)
      Print(fmt::format("deleted the relationship with {}\n", result.trust_domain()));
  }
  if (session.format == Format::kJson) Print(list.dump(2) + "\n");
  return exit_code;
}

int ListRelationships(const Session& session) {
  constexpr std::string_view kDoing = "federation list";
  auto channel = OpenChannel(session.server, kServer);
  if (!channel) return ReportError(channel.error(), kDoing);
  const auto stub = api::TrustDomain::NewStub(*channel);
  api::ListFederationRelationshipsRequest request;
  request.set_page_size(kPageSize);
  Json list = Json::array();
  std::vector<std::vector<std::string>> rows;
  do {
    api::ListFederationRelationshipsResponse response;
    const auto status =
        stub->ListFederationRelationships(NewCall(session.server).get(), request, &response);
    if (!status.ok()) return ReportStatus(status, kDoing);
    for (const auto& one : response.federation_relationships()) {
      list.push_back(ToJson(one));
      rows.push_back(
          {one.trust_domain(), one.bundle_endpoint_url(), ProfileOf(one), BundleText(one)});
    }
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty());
  if (session.format == Format::kJson)
    Print(list.dump(2) + "\n");
  else if (rows.empty())
    Print("no relationships; make one with `signet federation create`\n");
  else
    Print(Table({"TRUST DOMAIN", "BUNDLE ENDPOINT", "PROFILE", "BUNDLE"}, rows));
  return kOk;
}

int ShowRelationship(const Session& session, const FederationOptions& options) {
  constexpr std::string_view kDoing = "federation show";
  auto channel = OpenChannel(session.server, kServer);
  if (!channel) return ReportError(channel.error(), kDoing);
  api::GetFederationRelationshipRequest request;
  request.set_trust_domain(options.trust_domain);
  types::FederationRelationship relationship;
  const auto status = api::TrustDomain::NewStub(*channel)->GetFederationRelationship(
      NewCall(session.server).get(), request, &relationship);
  if (!status.ok()) return ReportStatus(status, kDoing);
  return ShowOne(session, relationship);
}

int RefreshRelationship(const Session& session, const FederationOptions& options) {
  constexpr std::string_view kDoing = "federation refresh";
  auto channel = OpenChannel(session.server, kServer);
  if (!channel) return ReportError(channel.error(), kDoing);
  api::RefreshBundleRequest request;
  request.set_trust_domain(options.trust_domain);
  google::protobuf::Empty nothing;
  // The server itself waits ten seconds for the endpoint.
  Connection patient = session.server;
  patient.timeout *= 2;
  const auto status =
      api::TrustDomain::NewStub(*channel)->RefreshBundle(NewCall(patient).get(), request, &nothing);
  if (!status.ok()) return ReportStatus(status, kDoing);
  if (session.format == Format::kJson)
    Print(Json{{"trust_domain", options.trust_domain}, {"result", "refreshed"}}.dump() + "\n");
  else
    Print(fmt::format("refreshed the bundle of {}\n", options.trust_domain));
  return kOk;
}

}  // namespace signet::ctl
