-- A task that a node brings back from before a backup has what it has, even where another was given it meanwhile.
CREATE TABLE new_ports (
    instance TEXT NOT NULL REFERENCES container_instances (id),
    protocol TEXT NOT NULL,
    port INTEGER NOT NULL,
    task TEXT NOT NULL,
    PRIMARY KEY (instance, protocol, port, task)
) STRICT, WITHOUT ROWID;
INSERT INTO new_ports SELECT instance, protocol, port, task FROM taken_ports;
DROP TABLE taken_ports;
ALTER TABLE new_ports RENAME TO taken_ports;
CREATE INDEX taken_ports_by_task ON taken_ports (task);

CREATE TABLE new_gpus (
    instance TEXT NOT NULL REFERENCES container_instances (id),
    gpu TEXT NOT NULL,
    task TEXT NOT NULL,
    PRIMARY KEY (instance, gpu, task)
) STRICT, WITHOUT ROWID;
INSERT INTO new_gpus SELECT instance, gpu, task FROM taken_gpus;
DROP TABLE taken_gpus;
ALTER TABLE new_gpus RENAME TO taken_gpus;
CREATE INDEX taken_gpus_by_task ON taken_gpus (task);

-- The machine that an instance is known to be; empty until its agent has polled.
ALTER TABLE container_instances ADD COLUMN fingerprint TEXT NOT NULL DEFAULT '';
