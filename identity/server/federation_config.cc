#include "identity/server/federation_config.h"

#include <algorithm>

#include "net/web_verifier.h"

namespace signet::identity {
namespace {

using std::chrono::duration_cast;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr std::string_view kProfileHint = "use https_web or https_spiffe";

EndpointProfile ReadProfile(ConfigMap& map) {
  const auto text = map.RequiredString("profile", kProfileHint);
  if (text == "https_spiffe") return EndpointProfile::kHttpsSpiffe;
  if (!text.empty() && text != "https_web")
    map.Problem("profile", "unknown profile \"" + text + "\"", std::string(kProfileHint));
  return EndpointProfile::kHttpsWeb;
}

std::string ReadPath(ConfigMap& map, std::string_view key) {
  auto path = map.String(key, "");
  if (!path.empty() && path.front() != '/')
    map.Problem(key, "must be an absolute path", "for example /etc/signet/tls.pem");
  return path;
}

// The issuer of JWT-SVIDs is where verifiers look for its documents, so it must be a URL of ours.
void ReadDiscovery(ConfigMap& map, const std::string& jwt_issuer, BundleEndpointConfig* endpoint) {
  if (!map.Bool("oidc_discovery", false)) return;
  if (net::HttpsUrl::Parse(jwt_issuer)) {
    endpoint->documents.issuer = jwt_issuer;
    return;
  }
  map.Problem("oidc_discovery", "jwt_issuer is no https URL",
              "set jwt_issuer to the URL at which this endpoint is reached, for example "
              "https://oidc.example.org");
}

BundleEndpointConfig ReadEndpoint(ConfigMap map, const std::string& jwt_issuer) {
  BundleEndpointConfig endpoint;
  const auto listen = map.String("listen", "0.0.0.0:8443");
  auto address = net::Address::Parse(listen);
  if (address && !address->is_unix) {
    endpoint.listen = *std::move(address);
  } else {
    map.Problem("listen", "not a TCP address: \"" + listen + "\"", "for example 0.0.0.0:8443");
  }
  endpoint.profile = ReadProfile(map);
  endpoint.certificate_file = ReadPath(map, "cert_file");
  endpoint.key_file = ReadPath(map, "key_file");
  const bool has_files = !endpoint.certificate_file.empty() && !endpoint.key_file.empty();
  const bool has_file = !endpoint.certificate_file.empty() || !endpoint.key_file.empty();
  if (endpoint.profile == EndpointProfile::kHttpsWeb && !has_files) {
    map.Problem("profile", "https_web needs a certificate and its key",
                "set cert_file and key_file, PEM; they are read again when they change");
  } else if (endpoint.profile == EndpointProfile::kHttpsSpiffe && has_file) {
    map.Problem("profile", "https_spiffe shows the server's own SVID",
                "remove cert_file and key_file");
  }
  endpoint.documents.refresh_hint = duration_cast<seconds>(
      map.Duration("refresh_hint", minutes(5), seconds(1), std::chrono::hours(24 * 7)));
  ReadDiscovery(map, jwt_issuer, &endpoint);
  map.Finish();
  return endpoint;
}

void ReadPin(ConfigMap& map, StaticRelationship* fixed) {
  const auto text = map.String("bundle_sha256");
  if (!text) return;
  const auto bytes = DecodeHex(*text);
  ca::Sha256Digest digest{};
  if (!bytes || bytes->size() != digest.size()) {
    map.Problem("bundle_sha256", "not a SHA-256 in hex: \"" + *text + "\"",
                "64 digits: openssl x509 -in root.pem -outform DER | sha256sum");
    return;
  }
  const FederationRelationship& relationship = fixed->relationship;
  if (relationship.profile != EndpointProfile::kHttpsSpiffe ||
      !relationship.endpoint_id.IsMemberOf(relationship.trust_domain)) {
    map.Problem("bundle_sha256",
                "a pinned authority verifies endpoints of its own trust domain over https_spiffe",
                "remove it, or give the bundle of the endpoint's trust domain");
  }
  std::ranges::copy(*bytes, digest.begin());
  fixed->pin = digest;
}

void ReadEndpointId(ConfigMap& map, FederationRelationship* relationship) {
  if (relationship->profile == EndpointProfile::kHttpsWeb) {
    if (map.Has("endpoint_spiffe_id"))
      map.Problem("endpoint_spiffe_id", "https_web has no SPIFFE ID", "remove it");
    (void)map.String("endpoint_spiffe_id");
    return;
  }
  const auto text =
      map.RequiredString("endpoint_spiffe_id", "for example spiffe://other.org/spire/server");
  if (text.empty()) return;
  auto id = SpiffeId::Parse(text);
  if (!id) {
    map.Problem("endpoint_spiffe_id", id.error().Message(), "a SPIFFE ID, whole");
    return;
  }
  relationship->endpoint_id = *std::move(id);
}

StaticRelationship ReadRelationship(ConfigMap map, const TrustDomain& own) {
  StaticRelationship fixed;
  FederationRelationship& relationship = fixed.relationship;
  const auto name = map.RequiredString("trust_domain", "for example trust_domain: other.org");
  auto domain = TrustDomain::FromNameOrId(name);
  if (!name.empty() && (!domain || *domain == own)) {
    map.Problem("trust_domain", domain ? "is this server's own" : domain.error().Message(),
                "the name of another trust domain");
  } else if (domain) {
    relationship.trust_domain = *std::move(domain);
  }
  const auto text =
      map.RequiredString("bundle_endpoint_url", "for example https://bundle.other.org:8443/");
  auto url = net::HttpsUrl::Parse(text);
  if (url) {
    relationship.url = *std::move(url);
  } else if (!text.empty()) {
    map.Problem("bundle_endpoint_url", url.error().Message(), "https://host[:port]/[path]");
  }
  relationship.profile = ReadProfile(map);
  ReadEndpointId(map, &relationship);
  fixed.bundle_file = ReadPath(map, "bundle_file");
  ReadPin(map, &fixed);
  map.Finish();
  return fixed;
}

void ReadNetworks(ConfigMap& map, FederationSettings* settings) {
  for (const auto& value : map.Scalars("allowed_networks")) {
    if (const auto network = ParseNetwork(value.text)) {
      settings->allowed_networks.push_back(*network);
    } else {
      map.ProblemAtLine(value.line, "not a network: \"" + value.text + "\"",
                        "for example 127.0.0.0/8 or fd00::/8");
    }
  }
}

}  // namespace

FederationConfig ReadFederation(ConfigMap& root, const TrustDomain& trust_domain,
                                const std::string& jwt_issuer) {
  FederationConfig config;
  config.settings.web_roots = net::kSystemWebRoots;
  auto map = root.Map("federation");
  if (!map) return config;
  if (auto endpoint = map->Map("bundle_endpoint"))
    config.endpoint = ReadEndpoint(*std::move(endpoint), jwt_issuer);
  if (auto roots = ReadPath(*map, "web_roots_file"); !roots.empty())
    config.settings.web_roots = std::move(roots);
  ReadNetworks(*map, &config.settings);
  for (ConfigMap& one : map->Maps("federates_with")) {
    const int line = one.line();
    StaticRelationship fixed = ReadRelationship(std::move(one), trust_domain);
    const bool repeated =
        std::ranges::any_of(config.settings.relationships, [&](const StaticRelationship& other) {
          return other.relationship.trust_domain == fixed.relationship.trust_domain;
        });
    if (repeated && !fixed.relationship.trust_domain.empty())
      map->ProblemAtLine(line,
                         "trust domain " + fixed.relationship.trust_domain.name() + " stands twice",
                         "remove one");
    config.settings.relationships.push_back(std::move(fixed));
  }
  map->Finish();
  return config;
}

}  // namespace signet::identity
