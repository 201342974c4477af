#include <fmt/format.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/config.h"
#include "base/file.h"
#include "ca/crypto/pem.h"
#include "ca/x509/request.h"
#include "identity/spiffe/spiffe_id.h"
#include "spire/api/server/svid/v1/svid.grpc.pb.h"
#include "tools/ctl/convert.h"
#include "tools/ctl/workload_client.h"
#include "tools/ctl/x509_response.h"

namespace signet::ctl {
namespace {

using Json = nlohmann::ordered_json;

// svid[.N].pem, svid[.N].key (0600), bundle[.N].pem, as SPIRE's agent writes them.
Status Write(const std::string& folder, const std::vector<Svid>& svids) {
  SIGNET_RETURN_IF_ERROR(EnsureDirectory(folder, 0755));
  for (std::size_t i = 0; i < svids.size(); ++i) {
    const std::string path = fmt::format("{}/{{}}.{}.{{}}", folder, i);
    const std::string chain = ca::ToPem(svids[i].chain);
    const std::string bundle = ca::ToPem(svids[i].bundle);
    SIGNET_RETURN_IF_ERROR(
        WriteFileAtomically(fmt::format(fmt::runtime(path), "svid", "pem"), AsBytes(chain), 0644));
    SIGNET_RETURN_IF_ERROR(WriteFileAtomically(fmt::format(fmt::runtime(path), "svid", "key"),
                                               ca::Pkcs8ToPem(svids[i].key).view(), 0600));
    SIGNET_RETURN_IF_ERROR(WriteFileAtomically(fmt::format(fmt::runtime(path), "bundle", "pem"),
                                               AsBytes(bundle), 0644));
  }
  return {};
}

int Show(const Session& session, const std::vector<Svid>& svids, const std::string& folder) {
  const std::int64_t now = UnixSeconds(session.clock->Now());
  Json list = Json::array();
  for (const Svid& svid : svids) {
    const ca::Certificate& leaf = svid.chain.front();
    list.push_back({{"spiffe_id", svid.id},
                    {"serial", leaf.SerialHex()},
                    {"not_before", UnixSeconds(leaf.not_before())},
                    {"not_after", UnixSeconds(leaf.not_after())},
                    {"hint", svid.hint},
                    {"certificates", ca::ToPem(svid.chain)},
                    {"bundle", ca::ToPem(svid.bundle)}});
    if (session.format == Format::kText)
      Print(Details({{"SPIFFE ID", svid.id},
                     {"Serial", leaf.SerialHex()},
                     {"Valid from", FormatTime(leaf.not_before())},
                     {"Valid until", fmt::format("{} ({})", FormatTime(leaf.not_after()),
                                                 Relative(UnixSeconds(leaf.not_after()), now))},
                     {"Hint", svid.hint}}) +
            "\n");
  }
  if (session.format == Format::kJson) Print(list.dump(2) + "\n");
  if (!folder.empty()) {
    if (auto written = Write(folder, svids); !written)
      return ReportError(written.error(), "x509 write");
    if (session.format == Format::kText) Print(fmt::format("written to {}\n", folder));
  }
  return kOk;
}

int Take(const Session& session, const X509SVIDResponse& response, const FetchOptions& options) {
  auto svids = ReadX509Response(response);
  if (!svids) return ReportError(svids.error(), "x509 fetch");
  return Show(session, *svids, options.write_folder);
}

}  // namespace

int FetchX509(const Session& session, const FetchOptions& options) {
  constexpr std::string_view kDoing = "x509 fetch";
  auto client = WorkloadClient::Open(options.agent_socket, options.timeout);
  if (!client) return ReportError(client.error(), kDoing);
  auto context = client->NewCall();
  auto stream = client->stub().FetchX509SVID(context.get(), {});
  X509SVIDResponse response;
  if (!stream->Read(&response)) return ReportWorkloadStatus(stream->Finish(), kDoing);
  context->TryCancel();
  (void)stream->Finish();
  return Take(session, response, options);
}

int WatchX509(const Session& session, const FetchOptions& options) {
  auto client = WorkloadClient::Open(options.agent_socket, options.timeout);
  if (!client) return ReportError(client.error(), "x509 watch");
  auto context = client->NewStream();
  auto stream = client->stub().FetchX509SVID(context.get(), {});
  X509SVIDResponse response;
  while (stream->Read(&response)) {
    if (const int code = Take(session, response, options); code != kOk) return code;
    std::fflush(stdout);
  }
  return ReportWorkloadStatus(stream->Finish(), "x509 watch");
}

int MintX509(const Session& session, const MintOptions& options) {
  constexpr std::string_view kDoing = "x509 mint";
  namespace api = spire::api::server::svid::v1;
  auto id = identity::SpiffeId::Parse(options.spiffe_id);
  if (!id) return ReportError(id.error(), kDoing);
  auto type = ca::ParseKeyType(options.key_type);
  if (!type) return ReportError(type.error(), kDoing);
  auto key = ca::PrivateKey::Generate(*type);
  if (!key) return ReportError(key.error(), kDoing);
  auto csr = ca::MakeRequest(*key, id->ToString(), options.dns_names);
  if (!csr) return ReportError(csr.error(), kDoing);
  api::MintX509SVIDRequest request;
  request.set_csr(ToString(*csr));
  if (!options.ttl.empty()) {
    auto ttl = Seconds(options.ttl, "--ttl");
    if (!ttl) return ReportError(ttl.error(), kDoing);
    request.set_ttl(*ttl);
  }
  auto channel = OpenChannel(session.server, "signet-server");
  if (!channel) return ReportError(channel.error(), kDoing);
  api::MintX509SVIDResponse response;
  const auto status =
      api::SVID::NewStub(*channel)->MintX509SVID(NewCall(session.server).get(), request, &response);
  if (!status.ok()) return ReportStatus(status, kDoing);
  std::vector<Svid> svids(1);
  svids[0].id = IdText(response.svid().id());
  svids[0].hint = response.svid().hint();
  svids[0].key = key->ToPkcs8();
  for (const std::string& der : response.svid().cert_chain()) {
    auto certificate = ca::Certificate::Parse(AsBytes(der));
    if (!certificate) return ReportError(certificate.error(), kDoing);
    svids[0].chain.push_back(*certificate);
  }
  if (svids[0].chain.empty())
    return ReportError(Error{Code::kDataLoss, {}, "the server sent no certificate"}, kDoing);
  return Show(session, svids, options.write_folder);
}

}  // namespace signet::ctl
