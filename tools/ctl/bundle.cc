#include "identity/bundle/bundle.h"

#include <fmt/format.h>

#include <iostream>
#include <iterator>

#include "base/file.h"
#include "spire/api/server/bundle/v1/bundle.grpc.pb.h"
#include "tools/ctl/convert.h"

namespace signet::ctl {
namespace {

namespace api = spire::api::server::bundle::v1;
namespace types = spire::api::types;
constexpr std::string_view kServer = "signet-server";
constexpr int kPageSize = 100;
constexpr std::size_t kMaxAuthorities = 1000;
using Json = nlohmann::ordered_json;

std::string FormatBundle(const identity::Bundle& bundle, const std::string& format,
                         std::int64_t now) {
  if (format == "spiffe") return identity::FormatSpiffeBundle(bundle) + "\n";
  if (format == "pem") return ca::ToPem(bundle.X509Roots());
  std::vector<std::vector<std::string>> rows;
  for (const auto& authority : bundle.x509_authorities)
    rows.push_back({"x509", EncodeHex(authority.certificate.subject_key_id()),
                    Relative(UnixSeconds(authority.certificate.not_after()), now),
                    authority.tainted ? "tainted" : ""});
  for (const auto& key : bundle.jwt_authorities)
    rows.push_back(
        {"jwt", key.key_id, Relative(key.expires_at, now), key.tainted ? "tainted" : ""});
  return fmt::format("{}  sequence {}  refresh hint {}s\n\n", bundle.trust_domain.IdString(),
                     bundle.sequence_number, bundle.refresh_hint) +
         Table({"KIND", "AUTHORITY", "EXPIRES", ""}, rows);
}

Result<std::string> ReadInput(const std::string& path) {
  if (path != "-") {
    SIGNET_TRY(const Bytes content, ReadFile(path, identity::kMaxBundleBytes));
    return ToString(content);
  }
  std::string text(identity::kMaxBundleBytes + 1, '\0');
  std::cin.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(std::cin.gcount()));
  if (text.size() > identity::kMaxBundleBytes)
    return Fail(Code::kInvalidArgument, kFileTooLarge, "standard input");
  return text;
}

Result<identity::Bundle> ParseBundle(const std::string& text,
                                     const identity::TrustDomain& trust_domain) {
  if (text.find("-----BEGIN") == std::string::npos) {
    SIGNET_TRY(auto parsed, identity::ParseSpiffeBundle(trust_domain, text));
    return std::move(parsed.bundle);
  }
  identity::Bundle bundle;
  SIGNET_TRY(auto certificates, ca::ParsePem(text, kMaxAuthorities));
  for (auto& certificate : certificates)
    bundle.x509_authorities.push_back({std::move(certificate), false});
  return bundle;
}

// All of them, or the one that is named.
Result<std::vector<identity::Bundle>> Fetch(const Session& session, const BundleOptions& options) {
  SIGNET_TRY(const auto channel, OpenChannel(session.server, kServer));
  const auto stub = api::Bundle::NewStub(channel);
  const auto failed = [](const grpc::Status& status) {
    return Fail(static_cast<Code>(status.error_code()), {}, status.error_message());
  };
  std::vector<identity::Bundle> bundles;
  if (!options.trust_domain.empty()) {
    api::GetFederatedBundleRequest request;
    request.set_trust_domain(options.trust_domain);
    types::Bundle message;
    const auto status = stub->GetFederatedBundle(NewCall(session.server).get(), request, &message);
    if (!status.ok()) return failed(status);
    SIGNET_TRY(identity::Bundle bundle, BundleFromMessage(message));
    bundles.push_back(std::move(bundle));
    return bundles;
  }
  api::ListFederatedBundlesRequest request;
  request.set_page_size(kPageSize);
  do {
    api::ListFederatedBundlesResponse response;
    const auto status =
        stub->ListFederatedBundles(NewCall(session.server).get(), request, &response);
    if (!status.ok()) return failed(status);
    for (const auto& message : response.bundles()) {
      SIGNET_TRY(identity::Bundle bundle, BundleFromMessage(message));
      bundles.push_back(std::move(bundle));
    }
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty());
  return bundles;
}

api::BatchDeleteFederatedBundleRequest::Mode ModeOf(const std::string& mode) {
  if (mode == "delete") return api::BatchDeleteFederatedBundleRequest::DELETE;
  if (mode == "dissociate") return api::BatchDeleteFederatedBundleRequest::DISSOCIATE;
  return api::BatchDeleteFederatedBundleRequest::RESTRICT;
}

int ReportDone(const Session& session, const std::string& trust_domain, std::string_view done) {
  if (session.format == Format::kJson)
    Print(Json{{"trust_domain", trust_domain}, {"result", done}}.dump() + "\n");
  else
    Print(fmt::format("{} the bundle of {}\n", done, trust_domain));
  return kOk;
}

int ReportElement(const types::Status& status, std::string_view doing) {
  return ReportStatus({static_cast<grpc::StatusCode>(status.code()), status.message()}, doing);
}

}  // namespace

