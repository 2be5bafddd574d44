-- The audit log: who changed what, when, from where; appended to, never changed.
--
-- `content` is the entry as it was written, as text: what is hashed. The columns repeat it for searching,
-- and whoever verifies the log compares them.

CREATE TABLE audit_entry (
    entry_id     uuid PRIMARY KEY,              -- version 7: in the order of time
    org_id       uuid NOT NULL,
    at           timestamptz NOT NULL,
    actor_id     uuid,                          -- null: the platform itself
    standing     text NOT NULL,                 -- owner … auditor, token, system
    action       text NOT NULL,                 -- noun.verb
    subject_kind text NOT NULL,
    subject_id   text NOT NULL,
    workspace_id uuid,
    job_id       uuid,                          -- the job that did it, or whose life it is about
    request_id   text,
    content      text NOT NULL
);
CREATE INDEX audit_entry_by_org ON audit_entry (org_id, entry_id);
CREATE INDEX audit_entry_by_subject ON audit_entry (org_id, subject_kind, subject_id, entry_id);

-- Entries that are not in the chain yet; not part of the log. Written by a trigger alone: a note of somebody's
-- own about an entry that is linked already, or that there is none of, would stop the chain.
CREATE TABLE audit_pending (
    entry_id uuid PRIMARY KEY,
    org_id   uuid NOT NULL
);
CREATE INDEX audit_pending_by_org ON audit_pending (org_id, entry_id);

ALTER TABLE audit_entry ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_entry FORCE ROW LEVEL SECURITY;
ALTER TABLE audit_pending ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_pending FORCE ROW LEVEL SECURITY;
CREATE POLICY audit_entry_read ON audit_entry FOR SELECT TO countersign_app
    USING (org_id = (SELECT current_org()) AND (SELECT may('audit:read'))
           AND ((SELECT sees_all_workspaces()) OR workspace_id = ANY ((SELECT seen_workspaces())::uuid[])));
CREATE POLICY audit_entry_insert ON audit_entry FOR INSERT TO countersign_app
    WITH CHECK (org_id = (SELECT current_org())
                AND standing = (SELECT acting_role())
                AND (standing = 'system' OR actor_id = (SELECT current_actor())));
GRANT SELECT, INSERT ON audit_entry TO countersign_app;

-- The chain. Writers only add entries and never wait for each other; whoever chains (`audit_extend`) links
-- what is committed, one organisation at a time under the lock of its head.
--   hash = sha256(hash before ‖ seq as 8 bytes, big end first ‖ content as UTF-8)
-- and before the first: sha256('countersign audit ' ‖ org_id as text).
CREATE TABLE audit_link (
    org_id   uuid NOT NULL,
    seq      bigint NOT NULL,                   -- 1, 2, 3 … without gaps
    entry_id uuid NOT NULL,
    hash     bytea NOT NULL,
    PRIMARY KEY (org_id, seq),
    CONSTRAINT audit_link_entry_once UNIQUE (entry_id),
    CONSTRAINT audit_link_hash_size CHECK (octet_length(hash) = 32),
    CONSTRAINT audit_link_seq_positive CHECK (seq > 0)
);

-- Where each organisation's chain ends.
CREATE TABLE audit_head (
    org_id uuid PRIMARY KEY,
    seq    bigint NOT NULL,
    hash   bytea NOT NULL
) WITH (fillfactor = 50);

-- Signed statements that the chain had this hash at this place: whoever can change rows can't sign.
CREATE TABLE audit_checkpoint (
    org_id    uuid NOT NULL,
    seq       bigint NOT NULL,
    hash      bytea NOT NULL,
    at        timestamptz NOT NULL,
    key_id    text NOT NULL,                    -- which key signed
    signature bytea NOT NULL,                   -- Ed25519
    PRIMARY KEY (org_id, seq),
    CONSTRAINT audit_checkpoint_hash_size CHECK (octet_length(hash) = 32),
    CONSTRAINT audit_checkpoint_signature_size CHECK (octet_length(signature) = 64)
);

-- Kinds of jobs whose end is written down, because they change something.
CREATE TABLE audited_kind (
    kind   text PRIMARY KEY,
    effect text NOT NULL,
    CONSTRAINT audited_kind_effect_known CHECK (effect IN ('write', 'send', 'money'))
);

-- Pending rows come and go at once; dead ones in front of the index would be walked over by every look.
ALTER TABLE audit_pending SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000,
                               autovacuum_vacuum_cost_delay = 0);

-- Nobody changes the log, the tables' owner included. A superuser can switch triggers off; the chain and the
-- checkpoints show what is done then.
CREATE FUNCTION audit_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is only added to: nothing in % is changed or deleted', TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE FUNCTION audit_head_moves_on() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.org_id <> OLD.org_id OR NEW.seq <= OLD.seq THEN
        RAISE EXCEPTION 'the end of an audit chain only moves on' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;
