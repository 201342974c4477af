-- Whom the trust domain refuses before their SVIDs end.
CREATE TABLE denials (
  id         TEXT PRIMARY KEY,
  kind       INTEGER NOT NULL,  -- 1 SPIFFE ID, 2 serial number, 3 agent
  subject    TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  until      INTEGER NOT NULL,  -- 0: for good
  reason     TEXT NOT NULL,
  created_by TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- An agent that is denied takes what was issued through it along.
CREATE INDEX audit_log_by_requester ON audit_log (requested_by, not_after)
WHERE purpose = 'workload';
