-- The ledger: every job there is, from the moment its caller is told that it exists.
--
-- Shape. `job` holds only work that is not finished, so it stays small and hot; `job_history` holds what
-- ended and only grows at its end. Nothing indexes `job.state` or any other column that claiming
-- changes: such an index would end heap-only updates and tempt the planner away from the primary key.
-- What waits for a time or a reason has a row in `job_wait`, and that one is indexed.
-- There are no foreign keys from the hot tables: a check per row costs more than it protects here,
-- because rows enter only through the engine. Job ids are UUIDv7, so id order is age order.

CREATE TYPE job_state AS ENUM
    ('scheduled', 'queued', 'running', 'parked', 'succeeded', 'dead', 'cancelled', 'expired');

CREATE TABLE job (
    job_id          uuid PRIMARY KEY,
    org_id          uuid NOT NULL,
    created_at      timestamptz NOT NULL,
    run_at          timestamptz NOT NULL,           -- not before this
    queued_at       timestamptz,                    -- when it last became ready to be taken
    started_at      timestamptz,                    -- when it was last claimed
    claim_no        integer NOT NULL DEFAULT 0,     -- fencing token: grows with every claim
    state           job_state NOT NULL,
    priority        smallint NOT NULL,              -- -100 … 100, higher is sooner
    kind_version    smallint NOT NULL,
    attempt         smallint NOT NULL DEFAULT 0,    -- attempts used, the running one included
    max_attempts    smallint NOT NULL,
    recoveries      smallint NOT NULL DEFAULT 0,    -- times its worker died while running it
    permit          boolean NOT NULL DEFAULT false, -- its rate limits are already paid for
    cancel_asked    boolean NOT NULL DEFAULT false, -- cancel requested while running
    kind            text NOT NULL,
    lane            text NOT NULL,
    worker_id       uuid,
    workspace_id    uuid,
    actor_id        uuid,
    parent_job_id   uuid,
    batch_id        uuid,
    deadline_at     timestamptz,
    progress_done   bigint,
    progress_total  bigint,
    idempotency_key text,
    unique_key      text,
    request_id      text,
    successors      json,                           -- enqueued in the transaction that completes this one
    payload         json NOT NULL
) WITH (
    fillfactor = 45,                                -- room for every row's claimed version, which is wider
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_vacuum_threshold = 2000,
    autovacuum_vacuum_cost_delay = 0
);
CREATE INDEX job_by_org ON job (org_id, job_id);
-- A deadline never changes, so this index costs claims nothing.
CREATE INDEX job_by_deadline ON job (deadline_at) WHERE deadline_at IS NOT NULL;

CREATE TABLE job_history (
    job_id          uuid PRIMARY KEY,
    org_id          uuid NOT NULL,
    created_at      timestamptz NOT NULL,
    run_at          timestamptz NOT NULL,
    queued_at       timestamptz,
    started_at      timestamptz,
    finished_at     timestamptz NOT NULL,
    claim_no        integer NOT NULL,
    state           job_state NOT NULL,
    priority        smallint NOT NULL,
    kind_version    smallint NOT NULL,
    attempt         smallint NOT NULL,
    max_attempts    smallint NOT NULL,
    recoveries      smallint NOT NULL,
    kind            text NOT NULL,
    lane            text NOT NULL,
    worker_id       uuid,
    workspace_id    uuid,
    actor_id        uuid,
    parent_job_id   uuid,
    batch_id        uuid,
    deadline_at     timestamptz,
    progress_done   bigint,
    progress_total  bigint,
    idempotency_key text,
    request_id      text,
    error_code      text,
    error_message   text,
    discarded_at    timestamptz,
    discard_reason  text,
    successors      json,
    result          json,
    payload         json NOT NULL,
    CONSTRAINT job_history_ended CHECK (state IN ('succeeded', 'dead', 'cancelled', 'expired'))
) WITH (autovacuum_vacuum_insert_scale_factor = 0.1);
CREATE INDEX job_history_by_org ON job_history (org_id, job_id);
CREATE INDEX job_history_by_finish ON job_history USING brin (finished_at) WITH (pages_per_range = 32);
-- Dead letters wait for a person: few, and grouped by cause.
CREATE INDEX job_history_dead ON job_history (org_id, kind, error_code, job_id)
    WHERE state = 'dead' AND discarded_at IS NULL;

-- Why a job is not in its lane, and until when. `due_at` null: until something releases it.
CREATE TABLE job_wait (
    job_id   uuid PRIMARY KEY,
    org_id   uuid NOT NULL,
    due_at   timestamptz,
    priority smallint NOT NULL DEFAULT 0,
    lane     text NOT NULL,
    what     text NOT NULL,   -- time, retry, limit, lane, or a reason a handler named
    key      text NOT NULL,   -- which limit, lane, …
    detail   json
);
CREATE INDEX job_wait_due ON job_wait (due_at, job_id) WHERE due_at IS NOT NULL;
CREATE INDEX job_wait_reason ON job_wait (what, key, due_at);