Result<identity::Bundle> BundleFromMessage(const types::Bundle& message) {
  identity::Bundle bundle;
  SIGNET_TRY(bundle.trust_domain, identity::TrustDomain::Parse(message.trust_domain()));
  for (const auto& authority : message.x509_authorities()) {
    SIGNET_TRY(ca::Certificate certificate, ca::Certificate::Parse(AsBytes(authority.asn1())));
    bundle.x509_authorities.push_back({std::move(certificate), authority.tainted()});
  }
  for (const auto& key : message.jwt_authorities())
    bundle.jwt_authorities.push_back(
        {key.key_id(), ToBytes(AsBytes(key.public_key())), key.expires_at(), key.tainted()});
  bundle.refresh_hint = message.refresh_hint();
  bundle.sequence_number = message.sequence_number();
  return bundle;
}

Result<types::Bundle> ReadBundleFile(const std::string& path, const std::string& trust_domain) {
  SIGNET_TRY(const auto domain, identity::TrustDomain::FromNameOrId(trust_domain));
  SIGNET_TRY(const std::string text, ReadInput(path));
  const auto bundle = ParseBundle(text, domain);
  if (!bundle) {
    return Fail(Code::kInvalidArgument, bundle.error().reason,
                (path == "-" ? "standard input" : path) + ": " + bundle.error().detail);
  }
  types::Bundle message;
  message.set_trust_domain(domain.name());
  for (const auto& authority : bundle->x509_authorities)
    message.add_x509_authorities()->set_asn1(ToString(authority.certificate.der()));
  for (const auto& authority : bundle->jwt_authorities) {
    auto* key = message.add_jwt_authorities();
    key->set_key_id(authority.key_id);
    key->set_public_key(ToString(authority.public_key));
    key->set_expires_at(authority.expires_at);
  }
  message.set_refresh_hint(bundle->refresh_hint);
  message.set_sequence_number(bundle->sequence_number);
  return message;
}

int ShowBundle(const Session& session, const std::string& format) {
  constexpr std::string_view kDoing = "bundle show";
  auto channel = OpenChannel(session.server, kServer);
  if (!channel) return ReportError(channel.error(), kDoing);
  types::Bundle message;
  const auto status =
      api::Bundle::NewStub(*channel)->GetBundle(NewCall(session.server).get(), {}, &message);
  if (!status.ok()) return ReportStatus(status, kDoing);
  auto bundle = BundleFromMessage(message);
  if (!bundle) return ReportError(bundle.error(), kDoing);
  Print(FormatBundle(*bundle, session.format == Format::kJson ? "spiffe" : format,
                     UnixSeconds(session.clock->Now())));
  return kOk;
}

