// Writing the SPIFFE bundle format: stricter than what we read, because peers refuse whole
// documents over one odd element. One x5c each, `use` always, `kid` on JWT keys only, known key
// types only.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "ca/jose/jwk.h"
#include "identity/bundle/bundle.h"

namespace signet::identity {
namespace {

using nlohmann::ordered_json;

// The key's own members; absent for a type that JWK readers do not know.
std::optional<ordered_json> KeyMembers(const ca::PublicKey& key) {
  const auto jwk = ca::WritePublicJwk(key);
  if (!jwk) return std::nullopt;
  ordered_json members = {{"kty", jwk->kty}};
  if (jwk->kty == "RSA") {
    members["n"] = jwk->n;
    members["e"] = jwk->e;
    return members;
  }
  members["crv"] = jwk->crv;
  members["x"] = jwk->x;
  if (!jwk->y.empty()) members["y"] = jwk->y;
  return members;
}

std::optional<ordered_json> JwtElement(const JwtBundleAuthority& authority) {
  const auto key = ca::PublicKey::FromSpki(authority.public_key);
  if (!key) return std::nullopt;
  auto element = KeyMembers(*key);
  if (element) (*element)["kid"] = authority.key_id;
  return element;
}

std::optional<ordered_json> X509Element(const X509BundleAuthority& authority) {
  auto element = KeyMembers(authority.certificate.public_key());
  if (!element) return std::nullopt;
  (*element)["use"] = "x509-svid";
  (*element)["x5c"] = ordered_json::array({EncodeBase64(authority.certificate.der())});
  return element;
}

// A kid is any text; bytes that are no UTF-8 become replacement characters rather than an
// exception.
std::string Dump(const ordered_json& document) {
  return document.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

// The algorithm that JWT-SVIDs are signed with by such a key; empty: none.
std::string_view SigningAlgorithm(const JwtBundleAuthority& authority) {
  const auto key = ca::PublicKey::FromSpki(authority.public_key);
  const auto type = key ? key->Type() : Fail(key.error());
  if (!type) return {};
  switch (*type) {
    case ca::KeyType::kEcP256:
      return "ES256";
    case ca::KeyType::kEcP384:
      return "ES384";
    case ca::KeyType::kRsa2048:
    case ca::KeyType::kRsa4096:
      return "RS256";
  }
  return {};
}

}  // namespace

std::string FormatSpiffeBundle(const Bundle& bundle) {
  ordered_json document = {{"keys", ordered_json::array()}};
  for (const X509BundleAuthority& authority : bundle.x509_authorities)
    if (auto element = X509Element(authority)) document["keys"].push_back(std::move(*element));
  for (const JwtBundleAuthority& authority : bundle.jwt_authorities) {
    auto element = JwtElement(authority);
    if (!element) continue;
    (*element)["use"] = "jwt-svid";
    document["keys"].push_back(std::move(*element));
  }
  if (bundle.sequence_number > 0) document["spiffe_sequence"] = bundle.sequence_number;
  if (bundle.refresh_hint > 0) document["spiffe_refresh_hint"] = bundle.refresh_hint;
  return Dump(document);
}

std::string FormatJwtBundle(const Bundle& bundle) {
  ordered_json document = {{"keys", ordered_json::array()}};
  for (const JwtBundleAuthority& authority : bundle.jwt_authorities)
    if (auto element = JwtElement(authority)) document["keys"].push_back(std::move(*element));
  return Dump(document);
}

std::string FormatOidcKeys(const Bundle& bundle) {
  ordered_json document = {{"keys", ordered_json::array()}};
  for (const JwtBundleAuthority& authority : bundle.jwt_authorities) {
    const std::string_view algorithm = SigningAlgorithm(authority);
    auto element = algorithm.empty() ? std::nullopt : JwtElement(authority);
    if (!element) continue;
    (*element)["use"] = "sig";
    (*element)["alg"] = algorithm;
    document["keys"].push_back(std::move(*element));
  }
  return Dump(document);
}

std::vector<std::string> OidcAlgorithms(const Bundle& bundle) {
  std::vector<std::string> algorithms;
  for (const JwtBundleAuthority& authority : bundle.jwt_authorities) {
    const std::string_view algorithm = SigningAlgorithm(authority);
    if (!algorithm.empty() && std::ranges::find(algorithms, algorithm) == algorithms.end())
      algorithms.emplace_back(algorithm);
  }
  return algorithms;
}

}  // namespace signet::identity
