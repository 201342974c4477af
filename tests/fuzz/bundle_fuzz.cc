// Bundles and bundle maps from any text: what is read can be published and read again, the same.
#include "base/check.h"
#include "identity/bundle/bundle.h"

using namespace signet;            // NOLINT: a fuzz target is a program of its own
using namespace signet::identity;  // NOLINT

namespace {

void CheckBundle(const Bundle& bundle) {
  for (const X509BundleAuthority& authority : bundle.x509_authorities)
    CHECK_TRUE(authority.certificate.is_ca());
  for (const JwtBundleAuthority& authority : bundle.jwt_authorities)
    CHECK_TRUE(!authority.key_id.empty());
  const auto again = ParseSpiffeBundle(bundle.trust_domain, FormatSpiffeBundle(bundle));
  CHECK_TRUE(again.has_value() && again->skipped.empty() && again->bundle == bundle);
  (void)FormatJwtBundle(bundle);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const TrustDomain trust_domain = TrustDomain::Parse("example.org").value();
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto parsed = ParseSpiffeBundle(trust_domain, text)) CheckBundle(parsed->bundle);
  if (const auto map = ParseBundleMap(text))
    for (const auto& [name, parsed] : *map) {
      CHECK_TRUE(name == parsed.bundle.trust_domain && parsed.bundle.refresh_hint == 0);
      CheckBundle(parsed.bundle);
    }
  return 0;
}
