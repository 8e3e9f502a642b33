-- When a container instance was deregistered, so that its row goes when that is long ago. Where it isn't known, it is as if
-- it had been at the registration.
ALTER TABLE container_instances ADD COLUMN deregistered_at INTEGER;
UPDATE container_instances SET deregistered_at = registered_at WHERE status = 'INACTIVE';
CREATE INDEX container_instances_by_end ON container_instances (deregistered_at) WHERE deregistered_at IS NOT NULL;
