-- Sessions, and who opened them: kept long after their end. What they need of their task is copied, so that it may go.
CREATE TABLE sessions (
    id TEXT NOT NULL PRIMARY KEY,
    task_arn TEXT NOT NULL,
    container TEXT NOT NULL,
    instance TEXT NOT NULL,
    node TEXT NOT NULL,
    kind TEXT NOT NULL,
    opened_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    -- Of the one token that lets a client in, and until when; NULL once it was used.
    token_hash TEXT,
    token_expires_at INTEGER NOT NULL,
    -- When a client, and the node's agent, were first let in.
    client_at INTEGER,
    agent_at INTEGER,
    -- Why it is to end, from the moment that this was decided here.
    closing TEXT,
    ended_at INTEGER,
    -- What the node's agent said at the end.
    outcome TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_alive ON sessions (created_at) WHERE ended_at IS NULL;
CREATE INDEX sessions_by_end ON sessions (ended_at) WHERE ended_at IS NOT NULL;

-- The API's own shape; NULL where none was given.
ALTER TABLE clusters ADD COLUMN configuration TEXT;