-- One row for each attempt that did not simply succeed (a success is on the job's own row).
CREATE TABLE job_attempt (
    job_id        uuid NOT NULL,
    claim_no      integer NOT NULL,
    org_id        uuid NOT NULL,
    attempt       smallint NOT NULL,
    worker_id     uuid,
    started_at    timestamptz,
    finished_at   timestamptz NOT NULL,
    outcome       text NOT NULL,    -- retry, dead, parked, lost, cancelled, expired
    error_code    text,
    error_message text,
    retry_at      timestamptz,
    PRIMARY KEY (job_id, claim_no)
);

-- What happened to a job besides its ordinary path (created, started, finished are columns).
CREATE TABLE job_event (
    job_event_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id       uuid NOT NULL,
    org_id       uuid NOT NULL,
    at           timestamptz NOT NULL DEFAULT now(),
    what         text NOT NULL,
    actor_id     uuid,
    detail       json
);
CREATE INDEX job_event_by_job ON job_event (job_id, job_event_id);

-- Idempotency keys live apart from the jobs, so that a key outlives the move to history.
CREATE TABLE job_key (
    org_id       uuid NOT NULL,
    kind         text NOT NULL,
    key          text NOT NULL,
    job_id       uuid NOT NULL,
    payload_hash bytea NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, kind, key)
);
CREATE INDEX job_key_by_age ON job_key USING brin (created_at);

-- Held while a job with that key has not started: one waiting job per (org, kind, key).
CREATE TABLE job_unique (
    org_id uuid NOT NULL,
    kind   text NOT NULL,
    key    text NOT NULL,
    job_id uuid NOT NULL,
    PRIMARY KEY (org_id, kind, key)
);

CREATE TABLE job_batch (
    batch_id     uuid PRIMARY KEY,
    org_id       uuid NOT NULL,
    name         text NOT NULL,
    total        bigint NOT NULL,
    succeeded    bigint NOT NULL DEFAULT 0,
    failed       bigint NOT NULL DEFAULT 0,      -- dead, cancelled or expired
    callback     json,                           -- the job to enqueue when none is left
    callback_job_id uuid,
    created_at   timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz,
    CONSTRAINT job_batch_counts CHECK (succeeded >= 0 AND failed >= 0 AND succeeded + failed <= total)
);
CREATE INDEX job_batch_by_org ON job_batch (org_id, batch_id);
CREATE INDEX job_batch_open ON job_batch (batch_id) WHERE completed_at IS NULL;

-- The fleet. A worker holds all its running jobs by this one row: one heartbeat, not one per job.
CREATE TABLE worker (
    worker_id    uuid PRIMARY KEY,
    name         text NOT NULL,
    host         text NOT NULL,
    pid          integer NOT NULL,
    version      text NOT NULL,
    lanes        text[] NOT NULL,
    state        text NOT NULL DEFAULT 'running',
    in_flight    integer NOT NULL DEFAULT 0,
    started_at   timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    stopped_at   timestamptz,
    CONSTRAINT worker_state_known CHECK (state IN ('running', 'draining', 'stopped', 'lost'))
) WITH (fillfactor = 50);

-- Lanes are data. `concurrency` is slots in each worker process; `org_cap` bounds one organisation's
-- running jobs over all workers.
CREATE TABLE lane (
    lane        text PRIMARY KEY,
    mode        text NOT NULL DEFAULT 'open',
    concurrency integer NOT NULL,
    org_cap     integer,
    position    smallint NOT NULL,
    changed_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT lane_mode_known CHECK (mode IN ('open', 'paused', 'draining')),
    CONSTRAINT lane_concurrency_range CHECK (concurrency BETWEEN 1 AND 10000),
    CONSTRAINT lane_org_cap_range CHECK (org_cap IS NULL OR org_cap BETWEEN 1 AND 100000)
);
INSERT INTO lane (lane, concurrency, position) VALUES
    ('critical', 32, 0), ('default', 64, 1), ('ai', 16, 2), ('voice', 16, 3), ('outreach', 16, 4),
    ('ads', 16, 5), ('webhooks', 128, 6), ('reports', 8, 7), ('bulk', 16, 8);

-- What one organisation says about its own share of a lane; the platform's say is in `lane`.
CREATE TABLE lane_org (
    org_id     uuid NOT NULL,
    lane       text NOT NULL REFERENCES lane,
    mode       text NOT NULL DEFAULT 'open',
    org_cap    integer,
    changed_at timestamptz NOT NULL DEFAULT now(),
    changed_by uuid,
    PRIMARY KEY (org_id, lane),
    CONSTRAINT lane_org_mode_known CHECK (mode IN ('open', 'paused', 'draining')),
    CONSTRAINT lane_org_cap_range CHECK (org_cap IS NULL OR org_cap BETWEEN 1 AND 100000)
);

