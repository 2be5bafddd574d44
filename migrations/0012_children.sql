-- A job's children are found by its id. Only rows that have a parent are in these indexes, and a parent never
-- changes, so that ordinary jobs pay nothing and claims stay heap-only.
CREATE INDEX job_by_parent ON job (parent_job_id) WHERE parent_job_id IS NOT NULL;
CREATE INDEX job_history_by_parent ON job_history (parent_job_id) WHERE parent_job_id IS NOT NULL;
