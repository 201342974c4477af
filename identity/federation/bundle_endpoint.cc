#include "identity/federation/bundle_endpoint.h"

#include <nlohmann/json.hpp>

#include "ca/crypto/digest.h"

namespace signet::identity {
namespace {

constexpr std::string_view kDiscoveryPath = "/.well-known/openid-configuration";
constexpr std::string_view kKeysPath = "/keys";
constexpr std::size_t kEtagBytes = 16;

net::HttpDocument Document(std::string body, std::chrono::seconds max_age) {
  const auto digest = ca::Sha256(AsBytes(body));
  net::HttpDocument document;
  document.etag = "\"" + EncodeHex(ByteView(digest).first(kEtagBytes)) + "\"";
  document.body = std::make_shared<const std::string>(std::move(body));
  document.max_age = max_age;
  return document;
}

}  // namespace

std::string BundleEndpoint::Discovery(const Bundle& bundle) const {
  std::string base = settings_.issuer;
  while (base.ends_with('/')) base.pop_back();
  using nlohmann::ordered_json;
  const ordered_json document = {
      {"issuer", settings_.issuer},
      {"jwks_uri", base + std::string(kKeysPath)},
      {"authorization_endpoint", ""},  // required by the standard; nobody logs in here
      {"response_types_supported", ordered_json::array({"id_token"})},
      {"subject_types_supported", ordered_json::array({"public"})},
      {"id_token_signing_alg_values_supported", OidcAlgorithms(bundle)}};
  return document.dump();
}

void BundleEndpoint::Refresh() {
  BundlePtr own = registry_.OwnBundle();
  if (own == made_of_) return;
  Bundle shown = *own;
  if (shown.refresh_hint <= 0) shown.refresh_hint = settings_.refresh_hint.count();
  const std::chrono::seconds max_age(shown.refresh_hint);
  bundle_ = Document(FormatSpiffeBundle(shown), max_age);
  discovery_ = Document(Discovery(shown), max_age);
  keys_ = Document(FormatOidcKeys(shown), max_age);
  made_of_ = std::move(own);
}

std::optional<net::HttpDocument> BundleEndpoint::DocumentAt(const std::string& path) {
  Refresh();
  if (path == "/") return bundle_;
  if (settings_.issuer.empty()) return std::nullopt;
  if (path == kDiscoveryPath) return discovery_;
  if (path == kKeysPath) return keys_;
  return std::nullopt;
}

}  // namespace signet::identity
