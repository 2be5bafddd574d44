-- Inbound webhooks: the addresses at which providers' events arrive, and what arrived, as it came.

CREATE TABLE hook_endpoint (
    hook_endpoint_id uuid PRIMARY KEY,           -- part of the address
    org_id           uuid NOT NULL REFERENCES org,
    workspace_id     uuid,                       -- null: of the whole organisation
    provider         text NOT NULL,              -- how its signatures read: standard, stripe …
    name             text NOT NULL,
    secrets_sealed   bytea[] NOT NULL,           -- newest first; the one before while it is being exchanged
    tolerance_s      integer NOT NULL DEFAULT 300, -- how far a signed time may lie from now, either way
    forward_url      text,                       -- where what arrived is sent on to
    enabled          boolean NOT NULL DEFAULT true,
    created_by       uuid,
    created_at       timestamptz NOT NULL DEFAULT now(),
    changed_at       timestamptz NOT NULL DEFAULT now(),
    secret_changed_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT hook_endpoint_name_unique UNIQUE (org_id, name),
    CONSTRAINT hook_endpoint_org_unique UNIQUE (org_id, hook_endpoint_id),
    CONSTRAINT hook_endpoint_room FOREIGN KEY (org_id, workspace_id) REFERENCES workspace (org_id, workspace_id),
    CONSTRAINT hook_endpoint_name_length CHECK (length(name) BETWEEN 1 AND 100),
    CONSTRAINT hook_endpoint_provider_shape CHECK (provider ~ '^[a-z][a-z0-9_]{0,39}$'),
    CONSTRAINT hook_endpoint_secrets_some CHECK (cardinality(secrets_sealed) BETWEEN 1 AND 2),
    CONSTRAINT hook_endpoint_tolerance_range CHECK (tolerance_s BETWEEN 30 AND 3600),
    CONSTRAINT hook_endpoint_forward_length CHECK (length(forward_url) <= 2048)
);

CREATE TABLE hook_event (
    hook_event_id     uuid PRIMARY KEY,          -- version 7: in the order of arrival
    org_id            uuid NOT NULL,
    workspace_id      uuid,
    hook_endpoint_id  uuid NOT NULL,
    provider          text NOT NULL,
    provider_event_id text NOT NULL,             -- by which repeats are recognised
    event_type        text,                      -- as the provider calls it; null until it was processed
    received_at       timestamptz NOT NULL DEFAULT now(),
    headers           jsonb NOT NULL,            -- only those that tell something and are no secret
    body              bytea NOT NULL,            -- exactly what was signed
    state             text NOT NULL DEFAULT 'received',
    job_id            uuid NOT NULL,             -- the job that processes it; the newest one after a replay
    processed_at      timestamptz,
    result            text,                      -- what became of it, or why it could not be processed
    CONSTRAINT hook_event_once UNIQUE (hook_endpoint_id, provider_event_id),
    CONSTRAINT hook_event_endpoint FOREIGN KEY (org_id, hook_endpoint_id)
        REFERENCES hook_endpoint (org_id, hook_endpoint_id),
    CONSTRAINT hook_event_state_known CHECK (state IN ('received', 'processed', 'failed')),
    CONSTRAINT hook_event_id_length CHECK (length(provider_event_id) BETWEEN 1 AND 255),
    CONSTRAINT hook_event_body_size CHECK (octet_length(body) <= 1048576)
);
CREATE INDEX hook_event_by_org ON hook_event (org_id, hook_event_id DESC);
CREATE INDEX hook_event_by_endpoint ON hook_event (org_id, hook_endpoint_id, hook_event_id DESC);
CREATE INDEX hook_event_failed ON hook_event (org_id, hook_event_id DESC) WHERE state = 'failed';

DO $$
DECLARE t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['hook_endpoint', 'hook_event'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
        EXECUTE format(
            'CREATE POLICY %I ON %I FOR SELECT TO countersign_app
             USING (org_id = (SELECT current_org()) AND (SELECT may(''hooks:read''))
                    AND ((SELECT sees_all_workspaces()) OR workspace_id = ANY ((SELECT seen_workspaces())::uuid[])))',
            t || '_read', t);
        EXECUTE format(
            'CREATE POLICY %I ON %I FOR UPDATE TO countersign_app
             USING (org_id = (SELECT current_org()) AND (SELECT may(''hooks:write''))
                    AND ((SELECT sees_all_workspaces()) OR workspace_id = ANY ((SELECT seen_workspaces())::uuid[])))
             WITH CHECK (org_id = (SELECT current_org()))', t || '_update', t);
    END LOOP;
END
$$;
CREATE POLICY hook_endpoint_insert ON hook_endpoint FOR INSERT TO countersign_app
    WITH CHECK (org_id = (SELECT current_org()) AND (SELECT may('hooks:write'))
           AND ((SELECT sees_all_workspaces()) OR workspace_id = ANY ((SELECT seen_workspaces())::uuid[])));
-- What arrives is written by the door, and by nobody in its name.
CREATE POLICY hook_event_insert ON hook_event FOR INSERT TO countersign_app
    WITH CHECK (org_id = (SELECT current_org()) AND (SELECT acting_role()) = 'system');
GRANT SELECT, INSERT ON hook_endpoint, hook_event TO countersign_app;
GRANT UPDATE (name, secrets_sealed, tolerance_s, forward_url, enabled, changed_at, secret_changed_at)
    ON hook_endpoint TO countersign_app;
GRANT UPDATE (event_type, state, job_id, processed_at, result) ON hook_event TO countersign_app;

-- A provider's request names an address and nothing else; it answers only to the exact one.
CREATE POLICY hook_endpoint_owner ON hook_endpoint FOR SELECT TO CURRENT_USER USING (true);
CREATE FUNCTION hook_endpoint_lookup(wanted uuid)
    RETURNS TABLE (org_id uuid, workspace_id uuid, provider text, secrets_sealed bytea[], tolerance_s integer,
                   enabled boolean)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
        SELECT h.org_id, h.workspace_id, h.provider, h.secrets_sealed, h.tolerance_s, h.enabled
        FROM hook_endpoint h WHERE h.hook_endpoint_id = wanted
    $$;
-- Whose endpoints there are, for whoever seals their secrets anew.
CREATE FUNCTION hook_endpoint_orgs() RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ SELECT DISTINCT h.org_id FROM hook_endpoint h ORDER BY 1 $$;
REVOKE ALL ON FUNCTION hook_endpoint_lookup(uuid), hook_endpoint_orgs() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hook_endpoint_lookup(uuid), hook_endpoint_orgs() TO countersign_app;
