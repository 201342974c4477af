// Reading the SPIFFE bundle format (SPIFFE Trust Domain and Bundle, 4 and 5.1.1; X509-SVID 6;
// JWT-SVID 6). A document that is not a bundle is refused whole, so that the last good one stays;
// an element that cannot be used is left out and named in `skipped`.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "ca/jose/jwk.h"
#include "ca/jose/strict_json.h"
#include "identity/bundle/bundle.h"

namespace signet::identity {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxKeys = 1024;
constexpr std::size_t kMaxTrustDomains = 1024;
constexpr std::size_t kMaxKeyIdBytes = 1024;
constexpr std::uint64_t kMaxRefreshHint = 0x7FFFFFFF;  // seconds

tl::unexpected<Error> Malformed(std::string what) {
  return Fail(Code::kInvalidArgument, kBundleMalformed, std::move(what));
}
tl::unexpected<Error> Skip(std::string what) {
  return Fail(Code::kInvalidArgument, kBundleMalformed, std::move(what));
}

// The member as a text; empty when it is not there or no text.
std::string Text(const json& object, const char* name) {
  const auto member = object.find(name);
  return member != object.end() && member->is_string() ? member->get<std::string>() : std::string();
}

// RFC 7517, 9.2: a published private or symmetric key is nobody's any more.
bool HasPrivateMember(const json& element) {
  static constexpr const char* kPrivate[] = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"};
  return std::ranges::any_of(kPrivate, [&](const char* name) { return element.contains(name); });
}

ca::PublicJwk JwkOf(const json& element) {
  return {Text(element, "kty"), Text(element, "crv"), Text(element, "x"),
          Text(element, "y"),   Text(element, "n"),   Text(element, "e")};
}

// X509-SVID 6.2: the first x5c value and no other, DER in standard base64, over the element's own
// key.
Result<X509BundleAuthority> ReadX509Authority(const json& element, const ca::PublicKey& key) {
  const auto x5c = element.find("x5c");
  if (x5c == element.end() || !x5c->is_array() || x5c->empty())
    return Skip("x5c is missing or empty");
  if (!x5c->front().is_string()) return Skip("x5c does not hold text");
  const auto der = DecodeBase64(x5c->front().get_ref<const std::string&>());
  if (!der) return Skip("x5c is not standard base64");
  SIGNET_TRY(ca::Certificate certificate, ca::Certificate::Parse(*der));
  if (!certificate.is_ca()) return Skip("x5c holds a certificate that is no authority");
  SIGNET_TRY(const ca::PublicJwk own, ca::WritePublicJwk(key));
  SIGNET_TRY(const ca::PublicJwk certified, ca::WritePublicJwk(certificate.public_key()));
  if (own != certified) return Skip("x5c certifies another key than the element's");
  return X509BundleAuthority{std::move(certificate), false};
}

// JWT-SVID 6.1 and 2.1: a key that a token can name, of a type that an allowed algorithm uses.
Result<JwtBundleAuthority> ReadJwtAuthority(const json& element, const ca::PublicKey& key) {
  std::string key_id = Text(element, "kid");
  if (key_id.empty() || key_id.size() > kMaxKeyIdBytes)
    return Skip("kid is missing, empty or too long");
  if (Text(element, "kty") == "OKP") return Skip("no JWT-SVID algorithm fits kty 'OKP'");
  JwtBundleAuthority authority;
  authority.key_id = std::move(key_id);
  authority.public_key = ToBytes(key.spki());
  return authority;
}

Status AddX509(const json& element, const ca::PublicKey& key, Bundle* bundle) {
  SIGNET_TRY(X509BundleAuthority authority, ReadX509Authority(element, key));
  auto& held = bundle->x509_authorities;
  if (std::ranges::find(held, authority) == held.end()) held.push_back(std::move(authority));
  return {};
}

Status AddJwt(const json& element, const ca::PublicKey& key, Bundle* bundle) {
  SIGNET_TRY(JwtBundleAuthority authority, ReadJwtAuthority(element, key));
  auto& held = bundle->jwt_authorities;
  if (std::ranges::find(held, authority.key_id, &JwtBundleAuthority::key_id) != held.end())
    return Skip("its kid is taken by an earlier key");
  held.push_back(std::move(authority));
  return {};
}

Status AddElement(const json& element, Bundle* bundle) {
  if (!element.is_object()) return Skip("not an object");
  const std::string use = Text(element, "use");
  if (use != "x509-svid" && use != "jwt-svid")
    return Skip(use.empty() ? "use is missing" : "use '" + EscapeForLog(use, 64) + "' is unknown");
  if (HasPrivateMember(element)) return Skip("it publishes a private key; tell its owner");
  SIGNET_TRY(const ca::PublicKey key, ca::ReadPublicJwk(JwkOf(element)));
  return use == "x509-svid" ? AddX509(element, key, bundle) : AddJwt(element, key, bundle);
}

// SPIFFE Trust Domain and Bundle 4.1.1: at least 64 bits; null is as absent.
Status ReadSequence(const json& document, Bundle* bundle) {
  const auto member = document.find("spiffe_sequence");
  if (member == document.end() || member->is_null()) return {};
  if (!member->is_number_unsigned())
    return Malformed("spiffe_sequence is not a whole number from 0 to 2^64-1");
  bundle->sequence_number = member->get<std::uint64_t>();
  return {};
}

// 4.1.2: an integer. A negative one means nothing and counts as not stated; a vast one is cut.
Status ReadRefreshHint(const json& document, ParsedBundle* parsed) {
  const auto member = document.find("spiffe_refresh_hint");
  if (member == document.end() || member->is_null()) return {};
  if (!member->is_number_integer()) return Malformed("spiffe_refresh_hint is not a whole number");
  if (!member->is_number_unsigned()) {
    parsed->skipped.emplace_back("spiffe_refresh_hint is negative, ignored");
    return {};
  }
  parsed->bundle.refresh_hint =
      static_cast<std::int64_t>(std::min(member->get<std::uint64_t>(), kMaxRefreshHint));
  return {};
}

Result<ParsedBundle> ReadBundle(const TrustDomain& trust_domain, const json& document) {
  if (!document.is_object()) return Malformed("the document is not an object");
  const auto keys = document.find("keys");
  if (keys == document.end() || !keys->is_array())
    return Malformed("'keys' is missing or not an array; this is no bundle and revokes nothing");
  if (keys->size() > kMaxKeys) return Malformed(fmt::format("more than {} keys", kMaxKeys));
  ParsedBundle parsed;
  parsed.bundle.trust_domain = trust_domain;
  SIGNET_RETURN_IF_ERROR(ReadSequence(document, &parsed.bundle));
  SIGNET_RETURN_IF_ERROR(ReadRefreshHint(document, &parsed));
  for (std::size_t i = 0; i < keys->size(); ++i)
    if (const Status added = AddElement((*keys)[i], &parsed.bundle); !added)
      parsed.skipped.push_back(fmt::format("keys[{}]: {}, skipped", i, added.error().detail));
  return parsed;
}

Result<json> ParseDocument(std::string_view text) {
  auto document = ca::ParseStrictJson(text, kMaxBundleBytes);
  if (!document) return Malformed(document.error().Message());
  return document;
}

}  // namespace

