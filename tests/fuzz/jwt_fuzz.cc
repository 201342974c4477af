// The reader and verifier of JWT-SVIDs. A token is accepted only if it is one of those signed here;
// what is accepted stays accepted as it came, and what JWS parsing accepts comes out again as it
// went in.
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "ca/authority/jwt_authority.h"
#include "identity/svid/jwt_svid.h"

namespace {

using namespace signet;

constexpr std::int64_t kNow = 1767225600;

const ca::PrivateKey& Key() {
  static const auto key = ca::PrivateKey::Generate(ca::KeyType::kEcP256).value();
  return key;
}

const identity::BundleMap& Bundles() {
  static const identity::BundleMap bundles = [] {
    identity::Bundle bundle;
    bundle.trust_domain = identity::TrustDomain::Parse("example.org").value();
    bundle.jwt_authorities = {{"k", ToBytes(Key().public_key().spki()), 0, false}};
    return identity::BundleMap{{bundle.trust_domain, bundle}};
  }();
  return bundles;
}

// Whatever the input is: it is refused, for it holds no signature of Key().
void VerifyRaw(std::string_view input) {
  CHECK_TRUE(!identity::ParseAndVerifyJwtSvid(input, Bundles(), "a", FromUnixSeconds(kNow),
                                              Duration::zero()));
  const auto jws = ca::ParseCompactJws(input);
  if (!jws) return;
  CHECK_TRUE(jws->signing_input + "." + EncodeBase64Url(jws->signature) == input);
  CHECK_TRUE(input.size() <= ca::kMaxJwsBytes);
  CHECK_TRUE(!ca::VerifyJws(*jws, Key().public_key()));
}

// The input as a payload that is well signed: what is accepted meets the rules.
void VerifySigned(std::string_view input) {
  const auto token = ca::SignCompactJws(Key(), ca::JwsAlgorithm::kEs256, "k", input);
  CHECK_TRUE(token.has_value());
  const auto svid = identity::ParseAndVerifyJwtSvid(*token, Bundles(), "a", FromUnixSeconds(kNow),
                                                    Duration::zero());
  if (!svid) return;
  CHECK_TRUE(svid->id.trust_domain().name() == "example.org" && !svid->id.path().empty());
  CHECK_TRUE(svid->expires_at > FromUnixSeconds(kNow) && !svid->audience.empty());
  const auto claims = nlohmann::json::parse(svid->claims_json, nullptr, false);
  CHECK_TRUE(claims.is_object() && claims["sub"] == svid->id.ToString());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view input = AsText({data + 1, size - 1});
  (data[0] % 2 == 0) ? VerifyRaw(input) : VerifySigned(input);
  return 0;
}
