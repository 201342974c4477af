#include "tools/ctl/x509_response.h"

#include <map>

#include "identity/svid/x509_svid.h"

namespace signet::ctl {
namespace {

constexpr std::size_t kMaxCertificates = 64;
constexpr std::size_t kMaxAuthorities = 1024;

tl::unexpected<Error> Malformed(std::string what) {
  return Fail(Code::kDataLoss, identity::kSvidMalformed, std::move(what));
}

}  // namespace

Result<std::vector<Svid>> ReadX509Response(const X509SVIDResponse& response) {
  std::vector<Svid> svids;
  for (const auto& message : response.svids()) {
    Svid svid;
    svid.id = message.spiffe_id();
    svid.hint = message.hint();
    SIGNET_TRY(svid.chain,
               ca::ParseConcatenatedDer(AsBytes(message.x509_svid()), kMaxCertificates));
    SIGNET_TRY(svid.bundle, ca::ParseConcatenatedDer(AsBytes(message.bundle()), kMaxAuthorities));
    if (svid.chain.empty()) return Malformed("the agent sent an SVID without certificates");
    svid.key = SecretBytes(AsBytes(message.x509_svid_key()));
    svids.push_back(std::move(svid));
  }
  if (svids.empty()) return Malformed("the agent sent an answer without an SVID");
  const std::map<std::string, std::string> others(response.federated_bundles().begin(),
                                                  response.federated_bundles().end());
  for (const auto& [name, bundle] : others) {
    const auto parsed = ca::ParseConcatenatedDer(AsBytes(bundle), kMaxAuthorities);
    if (!parsed) return Malformed("bundle of " + name + ": " + parsed.error().Message());
    for (Svid& svid : svids)
      svid.federated.insert(svid.federated.end(), parsed->begin(), parsed->end());
  }
  return svids;
}

}  // namespace signet::ctl