DO $$
DECLARE t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['audit_entry', 'audit_link', 'audit_checkpoint'] LOOP
        EXECUTE format('CREATE TRIGGER %I BEFORE UPDATE OR DELETE OR TRUNCATE ON %I
                        FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only()', t || '_append_only', t);
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER %I', t, t || '_append_only');
    END LOOP;
END
$$;
CREATE TRIGGER audit_head_kept BEFORE DELETE OR TRUNCATE ON audit_head
    FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only();
CREATE TRIGGER audit_head_moves_on BEFORE UPDATE ON audit_head
    FOR EACH ROW EXECUTE FUNCTION audit_head_moves_on();
CREATE TRIGGER audit_pending_kept BEFORE UPDATE OR TRUNCATE ON audit_pending
    FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only();
ALTER TABLE audit_head ENABLE ALWAYS TRIGGER audit_head_kept;
ALTER TABLE audit_head ENABLE ALWAYS TRIGGER audit_head_moves_on;
ALTER TABLE audit_pending ENABLE ALWAYS TRIGGER audit_pending_kept;

DO $$
DECLARE t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['audit_link', 'audit_head', 'audit_checkpoint'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
    END LOOP;
    FOREACH t IN ARRAY ARRAY['audit_link', 'audit_head', 'audit_checkpoint', 'audit_pending'] LOOP
        EXECUTE format('CREATE POLICY %I ON %I FOR SELECT TO countersign_app
                        USING (org_id = (SELECT current_org()) AND (SELECT may(''audit:read'')))',
                       t || '_read', t);
        EXECUTE format('GRANT SELECT ON %I TO countersign_app', t);
    END LOOP;
END
$$;
-- Only of a link that there is: one further on would keep the real ones from being signed.
CREATE POLICY audit_checkpoint_insert ON audit_checkpoint FOR INSERT TO countersign_app
    WITH CHECK (org_id = (SELECT current_org()) AND (SELECT acting_role()) = 'system'
                AND EXISTS (SELECT FROM audit_link l WHERE l.org_id = audit_checkpoint.org_id
                            AND l.seq = audit_checkpoint.seq AND l.hash = audit_checkpoint.hash));
GRANT INSERT ON audit_checkpoint TO countersign_app;
GRANT SELECT ON audited_kind TO countersign_app;

-- The functions below run as the tables' owner, whom FORCE binds like everybody.
CREATE POLICY audit_entry_owner ON audit_entry FOR SELECT TO CURRENT_USER USING (true);
CREATE POLICY audit_entry_owner_writes ON audit_entry FOR INSERT TO CURRENT_USER WITH CHECK (true);
CREATE POLICY audit_pending_owner ON audit_pending TO CURRENT_USER USING (true) WITH CHECK (true);
CREATE POLICY audit_link_owner ON audit_link FOR SELECT TO CURRENT_USER USING (true);
CREATE POLICY audit_link_owner_writes ON audit_link FOR INSERT TO CURRENT_USER WITH CHECK (true);
CREATE POLICY audit_head_owner ON audit_head TO CURRENT_USER USING (true) WITH CHECK (true);
CREATE POLICY audit_checkpoint_owner ON audit_checkpoint FOR SELECT TO CURRENT_USER USING (true);
CREATE POLICY actor_audit_owner ON actor FOR SELECT TO CURRENT_USER USING (true);

-- Every entry is to be linked, whoever wrote it.
CREATE FUNCTION audit_entry_noted() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO audit_pending (entry_id, org_id) SELECT w.entry_id, w.org_id FROM written w;
    RETURN NULL;
END
$$;
CREATE TRIGGER audit_entry_noted AFTER INSERT ON audit_entry
    REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION audit_entry_noted();

-- Links at most `most` pending entries of an organisation. Answers how many; -1 when somebody else is at it.
-- Stale statistics of a table that is empty most of the time must not make it read the whole log.
CREATE FUNCTION audit_extend(org uuid, most integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = public, pg_temp SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    head   audit_head%ROWTYPE;
    ids    uuid[];
    texts  text[];
    hashes bytea[];
    link   bytea;
    linked integer;
BEGIN
    IF NOT EXISTS (SELECT FROM audit_pending p WHERE p.org_id = org) THEN
        RETURN 0;
    END IF;
    SELECT * INTO head FROM audit_head h WHERE h.org_id = org FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        IF EXISTS (SELECT FROM audit_head h WHERE h.org_id = org) THEN
            RETURN -1;
        END IF;
        INSERT INTO audit_head (org_id, seq, hash)
        VALUES (org, 0, sha256(convert_to('countersign audit ' || org::text, 'UTF8')))
        ON CONFLICT DO NOTHING;
        SELECT * INTO head FROM audit_head h WHERE h.org_id = org FOR UPDATE;
    END IF;
    SELECT array_agg(t.entry_id ORDER BY t.entry_id), array_agg(t.content ORDER BY t.entry_id)
    INTO ids, texts
    FROM (SELECT p.entry_id, e.content FROM audit_pending p
          JOIN audit_entry e ON e.entry_id = p.entry_id AND e.org_id = p.org_id
          WHERE p.org_id = org ORDER BY p.entry_id LIMIT most) t;
    linked := coalesce(cardinality(ids), 0);
    IF linked = 0 THEN
        RETURN 0;
    END IF;
    link := head.hash;
    FOR i IN 1 .. linked LOOP
        link := sha256(link || int8send(head.seq + i) || convert_to(texts[i], 'UTF8'));
        hashes[i] := link;
    END LOOP;
    INSERT INTO audit_link (org_id, seq, entry_id, hash)
    SELECT org, head.seq + t.n, t.id, t.hash FROM unnest(ids, hashes) WITH ORDINALITY AS t(id, hash, n);
    UPDATE audit_head SET seq = head.seq + linked, hash = link WHERE org_id = org;
    DELETE FROM audit_pending WHERE entry_id = ANY (ids);
    RETURN linked;
END
$$;

-- Organisations that have entries to be linked, without walking over every entry.
CREATE FUNCTION audit_waiting() RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
        WITH RECURSIVE orgs AS (
            (SELECT org_id FROM audit_pending ORDER BY org_id LIMIT 1)
            UNION ALL
            SELECT (SELECT p.org_id FROM audit_pending p WHERE p.org_id > orgs.org_id ORDER BY p.org_id LIMIT 1)
            FROM orgs WHERE orgs.org_id IS NOT NULL
        )
        SELECT org_id FROM orgs WHERE org_id IS NOT NULL
    $$;

-- Organisations whose chain has grown since its last checkpoint.
CREATE FUNCTION audit_unsigned() RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
        SELECT h.org_id FROM audit_head h
        WHERE h.seq > coalesce((SELECT max(c.seq) FROM audit_checkpoint c WHERE c.org_id = h.org_id), 0)
    $$;

-- Every organisation that there is, or that the log knows.
CREATE FUNCTION audit_orgs() RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
        SELECT org_id FROM org UNION SELECT org_id FROM audit_head UNION SELECT org_id FROM audit_checkpoint
        ORDER BY 1
    $$;

-- Says which kinds change something. A kind stays once it was said.
CREATE FUNCTION audit_declare(kinds text[], effects text[]) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
        INSERT INTO audited_kind AS a (kind, effect)
        SELECT t.kind, t.effect FROM unnest(kinds, effects) AS t(kind, effect) ORDER BY t.kind
        ON CONFLICT (kind) DO UPDATE SET effect = excluded.effect WHERE a.effect <> excluded.effect
    $$;

REVOKE ALL ON FUNCTION audit_extend(uuid, integer), audit_waiting(), audit_unsigned(), audit_orgs(),
    audit_declare(text[], text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit_extend(uuid, integer), audit_waiting(), audit_unsigned(), audit_orgs(),
    audit_declare(text[], text[]) TO countersign_app;

-- Jobs that somebody asked for, and the ends of jobs that change something, are written down where they
-- happen: in the statement that enters them into the ledger, whoever runs it. One entry stands for all jobs
-- of a statement that belong together. Contents have the fields of other entries, in the same order.
CREATE FUNCTION audit_jobs_made() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM made m
                   WHERE m.actor_id IS NOT NULL AND m.claim_no = 0 AND m.parent_job_id IS NULL) THEN
        RETURN NULL;
    END IF;
    WITH by_kind AS (
        SELECT m.org_id, m.actor_id, m.request_id, m.kind, count(*) AS jobs,
               array_to_string((array_agg(m.job_id ORDER BY m.job_id))[1:100], ',') AS ids,
               string_agg(DISTINCT coalesce(m.workspace_id::text, ''), ',') AS rooms
        FROM made m
        WHERE m.actor_id IS NOT NULL AND m.claim_no = 0 AND m.parent_job_id IS NULL
        GROUP BY m.org_id, m.actor_id, m.request_id, m.kind
    ), asked AS MATERIALIZED (
        SELECT uuidv7() AS entry_id, clock_timestamp() AS at, k.org_id, k.actor_id, k.request_id,
               sum(k.jobs)::bigint AS jobs, json_object_agg(k.kind, k.jobs ORDER BY k.kind) AS kinds,
               (string_to_array(string_agg(k.ids, ',' ORDER BY k.kind), ','))[1:100] AS ids,
               string_agg(DISTINCT k.rooms, ',') AS rooms
        FROM by_kind k GROUP BY k.org_id, k.actor_id, k.request_id
    ), told AS MATERIALIZED (
        SELECT a.*, CASE WHEN length(a.rooms) = 36 THEN a.rooms::uuid END AS workspace_id,
               CASE WHEN a.jobs = 1 THEN a.ids[1]::uuid END AS job_id,
               CASE WHEN a.jobs = 1 THEN 'job' ELSE 'jobs' END AS subject_kind,
               coalesce(CASE WHEN a.actor_id = current_actor() THEN acting_role() END, p.role, w.kind, 'unknown')
                   AS standing
        FROM asked a
        LEFT JOIN actor w ON w.actor_id = a.actor_id AND w.org_id = a.org_id
        LEFT JOIN member p ON p.org_id = a.org_id AND p.actor_id = a.actor_id
    )
    INSERT INTO audit_entry (entry_id, org_id, at, actor_id, standing, action, subject_kind, subject_id,
                             workspace_id, job_id, request_id, content)
    SELECT t.entry_id, t.org_id, t.at, t.actor_id, t.standing, 'job.enqueue', t.subject_kind, t.ids[1],
           t.workspace_id, t.job_id, t.request_id,
           json_strip_nulls(json_build_object(
               'entry_id', t.entry_id, 'org_id', t.org_id,
               'at', to_char(t.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
               'actor_id', t.actor_id, 'standing', t.standing, 'action', 'job.enqueue',
               'subject_kind', t.subject_kind, 'subject_id', t.ids[1], 'workspace_id', t.workspace_id,
               'job_id', t.job_id, 'request_id', t.request_id,
               'session_id', CASE WHEN t.actor_id = current_actor() THEN current_session() END,
               'after', json_build_object('count', t.jobs, 'kinds', t.kinds, 'job_ids', t.ids)))::text
    FROM told t;
    RETURN NULL;
END
$$;
CREATE TRIGGER audit_jobs_made AFTER INSERT ON job
    REFERENCING NEW TABLE AS made FOR EACH STATEMENT EXECUTE FUNCTION audit_jobs_made();

CREATE FUNCTION audit_jobs_ended() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM ended e JOIN audited_kind k ON k.kind = e.kind) THEN
        RETURN NULL;
    END IF;
    WITH gone AS MATERIALIZED (
        SELECT uuidv7() AS entry_id, clock_timestamp() AS at, e.org_id, e.kind, e.state, count(*) AS jobs,
               (array_agg(e.job_id ORDER BY e.job_id))[1:500] AS ids,
               CASE WHEN count(*) = 1 THEN min(e.request_id) END AS request_id,
               string_agg(DISTINCT coalesce(e.workspace_id::text, ''), ',') AS rooms
        FROM ended e JOIN audited_kind k ON k.kind = e.kind
        GROUP BY e.org_id, e.kind, e.state
    ), told AS MATERIALIZED (
        SELECT g.*, 'job.' || g.state AS action,
               CASE WHEN length(g.rooms) = 36 THEN g.rooms::uuid END AS workspace_id,
               CASE WHEN g.jobs = 1 THEN g.ids[1] END AS job_id,
               CASE WHEN g.jobs = 1 THEN 'job' ELSE 'kind' END AS subject_kind,
               CASE WHEN g.jobs = 1 THEN g.ids[1]::text ELSE g.kind END AS subject_id
        FROM gone g
    )
    INSERT INTO audit_entry (entry_id, org_id, at, standing, action, subject_kind, subject_id,
                             workspace_id, job_id, request_id, content)
    SELECT t.entry_id, t.org_id, t.at, 'system', t.action, t.subject_kind, t.subject_id,
           t.workspace_id, t.job_id, t.request_id,
           json_strip_nulls(json_build_object(
               'entry_id', t.entry_id, 'org_id', t.org_id,
               'at', to_char(t.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
               'standing', 'system', 'action', t.action, 'subject_kind', t.subject_kind,
               'subject_id', t.subject_id, 'workspace_id', t.workspace_id, 'job_id', t.job_id,
               'request_id', t.request_id,
               'after', json_build_object('count', t.jobs, 'kind', t.kind, 'job_ids', t.ids)))::text
    FROM told t;
    RETURN NULL;
END
$$;
CREATE TRIGGER audit_jobs_ended AFTER INSERT ON job_history
    REFERENCING NEW TABLE AS ended FOR EACH STATEMENT EXECUTE FUNCTION audit_jobs_ended();

-- Whoever may call a trigger's function may hang it on a table of their own and have it act as the owner.
REVOKE ALL ON FUNCTION audit_entry_noted(), audit_jobs_made(), audit_jobs_ended(), audit_append_only(),
    audit_head_moves_on() FROM PUBLIC;
