#include "identity/store/sqlite/rows.h"

namespace signet::identity {
namespace {

constexpr std::string_view kWeb = "https_web";
constexpr std::string_view kSpiffe = "https_spiffe";

Result<FederationRelationship> ReadRow(const Statement& row) {
  FederationRelationship relationship;
  SIGNET_TRY(relationship.trust_domain, TrustDomain::Parse(row.Text(0)));
  SIGNET_TRY(relationship.url, net::HttpsUrl::Parse(row.Text(1)));
  if (row.Text(2) == kWeb) return relationship;
  relationship.profile = EndpointProfile::kHttpsSpiffe;
  SIGNET_TRY(relationship.endpoint_id, SpiffeId::Parse(row.Text(3)));
  return relationship;
}

}  // namespace

Status SqliteFederationRows::Put(const FederationRelationship& relationship) {
  const bool spiffe = relationship.profile == EndpointProfile::kHttpsSpiffe;
  return connection_
      .Use(
          "INSERT INTO federation_relationships (trust_domain, url, profile, endpoint_id) VALUES "
          "(?1, ?2, ?3, ?4) ON CONFLICT (trust_domain) DO UPDATE SET url = ?2, profile = ?3, "
          "endpoint_id = ?4")
      .Bind(relationship.trust_domain.name(), relationship.url.text(), spiffe ? kSpiffe : kWeb,
            spiffe ? relationship.endpoint_id.ToString() : std::string())
      .Run();
}

Status SqliteFederationRows::Remove(const TrustDomain& trust_domain) {
  return connection_.Use("DELETE FROM federation_relationships WHERE trust_domain = ?1")
      .Bind(trust_domain.name())
      .Run();
}

Result<std::vector<FederationRelationship>> SqliteFederationRows::Load(Connection& connection) {
  std::vector<FederationRelationship> relationships;
  Statement query = connection.Use(
      "SELECT trust_domain, url, profile, endpoint_id FROM federation_relationships ORDER BY seq");
  while (true) {
    SIGNET_TRY(const bool row, query.Step());
    if (!row) return relationships;
    auto relationship = ReadRow(query);
    if (!relationship)
      return FailUnreadableRow("federation_relationships", query.Text(0), relationship.error());
    relationships.push_back(*std::move(relationship));
  }
}

}  // namespace signet::identity
