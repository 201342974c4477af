-- The state of one trust domain. Times are Unix seconds unless the name says otherwise; SPIFFE IDs are
-- whole ("spiffe://example.org/web"); booleans are 0 or 1. `seq` columns give the order of creation.

CREATE TABLE meta (
  key   TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT;

-- The number of the last committed change, one row.
CREATE TABLE revision (
  trust_domain TEXT PRIMARY KEY,
  value        INTEGER NOT NULL CHECK (value >= 0)
) STRICT;

CREATE TABLE entries (
  seq                        INTEGER PRIMARY KEY,
  id                         TEXT NOT NULL UNIQUE,
  spiffe_id                  TEXT NOT NULL,
  parent_id                  TEXT NOT NULL,
  x509_svid_ttl              INTEGER NOT NULL,
  jwt_svid_ttl               INTEGER NOT NULL,
  admin                      INTEGER NOT NULL,
  downstream                 INTEGER NOT NULL,
  expires_at                 INTEGER NOT NULL,
  revision_number            INTEGER NOT NULL,
  store_svid                 INTEGER NOT NULL,
  hint                       TEXT NOT NULL,
  created_at                 INTEGER NOT NULL,
  disable_x509_svid_prefetch INTEGER NOT NULL,
  jwt_svid_include_jti       INTEGER NOT NULL
) STRICT;

CREATE TABLE entry_selectors (
  entry_seq INTEGER NOT NULL REFERENCES entries (seq) ON DELETE CASCADE,
  type      TEXT NOT NULL,
  value     TEXT NOT NULL,
  PRIMARY KEY (entry_seq, type, value)
) STRICT, WITHOUT ROWID;

CREATE TABLE entry_federates_with (
  entry_seq    INTEGER NOT NULL REFERENCES entries (seq) ON DELETE CASCADE,
  trust_domain TEXT NOT NULL,
  PRIMARY KEY (entry_seq, trust_domain)
) STRICT, WITHOUT ROWID;

CREATE TABLE entry_dns_names (
  entry_seq INTEGER NOT NULL REFERENCES entries (seq) ON DELETE CASCADE,
  position  INTEGER NOT NULL,
  name      TEXT NOT NULL,
  PRIMARY KEY (entry_seq, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE nodes (
  seq                   INTEGER PRIMARY KEY,
  spiffe_id             TEXT NOT NULL UNIQUE,
  attestation_type      TEXT NOT NULL,
  serial                TEXT NOT NULL,  -- decimal; empty: banned
  serial_expires_at     INTEGER NOT NULL,
  new_serial            TEXT NOT NULL,
  new_serial_expires_at INTEGER NOT NULL,
  can_reattest          INTEGER NOT NULL,
  agent_version         TEXT NOT NULL
) STRICT;

CREATE TABLE node_selectors (
  node_seq INTEGER NOT NULL REFERENCES nodes (seq) ON DELETE CASCADE,
  type     TEXT NOT NULL,
  value    TEXT NOT NULL,
  PRIMARY KEY (node_seq, type, value)
) STRICT, WITHOUT ROWID;

-- Only the SHA-256 of a token is kept, in hex.
CREATE TABLE join_tokens (
  digest     TEXT PRIMARY KEY,
  expires_at INTEGER NOT NULL,
  agent_path TEXT NOT NULL
) STRICT;

CREATE TABLE bundles (
  seq             INTEGER PRIMARY KEY,
  trust_domain    TEXT NOT NULL UNIQUE,
  refresh_hint    INTEGER NOT NULL,
  sequence_number INTEGER NOT NULL
) STRICT;

CREATE TABLE bundle_x509_authorities (
  bundle_seq  INTEGER NOT NULL REFERENCES bundles (seq) ON DELETE CASCADE,
  position    INTEGER NOT NULL,
  certificate BLOB NOT NULL,  -- DER
  tainted     INTEGER NOT NULL,
  PRIMARY KEY (bundle_seq, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE bundle_jwt_authorities (
  bundle_seq INTEGER NOT NULL REFERENCES bundles (seq) ON DELETE CASCADE,
  position   INTEGER NOT NULL,
  key_id     TEXT NOT NULL,
  public_key BLOB NOT NULL,  -- SubjectPublicKeyInfo
  expires_at INTEGER NOT NULL,
  tainted    INTEGER NOT NULL,
  PRIMARY KEY (bundle_seq, position)
) STRICT, WITHOUT ROWID;

-- The journal of the authorities this server holds keys for.
CREATE TABLE authorities (
  seq          INTEGER PRIMARY KEY,
  type         TEXT NOT NULL,     -- x509, jwt
  id           TEXT NOT NULL,     -- subject key ID in hex, or JWT key ID
  key_id       TEXT NOT NULL,     -- name in the key store
  state        TEXT NOT NULL,     -- prepared, active, old
  issued_at_ns INTEGER NOT NULL,  -- Unix nanoseconds
  not_after_ns INTEGER NOT NULL,
  tainted      INTEGER NOT NULL,
  public_key   BLOB NOT NULL,
  UNIQUE (type, id)
) STRICT;

CREATE TABLE authority_chains (
  authority_seq INTEGER NOT NULL REFERENCES authorities (seq) ON DELETE CASCADE,
  position      INTEGER NOT NULL,  -- 0: the authority's own certificate
  certificate   BLOB NOT NULL,
  PRIMARY KEY (authority_seq, position)
) STRICT, WITHOUT ROWID;

-- One row for each certificate, written before it is signed. hash = SHA-256(hash of the row before ||
-- canonical record), see identity/audit/issuance_chain.h.
CREATE TABLE issuances (
  seq            INTEGER PRIMARY KEY,
  serial         TEXT NOT NULL,  -- hex
  spiffe_id      TEXT NOT NULL,
  purpose        TEXT NOT NULL,
  entry_id       TEXT NOT NULL,
  entry_revision INTEGER NOT NULL,
  requested_by   TEXT NOT NULL,
  authority_id   TEXT NOT NULL,
  not_before     INTEGER NOT NULL,
  not_after      INTEGER NOT NULL,
  recorded_at    INTEGER NOT NULL,
  hash           BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;

CREATE INDEX issuances_by_serial ON issuances (serial);
CREATE INDEX issuances_by_spiffe_id ON issuances (spiffe_id);

CREATE TRIGGER issuances_are_not_changed BEFORE UPDATE ON issuances
BEGIN
  SELECT RAISE(ABORT, 'issuances are append-only');
END;

CREATE TRIGGER issuances_are_not_removed BEFORE DELETE ON issuances
BEGIN
  SELECT RAISE(ABORT, 'issuances are append-only');
END;
