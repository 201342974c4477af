-- With whom the trust domain federates, as administrators said over the API. Relationships of the
-- configuration file are not here. Bundles stand apart and stay when a relationship is removed.

CREATE TABLE federation_relationships (
  seq          INTEGER PRIMARY KEY,
  trust_domain TEXT NOT NULL UNIQUE,
  url          TEXT NOT NULL,
  profile      TEXT NOT NULL CHECK (profile IN ('https_web', 'https_spiffe')),
  endpoint_id  TEXT NOT NULL  -- whole SPIFFE ID; empty with https_web
) STRICT;