int ListBundles(const Session& session, const BundleOptions& options) {
  const auto bundles = Fetch(session, options);
  if (!bundles) return ReportError(bundles.error(), "bundle list");
  if (session.format == Format::kJson) {
    Json list = Json::array();
    for (const auto& bundle : *bundles)
      list.push_back({{"trust_domain", bundle.trust_domain.name()},
                      {"bundle", Json::parse(identity::FormatSpiffeBundle(bundle))}});
    Print(list.dump(2) + "\n");
    return kOk;
  }
  const std::int64_t now = UnixSeconds(session.clock->Now());
  if (!options.trust_domain.empty() || options.format != "text") {
    for (const auto& bundle : *bundles) Print(FormatBundle(bundle, options.format, now));
    return kOk;
  }
  std::vector<std::vector<std::string>> rows;
  for (const auto& bundle : *bundles)
    rows.push_back({bundle.trust_domain.name(), std::to_string(bundle.sequence_number),
                    std::to_string(bundle.x509_authorities.size()),
                    std::to_string(bundle.jwt_authorities.size()),
                    fmt::format("{}s", bundle.refresh_hint)});
  if (rows.empty())
    Print("no bundles of other trust domains; federate with `signet federation create`\n");
  else
    Print(Table({"TRUST DOMAIN", "SEQUENCE", "X.509", "JWT", "REFRESH HINT"}, rows));
  return kOk;
}

int SetBundle(const Session& session, const BundleOptions& options) {
  constexpr std::string_view kDoing = "bundle set";
  auto bundle = ReadBundleFile(options.file, options.trust_domain);
  if (!bundle) return ReportError(bundle.error(), kDoing);
  auto channel = OpenChannel(session.server, kServer);
  if (!channel) return ReportError(channel.error(), kDoing);
  api::BatchSetFederatedBundleRequest request;
  *request.add_bundle() = *std::move(bundle);
  request.mutable_output_mask();
  api::BatchSetFederatedBundleResponse response;
  const auto status = api::Bundle::NewStub(*channel)->BatchSetFederatedBundle(
      NewCall(session.server).get(), request, &response);
  if (!status.ok()) return ReportStatus(status, kDoing);
  const auto& result = response.results(0);
  if (result.status().code() != 0) return ReportElement(result.status(), kDoing);
  return ReportDone(session, request.bundle(0).trust_domain(), "set");
}

int DeleteBundle(const Session& session, const BundleOptions& options) {
  constexpr std::string_view kDoing = "bundle delete";
  auto channel = OpenChannel(session.server, kServer);
  if (!channel) return ReportError(channel.error(), kDoing);
  api::BatchDeleteFederatedBundleRequest request;
  request.add_trust_domains(options.trust_domain);
  request.set_mode(ModeOf(options.mode));
  api::BatchDeleteFederatedBundleResponse response;
  const auto status = api::Bundle::NewStub(*channel)->BatchDeleteFederatedBundle(
      NewCall(session.server).get(), request, &response);
  if (!status.ok()) return ReportStatus(status, kDoing);
  const auto& result = response.results(0);
  if (result.status().code() != 0) return ReportElement(result.status(), kDoing);
  return ReportDone(session, options.trust_domain, "deleted");
}

int CountBundles(const Session& session) {
  constexpr std::string_view kDoing = "bundle count";
  auto channel = OpenChannel(session.server, kServer);
  if (!channel) return ReportError(channel.error(), kDoing);
  api::CountBundlesResponse response;
  const auto status =
      api::Bundle::NewStub(*channel)->CountBundles(NewCall(session.server).get(), {}, &response);
  if (!status.ok()) return ReportStatus(status, kDoing);
  if (session.format == Format::kJson)
    Print(Json{{"count", response.count()}}.dump() + "\n");
  else
    Print(std::to_string(response.count()) + "\n");
  return kOk;
}

}  // namespace signet::ctl