-- Rates of the shared limiter. A job kind names the limits it uses and the key (credential, endpoint …);
-- the most specific row wins: (org, name, key), (org, name, '*'), (platform, name, '*'). No row, no limit.
CREATE TABLE rate_limit (
    rate_limit_id uuid PRIMARY KEY,
    org_id        uuid,              -- null: the platform's default for everybody
    name          text NOT NULL,
    key           text NOT NULL DEFAULT '*',
    units         integer NOT NULL,  -- per period
    period_ms     bigint NOT NULL,
    burst         integer NOT NULL,  -- units that may come at once
    changed_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT rate_limit_unique UNIQUE NULLS NOT DISTINCT (org_id, name, key),
    CONSTRAINT rate_limit_units_range CHECK (units BETWEEN 1 AND 10000000),
    CONSTRAINT rate_limit_period_range CHECK (period_ms BETWEEN 1 AND 2678400000),
    CONSTRAINT rate_limit_burst_range CHECK (burst BETWEEN 1 AND 10000000)
);

-- Work that comes back. `next_tick_at` is the oldest tick not dealt with yet (null: paused, or never again):
-- whoever moves it, in the transaction that enqueues the tick's job, has fired that tick.
CREATE TABLE schedule (
    schedule_id     uuid PRIMARY KEY,
    org_id          uuid NOT NULL,
    workspace_id    uuid,
    name            text NOT NULL,
    kind            text NOT NULL,
    kind_version    smallint NOT NULL DEFAULT 1, -- payload version, so that an older payload is upgraded
    payload         json NOT NULL,
    lane            text,                        -- null: the kind's own
    priority        smallint NOT NULL DEFAULT 0,
    expression      text NOT NULL,
    zone            text NOT NULL,
    catch_up        text NOT NULL DEFAULT 'one',
    jitter_ms       bigint NOT NULL DEFAULT 0,
    paused          boolean NOT NULL DEFAULT false,
    last_tick_at    timestamptz,                 -- newest tick that fired
    next_tick_at    timestamptz,
    last_job_id     uuid,
    skipped_total   bigint NOT NULL DEFAULT 0,   -- ticks given up by the catch-up policy
    last_skipped_at timestamptz,
    last_error      text,                        -- why due ticks can't fire; null once one did
    last_error_at   timestamptz,
    held_until      timestamptz,                 -- with last_error: not looked at before this
    actor_id        uuid,
    created_at      timestamptz NOT NULL DEFAULT now(),
    changed_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT schedule_name_unique UNIQUE (org_id, name),
    CONSTRAINT schedule_name_length CHECK (length(name) BETWEEN 1 AND 100),
    CONSTRAINT schedule_workspace FOREIGN KEY (org_id, workspace_id) REFERENCES workspace (org_id, workspace_id),
    CONSTRAINT schedule_catch_up_known CHECK (catch_up IN ('skip', 'one', 'all')),
    CONSTRAINT schedule_priority_range CHECK (priority BETWEEN -100 AND 100),
    CONSTRAINT schedule_jitter_range CHECK (jitter_ms BETWEEN 0 AND 86400000),
    CONSTRAINT schedule_paused_rests CHECK (NOT paused OR next_tick_at IS NULL)
);
CREATE INDEX schedule_due ON schedule (next_tick_at) WHERE NOT paused;

-- Row-level security: the app's role sees one organisation, the engine's role sees all of these tables.
DO $$
DECLARE t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['job', 'job_history', 'job_wait', 'job_attempt', 'job_event', 'job_key',
                             'job_unique', 'job_batch', 'lane_org', 'schedule'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY %I ON %I TO countersign_app USING (org_id = current_org()) '
                       'WITH CHECK (org_id = current_org())', t || '_own', t);
        EXECUTE format('CREATE POLICY %I ON %I TO countersign_engine USING (true) WITH CHECK (true)',
                       t || '_engine', t);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO countersign_app, countersign_engine', t);
    END LOOP;
END
$$;

-- The app reads the platform's default limits but writes only its own.
ALTER TABLE rate_limit ENABLE ROW LEVEL SECURITY;
ALTER TABLE rate_limit FORCE ROW LEVEL SECURITY;
CREATE POLICY rate_limit_read ON rate_limit FOR SELECT TO countersign_app
    USING (org_id = current_org() OR org_id IS NULL);
CREATE POLICY rate_limit_insert ON rate_limit FOR INSERT TO countersign_app
    WITH CHECK (org_id = current_org());
CREATE POLICY rate_limit_update ON rate_limit FOR UPDATE TO countersign_app
    USING (org_id = current_org()) WITH CHECK (org_id = current_org());
CREATE POLICY rate_limit_delete ON rate_limit FOR DELETE TO countersign_app
    USING (org_id = current_org());
CREATE POLICY rate_limit_engine ON rate_limit TO countersign_engine USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON rate_limit TO countersign_app, countersign_engine;

-- Lanes and the fleet belong to the platform, not to an organisation: the app may look.
GRANT SELECT ON lane, worker TO countersign_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON lane, worker TO countersign_engine;
