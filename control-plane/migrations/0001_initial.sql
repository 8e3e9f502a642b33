-- Times are milliseconds since 1970. Ids are the last part of an ARN; JSON columns hold the API's own shapes.

CREATE TABLE settings (
    name TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- One row a start. A node's cursor counts within the start that gave it.
CREATE TABLE incarnations (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    started_at INTEGER NOT NULL
) STRICT;

-- Where each instance's sequence stood when an incarnation ended.
CREATE TABLE incarnation_ends (
    incarnation TEXT NOT NULL REFERENCES incarnations (id) ON DELETE CASCADE,
    instance TEXT NOT NULL,
    last_seq INTEGER NOT NULL,
    PRIMARY KEY (incarnation, instance)
) STRICT, WITHOUT ROWID;

CREATE TABLE clusters (
    name TEXT NOT NULL PRIMARY KEY,
    status TEXT NOT NULL,
    settings TEXT NOT NULL,
    tags TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Revisions are never given twice, whatever becomes of the definitions.
CREATE TABLE families (
    family TEXT NOT NULL PRIMARY KEY,
    last_revision INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE task_definitions (
    family TEXT NOT NULL REFERENCES families (family),
    revision INTEGER NOT NULL,
    status TEXT NOT NULL,
    body TEXT NOT NULL,
    tags TEXT NOT NULL,
    PRIMARY KEY (family, revision)
) STRICT, WITHOUT ROWID;

CREATE TABLE activations (
    id TEXT NOT NULL PRIMARY KEY,
    code_hash TEXT NOT NULL,
    description TEXT,
    default_instance_name TEXT,
    iam_role TEXT NOT NULL,
    registration_limit INTEGER NOT NULL,
    registrations INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    tags TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE managed_instances (
    id TEXT NOT NULL PRIMARY KEY,
    activation TEXT NOT NULL,
    name TEXT,
    iam_role TEXT NOT NULL,
    public_key BLOB NOT NULL,
    fingerprint TEXT NOT NULL,
    registered_at INTEGER NOT NULL,
    tags TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE container_instances (
    id TEXT NOT NULL PRIMARY KEY,
    cluster TEXT NOT NULL REFERENCES clusters (name),
    managed_instance TEXT NOT NULL,
    status TEXT NOT NULL,
    version INTEGER NOT NULL,
    resources TEXT NOT NULL,
    attributes TEXT NOT NULL,
    version_info TEXT NOT NULL,
    tags TEXT NOT NULL,
    registered_at INTEGER NOT NULL,
    total_cpu INTEGER NOT NULL,
    total_memory INTEGER NOT NULL,
    free_cpu INTEGER NOT NULL,
    free_memory INTEGER NOT NULL,
    next_seq INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX container_instances_by_cluster ON container_instances (cluster, id);
-- A node is one container instance at a time.
CREATE UNIQUE INDEX container_instances_by_node ON container_instances (managed_instance) WHERE status <> 'INACTIVE';

CREATE TABLE taken_ports (
    instance TEXT NOT NULL REFERENCES container_instances (id),
    protocol TEXT NOT NULL,
    port INTEGER NOT NULL,
    task TEXT NOT NULL,
    PRIMARY KEY (instance, protocol, port)
) STRICT, WITHOUT ROWID;
CREATE INDEX taken_ports_by_task ON taken_ports (task);

CREATE TABLE taken_gpus (
    instance TEXT NOT NULL REFERENCES container_instances (id),
    gpu TEXT NOT NULL,
    task TEXT NOT NULL,
    PRIMARY KEY (instance, gpu)
) STRICT, WITHOUT ROWID;
CREATE INDEX taken_gpus_by_task ON taken_gpus (task);

-- `record` is the task as it is now, `spec` what its node was told; the other columns are what is searched by.
CREATE TABLE tasks (
    id TEXT NOT NULL PRIMARY KEY,
    cluster TEXT NOT NULL REFERENCES clusters (name),
    instance TEXT NOT NULL REFERENCES container_instances (id),
    family TEXT NOT NULL,
    started_by TEXT,
    desired_status TEXT NOT NULL,
    last_status TEXT NOT NULL,
    reserved_cpu INTEGER NOT NULL,
    reserved_memory INTEGER NOT NULL,
    stopped_at INTEGER,
    record TEXT NOT NULL,
    spec TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX tasks_by_cluster ON tasks (cluster, desired_status, id);
CREATE INDEX tasks_by_instance ON tasks (instance, desired_status, id);
-- Counts look at tasks that are alive; those that are over are many more.
CREATE INDEX tasks_alive_by_cluster ON tasks (cluster) WHERE stopped_at IS NULL;
CREATE INDEX tasks_alive_by_instance ON tasks (instance) WHERE stopped_at IS NULL;
CREATE INDEX tasks_by_end ON tasks (stopped_at) WHERE stopped_at IS NOT NULL;

-- What a node is to do, one row a task, until it has reported the task's end.
CREATE TABLE assignments (
    instance TEXT NOT NULL REFERENCES container_instances (id),
    task TEXT NOT NULL,
    task_arn TEXT NOT NULL,
    first_seq INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    desired_status TEXT NOT NULL,
    force INTEGER NOT NULL,
    stop_known INTEGER NOT NULL,
    PRIMARY KEY (instance, task)
) STRICT, WITHOUT ROWID;
CREATE INDEX assignments_by_task ON assignments (task);
CREATE UNIQUE INDEX assignments_by_seq ON assignments (instance, seq);

-- Tasks that are over for good, long after their records are gone: a node that still has one is told to stop it.
CREATE TABLE tombstones (
    task TEXT NOT NULL PRIMARY KEY,
    instance TEXT NOT NULL,
    buried_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE client_tokens (
    cluster TEXT NOT NULL,
    token TEXT NOT NULL,
    request_hash TEXT NOT NULL,
    task_arns TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (cluster, token)
) STRICT, WITHOUT ROWID;
