-- Provider credentials: sealed by the API, which can't open them, and opened by workers under a role of
-- their own.
--
--   countersign_app    stores and replaces them, sees everything about them but the sealed bytes
--   countersign_vault  reads the sealed bytes, of one organisation at a time, and nothing else at all
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'countersign_vault') THEN
        CREATE ROLE countersign_vault NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE;
    END IF;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL;
END
$$;
DO $$
BEGIN
    EXECUTE format('GRANT countersign_vault TO %I', current_user);
EXCEPTION
    WHEN insufficient_privilege THEN NULL;
END
$$;
GRANT USAGE ON SCHEMA public TO countersign_vault;

CREATE TABLE secret (
    secret_id      uuid PRIMARY KEY,
    org_id         uuid NOT NULL REFERENCES org,
    workspace_id   uuid,                    -- null: of the whole organisation
    name           text NOT NULL,           -- by which jobs ask for it
    kind           text NOT NULL,           -- what sort of value: api_key, password, webhook_secret …
    owner_system   text NOT NULL,           -- the outside system it belongs to
    owner_actor    uuid,                    -- who stored it; null: an operator at the command line
    version        integer NOT NULL DEFAULT 1, -- part of what the seal is bound to
    key_id         text NOT NULL,           -- the key that wraps this value's own
    wrapped_key    bytea NOT NULL,
    ciphertext     bytea NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    replaced_at    timestamptz,
    expires_at     timestamptz,             -- when the outside system stops taking it; for people, not enforced
    last_opened_at timestamptz,
    CONSTRAINT secret_name_unique UNIQUE (org_id, name),
    CONSTRAINT secret_org_unique UNIQUE (org_id, secret_id),
    CONSTRAINT secret_room FOREIGN KEY (org_id, workspace_id) REFERENCES workspace (org_id, workspace_id),
    CONSTRAINT secret_name_shape CHECK (name ~ '^[a-z0-9]([a-z0-9._-]{0,98}[a-z0-9])?$'),
    CONSTRAINT secret_kind_shape CHECK (kind ~ '^[a-z][a-z0-9_]{0,39}$'),
    CONSTRAINT secret_owner_system_length CHECK (length(owner_system) BETWEEN 1 AND 100)
);
CREATE INDEX secret_by_key ON secret (key_id, secret_id);

-- Which job kinds opened it: the map of who uses what.
CREATE TABLE secret_use (
    secret_id uuid NOT NULL,
    org_id    uuid NOT NULL,
    used_by   text NOT NULL,                -- job kind
    first_at  timestamptz NOT NULL DEFAULT now(),
    last_at   timestamptz NOT NULL DEFAULT now(),
    uses      bigint NOT NULL DEFAULT 1,    -- counted by each worker and added up every few seconds
    PRIMARY KEY (secret_id, used_by),
    CONSTRAINT secret_use_secret FOREIGN KEY (org_id, secret_id)
        REFERENCES secret (org_id, secret_id) ON DELETE CASCADE,
    CONSTRAINT secret_use_by_length CHECK (length(used_by) BETWEEN 1 AND 100)
);

ALTER TABLE secret ENABLE ROW LEVEL SECURITY;
ALTER TABLE secret FORCE ROW LEVEL SECURITY;
ALTER TABLE secret_use ENABLE ROW LEVEL SECURITY;
ALTER TABLE secret_use FORCE ROW LEVEL SECURITY;

CREATE POLICY secret_read ON secret FOR SELECT TO countersign_app
    USING (org_id = (SELECT current_org()) AND (SELECT may('secrets:read'))
           AND ((SELECT sees_all_workspaces()) OR workspace_id = ANY ((SELECT seen_workspaces())::uuid[])));
CREATE POLICY secret_insert ON secret FOR INSERT TO countersign_app
    WITH CHECK (org_id = (SELECT current_org()) AND (SELECT may('secrets:write'))
           AND ((SELECT sees_all_workspaces()) OR workspace_id = ANY ((SELECT seen_workspaces())::uuid[])));
CREATE POLICY secret_update ON secret FOR UPDATE TO countersign_app
    USING (org_id = (SELECT current_org()) AND (SELECT may('secrets:write'))
           AND ((SELECT sees_all_workspaces()) OR workspace_id = ANY ((SELECT seen_workspaces())::uuid[])))
    WITH CHECK (org_id = (SELECT current_org()));
CREATE POLICY secret_delete ON secret FOR DELETE TO countersign_app
    USING (org_id = (SELECT current_org()) AND (SELECT may('secrets:write'))
           AND ((SELECT sees_all_workspaces()) OR workspace_id = ANY ((SELECT seen_workspaces())::uuid[])));
CREATE POLICY secret_use_read ON secret_use FOR SELECT TO countersign_app
    USING (org_id = (SELECT current_org()) AND (SELECT may('secrets:read'))
           AND EXISTS (SELECT FROM secret s WHERE s.secret_id = secret_use.secret_id));
-- Everything but the sealed bytes.
GRANT SELECT (secret_id, org_id, workspace_id, name, kind, owner_system, owner_actor, version, key_id, created_at,
              replaced_at, expires_at, last_opened_at) ON secret TO countersign_app;
GRANT INSERT (secret_id, org_id, workspace_id, name, kind, owner_system, owner_actor, version, key_id, wrapped_key,
              ciphertext, expires_at) ON secret TO countersign_app;
GRANT UPDATE (owner_system, version, key_id, wrapped_key, ciphertext, replaced_at, expires_at) ON secret
    TO countersign_app;
GRANT DELETE ON secret TO countersign_app;
GRANT SELECT ON secret_use TO countersign_app;

CREATE POLICY secret_vault ON secret TO countersign_vault
    USING (org_id = (SELECT current_org())) WITH CHECK (org_id = (SELECT current_org()));
CREATE POLICY secret_use_vault ON secret_use TO countersign_vault
    USING (org_id = (SELECT current_org())) WITH CHECK (org_id = (SELECT current_org()));
GRANT SELECT (secret_id, org_id, workspace_id, name, version, key_id, wrapped_key, ciphertext) ON secret
    TO countersign_vault;
GRANT UPDATE (key_id, wrapped_key, last_opened_at) ON secret TO countersign_vault;
GRANT SELECT, INSERT ON secret_use TO countersign_vault;
GRANT UPDATE (last_at, uses) ON secret_use TO countersign_vault;

-- Whoever rotates keys goes through the organisations one by one; this says which there are, and how many
-- values each key holds.
CREATE POLICY secret_owner ON secret FOR SELECT TO CURRENT_USER USING (true);
CREATE FUNCTION secret_keys() RETURNS TABLE (org_id uuid, key_id text, secrets bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ SELECT s.org_id, s.key_id, count(*) FROM secret s GROUP BY 1, 2 ORDER BY 1, 2 $$;
REVOKE ALL ON FUNCTION secret_keys() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION secret_keys() TO countersign_vault;

-- Whose second factor's seed is sealed, for whoever seals them anew; the seeds themselves are seen by a
-- transaction of each account alone.
CREATE FUNCTION accounts_with_seeds() RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
        SELECT a.account_id FROM account a
        WHERE a.totp_sealed IS NOT NULL OR a.totp_pending_sealed IS NOT NULL ORDER BY 1
    $$;
REVOKE ALL ON FUNCTION accounts_with_seeds() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION accounts_with_seeds() TO countersign_app;
