-- The issuance journal becomes the log of everything: signatures, changes, refusals. Records of the
-- first format keep an empty event, and the chain of hashes goes on over both.

DROP TRIGGER issuances_are_not_changed;
DROP TRIGGER issuances_are_not_removed;
ALTER TABLE issuances RENAME TO audit_log;
ALTER TABLE audit_log ADD COLUMN event TEXT NOT NULL DEFAULT '';
ALTER TABLE audit_log ADD COLUMN detail TEXT NOT NULL DEFAULT '';  -- a JSON object, or empty

-- What was pruned: the place of the last record that is gone. At most one row.
CREATE TABLE audit_base (
  seq  INTEGER PRIMARY KEY,
  hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;

-- Heads signed by the log key.
CREATE TABLE audit_checkpoints (
  seq        INTEGER PRIMARY KEY,
  hash       BLOB NOT NULL CHECK (length(hash) = 32),
  made_at    INTEGER NOT NULL,
  public_key BLOB NOT NULL,  -- SubjectPublicKeyInfo
  signature  BLOB NOT NULL
) STRICT;

CREATE TRIGGER audit_log_is_not_changed BEFORE UPDATE ON audit_log
BEGIN
  SELECT RAISE(ABORT, 'the log is append-only');
END;

CREATE TRIGGER audit_log_is_not_removed BEFORE DELETE ON audit_log
WHEN OLD.seq > coalesce((SELECT seq FROM audit_base), 0)
BEGIN
  SELECT RAISE(ABORT, 'the log is append-only');
END;
