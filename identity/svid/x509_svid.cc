#include "identity/svid/x509_svid.h"

#include <fmt/format.h>

#include <algorithm>

namespace signet::identity {
namespace {

constexpr std::string_view kServerAuth = "1.3.6.1.5.5.7.3.1";
constexpr std::string_view kClientAuth = "1.3.6.1.5.5.7.3.2";

tl::unexpected<Error> NotAnSvid(std::string_view rule) {
  return Fail(Code::kUnauthenticated, kSvidMalformed, std::string(rule));
}

bool Contains(const std::vector<std::string>& texts, std::string_view text) {
  return std::ranges::find(texts, text) != texts.end();
}

// X509-SVID 4.1 and 4.3: a leaf authenticates and signs nothing.
Status CheckLeafUse(const ca::Certificate& leaf) {
  if (leaf.is_ca()) return NotAnSvid("a signing certificate (cA true) authenticates nobody");
  if (!leaf.key_usage()) return NotAnSvid("keyUsage is missing");
  if (leaf.key_usage()->key_cert_sign) return NotAnSvid("keyUsage has keyCertSign");
  if (leaf.key_usage()->crl_sign) return NotAnSvid("keyUsage has cRLSign");
  if (!leaf.key_usage()->digital_signature) return NotAnSvid("keyUsage lacks digitalSignature");
  return {};
}

// X509-SVID 4.4.
Status CheckExtendedKeyUsage(const ca::Certificate& leaf) {
  const auto& usages = leaf.extended_key_usages();
  if (usages.empty()) return {};
  if (!Contains(usages, kServerAuth) || !Contains(usages, kClientAuth))
    return NotAnSvid("extKeyUsage lacks serverAuth or clientAuth");
  return {};
}

}  // namespace

Result<SpiffeId> ParseX509Svid(const ca::Certificate& leaf) {
  SIGNET_RETURN_IF_ERROR(CheckLeafUse(leaf));
  SIGNET_RETURN_IF_ERROR(CheckExtendedKeyUsage(leaf));
  if (leaf.uri_sans().size() != 1)
    return NotAnSvid(fmt::format("{} URI SANs instead of one", leaf.uri_sans().size()));
  if (leaf.HasEmptySubject() && !leaf.subject_alt_name_critical())
    return NotAnSvid("empty subject without a critical subjectAltName");
  SIGNET_TRY(SpiffeId id, SpiffeId::Parse(leaf.uri_sans().front()));
  if (id.path().empty()) return NotAnSvid("the leaf names the trust domain itself");
  return id;
}

Result<VerifiedSvid> VerifyX509Svid(std::span<const ca::Certificate> presented,
                                    const BundleMap& bundles, WallTime now) {
  if (presented.empty()) return NotAnSvid("no certificate was presented");
  SIGNET_TRY(SpiffeId id, ParseX509Svid(presented.front()));
  const auto bundle = bundles.find(id.trust_domain());
  if (bundle == bundles.end())
    return Fail(Code::kUnauthenticated, kNoBundleForTrustDomain,
                fmt::format("{} is not a trust domain this one knows or federates with",
                            id.trust_domain().name()));
  const std::vector<ca::Certificate> roots = bundle->second.X509Roots();
  SIGNET_TRY(ca::Chain path, ca::BuildPath(presented, roots, now));
  WallTime valid_until = path.front().not_after();
  for (const ca::Certificate& certificate : path)
    valid_until = std::min(valid_until, certificate.not_after());
  return VerifiedSvid{std::move(id), std::move(path), valid_until};
}

}  // namespace signet::identity
