#include "identity/store/sqlite/rows.h"

namespace signet::identity {
namespace {

Status LoadX509(Connection& connection, std::int64_t seq, Bundle& bundle) {
  Statement query = connection.Use(
      "SELECT certificate, tainted FROM bundle_x509_authorities WHERE bundle_seq = ?1 ORDER BY "
      "position");
  query.Bind(seq);
  while (true) {
    SIGNET_TRY(const bool row, query.Step());
    if (!row) return {};
    auto certificate = ca::Certificate::Parse(query.Blob(0));
    if (!certificate) {
      return FailUnreadableRow("bundle_x509_authorities", bundle.trust_domain.name(),
                               certificate.error());
    }
    bundle.x509_authorities.push_back({*std::move(certificate), query.Boolean(1)});
  }
}

Status LoadJwt(Connection& connection, std::int64_t seq, Bundle& bundle) {
  Statement query = connection.Use(
      "SELECT key_id, public_key, expires_at, tainted FROM bundle_jwt_authorities WHERE bundle_seq "
      "= ?1"
      " ORDER BY position");
  query.Bind(seq);
  while (true) {
    SIGNET_TRY(const bool row, query.Step());
    if (!row) return {};
    bundle.jwt_authorities.push_back(
        {query.Text(0), query.Blob(1), query.Integer(2), query.Boolean(3)});
  }
}

}  // namespace

Status SqliteBundleRows::Put(const Bundle& bundle) {
  std::int64_t seq = 0;
  {
    Statement put = connection_.Use(
        "INSERT INTO bundles (trust_domain, refresh_hint, sequence_number) VALUES (?1, ?2, ?3)"
        " ON CONFLICT (trust_domain) DO UPDATE SET refresh_hint = ?2, sequence_number = ?3 "
        "RETURNING seq");
    put.Bind(bundle.trust_domain.name(), bundle.refresh_hint, bundle.sequence_number);
    SIGNET_TRY(const bool row, put.Step());
    if (!row) return Fail(Code::kInternal, kStoreRefused, "bundle " + bundle.trust_domain.name());
    seq = put.Integer(0);
  }
  SIGNET_RETURN_IF_ERROR(
      connection_.Use("DELETE FROM bundle_x509_authorities WHERE bundle_seq = ?1").Bind(seq).Run());
  SIGNET_RETURN_IF_ERROR(
      connection_.Use("DELETE FROM bundle_jwt_authorities WHERE bundle_seq = ?1").Bind(seq).Run());
  int position = 0;
  for (const X509BundleAuthority& authority : bundle.x509_authorities) {
    SIGNET_RETURN_IF_ERROR(
        connection_.Use("INSERT INTO bundle_x509_authorities VALUES (?1, ?2, ?3, ?4)")
            .Bind(seq, position++, authority.certificate.der(), authority.tainted)
            .Run());
  }
  position = 0;
  for (const JwtBundleAuthority& authority : bundle.jwt_authorities) {
    SIGNET_RETURN_IF_ERROR(
        connection_.Use("INSERT INTO bundle_jwt_authorities VALUES (?1, ?2, ?3, ?4, ?5, ?6)")
            .Bind(seq, position++, authority.key_id, authority.public_key, authority.expires_at,
                  authority.tainted)
            .Run());
  }
  return {};
}

Status SqliteBundleRows::Remove(const TrustDomain& trust_domain) {
  return connection_.Use("DELETE FROM bundles WHERE trust_domain = ?1")
      .Bind(trust_domain.name())
      .Run();
}

Result<std::vector<Bundle>> SqliteBundleRows::Load(Connection& connection) {
  std::vector<Bundle> bundles;
  Statement query = connection.Use(
      "SELECT seq, trust_domain, refresh_hint, sequence_number FROM bundles ORDER BY seq");
  while (true) {
    SIGNET_TRY(const bool row, query.Step());
    if (!row) return bundles;
    Bundle bundle;
    auto trust_domain = TrustDomain::Parse(query.Text(1));
    if (!trust_domain) return FailUnreadableRow("bundles", query.Text(1), trust_domain.error());
    bundle.trust_domain = *std::move(trust_domain);
    bundle.refresh_hint = query.Integer(2);
    bundle.sequence_number = static_cast<std::uint64_t>(query.Integer(3));
    SIGNET_RETURN_IF_ERROR(LoadX509(connection, query.Integer(0), bundle));
    SIGNET_RETURN_IF_ERROR(LoadJwt(connection, query.Integer(0), bundle));
    bundles.push_back(std::move(bundle));
  }
}

}  // namespace signet::identity
