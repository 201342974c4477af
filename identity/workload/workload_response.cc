#include "identity/workload/workload_response.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "identity/svid/x509_svid.h"
#include "spiffe/workload.pb.h"

namespace signet::identity {
namespace {

constexpr std::size_t kMaxAuthorities = 1024;
constexpr int kMaxFederatedBundles = 1024;

auto Refuse(std::string detail) {
  return Fail(Code::kInvalidArgument, kWorkloadAnswerRefused, std::move(detail));
}

void WipeKeys(X509SVIDResponse* response) {
  for (X509SVID& svid : *response->mutable_svids()) {
    std::string& key = *svid.mutable_x509_svid_key();
    WipeBytes({reinterpret_cast<std::uint8_t*>(key.data()), key.size()});
  }
}

Result<Bundle> ReadBundle(const TrustDomain& trust_domain, std::string_view der) {
  auto authorities = ca::ParseConcatenatedDer(AsBytes(der), kMaxAuthorities);
  if (!authorities)
    return Refuse(
        fmt::format("bundle of {}: {}", trust_domain.name(), authorities.error().Message()));
  Bundle bundle;
  bundle.trust_domain = trust_domain;
  for (ca::Certificate& certificate : *authorities)
    bundle.x509_authorities.push_back({std::move(certificate), false});
  return bundle;
}

Result<BundleMap> ReadBundles(const X509SVIDResponse& response, const TrustDomain& own) {
  BundleMap bundles;
  SIGNET_TRY(bundles[own], ReadBundle(own, response.svids(0).bundle()));
  if (bundles[own].x509_authorities.empty())
    return Refuse("the bundle of " + own.name() + " holds no authority");
  if (response.federated_bundles_size() > kMaxFederatedBundles)
    return Refuse(fmt::format("more than {} federated bundles", kMaxFederatedBundles));
  for (const auto& [name, der] : response.federated_bundles()) {
    auto trust_domain = TrustDomain::FromNameOrId(name);
    if (!trust_domain) return Refuse("federated bundle: " + trust_domain.error().Message());
    // The own domain's bundle comes with the SVID; nothing may stand in for it.
    if (*trust_domain == own) continue;
    SIGNET_TRY(bundles[*trust_domain], ReadBundle(*trust_domain, der));
  }
  return bundles;
}

Result<WorkloadIdentity> Read(const X509SVIDResponse& response, WallTime now) {
  if (response.svids_size() == 0) return Refuse("it holds no SVID");
  const X509SVID& svid = response.svids(0);
  auto chain = ca::ParseConcatenatedDer(AsBytes(svid.x509_svid()), ca::kMaxChainLength);
  if (!chain) return Refuse("chain: " + chain.error().Message());
  if (chain->empty()) return Refuse("the chain is empty");
  auto id = ParseX509Svid(chain->front());
  if (!id) return Refuse("leaf: " + id.error().Message());
  if (id->ToString() != svid.spiffe_id())
    return Refuse(fmt::format("the leaf is {}, the answer says {}", id->ToString(),
                              EscapeForLog(svid.spiffe_id())));
  auto key = ca::PrivateKey::FromPkcs8(AsBytes(svid.x509_svid_key()));
  if (!key) return Refuse("key: " + key.error().Message());
  if (!(key->public_key() == chain->front().public_key()))
    return Refuse("the key is not the leaf's");

  WorkloadIdentity workload;
  workload.id = *id;
  workload.valid_until = chain->front().not_after();
  for (const ca::Certificate& certificate : *chain)
    workload.valid_until = std::min(workload.valid_until, certificate.not_after());
  if (workload.valid_until <= now)
    return Refuse("the SVID ended at " + FormatTime(workload.valid_until));
  SIGNET_TRY(workload.bundles, ReadBundles(response, id->trust_domain()));
  workload.tls = {*std::move(chain), std::make_shared<const ca::PrivateKey>(*std::move(key))};
  return workload;
}

}  // namespace

Result<WorkloadIdentity> ReadX509SvidResponse(X509SVIDResponse* response, WallTime now) {
  auto workload = Read(*response, now);
  WipeKeys(response);
  return workload;
}

}  // namespace signet::identity