Result<ParsedBundle> ParseSpiffeBundle(const TrustDomain& trust_domain, std::string_view text) {
  SIGNET_TRY(const json document, ParseDocument(text));
  return ReadBundle(trust_domain, document);
}

Result<std::map<TrustDomain, ParsedBundle>> ParseBundleMap(std::string_view text) {
  SIGNET_TRY(const json document, ParseDocument(text));
  const auto domains = document.is_object() ? document.find("trust_domains") : document.end();
  if (!document.is_object() || domains == document.end() || !domains->is_object())
    return Malformed("'trust_domains' is missing or not an object");
  if (domains->size() > kMaxTrustDomains)
    return Malformed(fmt::format("more than {} trust domains", kMaxTrustDomains));
  std::map<TrustDomain, ParsedBundle> bundles;
  for (const auto& [name, value] : domains->items()) {
    auto trust_domain = TrustDomain::Parse(name);
    if (!trust_domain) return Malformed(trust_domain.error().Message());
    auto parsed = ReadBundle(*trust_domain, value);
    if (!parsed) return Malformed(fmt::format("{}: {}", name, parsed.error().detail));
    parsed->bundle.refresh_hint = 0;  // 5.1.1: an inner hint says nothing about the map's refresh
    bundles.emplace(std::move(*trust_domain), std::move(*parsed));
  }
  return bundles;
}

}  // namespace signet::identity
