-- Who is who: organisations, their workspaces, the actors that do things, and API tokens.
--
-- Roles. Two database roles exist besides the owner of the tables (who migrates and nothing else):
--   countersign_app     what the API and domain code log in as: sees one organisation at a time
--   countersign_engine  what the queue engine logs in as: sees every organisation's jobs, and only jobs
-- Neither owns a table and neither can bypass row-level security. They are created without a
-- password and without LOGIN; deployments that log in as them say so with ALTER ROLE.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'countersign_app') THEN
        CREATE ROLE countersign_app NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'countersign_engine') THEN
        CREATE ROLE countersign_engine NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE;
    END IF;
EXCEPTION
    -- Roles belong to the cluster: two databases migrating at once may both try.
    WHEN duplicate_object OR unique_violation THEN NULL;
END
$$;

-- The migrating login must be able to act as these roles (SET ROLE) when one URL serves all. Since
-- PostgreSQL 16 a role's creator may grant it but not yet act as it, so the grant is always made.
DO $$
BEGIN
    EXECUTE format('GRANT countersign_app, countersign_engine TO %I', current_user);
EXCEPTION
    -- Somebody else created the roles and granted what they saw fit.
    WHEN insufficient_privilege THEN NULL;
END
$$;

REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO countersign_app, countersign_engine;

-- What a transaction was opened for. Unset or empty means nobody, and nobody sees nothing.
CREATE FUNCTION current_org() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(current_setting('countersign.org', true), '')::uuid;

CREATE FUNCTION current_actor() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(current_setting('countersign.actor', true), '')::uuid;

CREATE TABLE org (
    org_id     uuid PRIMARY KEY,
    slug       text NOT NULL,
    name       text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT org_slug_unique UNIQUE (slug),
    CONSTRAINT org_slug_shape CHECK (slug ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
    CONSTRAINT org_name_length CHECK (length(name) BETWEEN 1 AND 200)
);

CREATE TABLE workspace (
    workspace_id uuid PRIMARY KEY,
    org_id       uuid NOT NULL REFERENCES org,
    slug         text NOT NULL,
    name         text NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT workspace_slug_unique UNIQUE (org_id, slug),
    CONSTRAINT workspace_slug_shape CHECK (slug ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
    CONSTRAINT workspace_org_unique UNIQUE (org_id, workspace_id)
);

-- Anything that acts: a token, later a person; `system` is the platform itself inside one org.
CREATE TABLE actor (
    actor_id   uuid PRIMARY KEY,
    org_id     uuid NOT NULL REFERENCES org,
    kind       text NOT NULL,
    name       text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT actor_kind_known CHECK (kind IN ('token', 'person', 'system')),
    CONSTRAINT actor_name_length CHECK (length(name) BETWEEN 1 AND 200),
    CONSTRAINT actor_org_unique UNIQUE (org_id, actor_id)
);

-- Tokens are stored as SHA-256 of 256 random bits: nothing to guess, so no slow hash is needed.
CREATE TABLE api_token (
    token_id     uuid PRIMARY KEY,
    org_id       uuid NOT NULL,
    actor_id     uuid NOT NULL,
    name         text NOT NULL,
    token_hash   bytea NOT NULL,
    scopes       text[] NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz,
    CONSTRAINT api_token_hash_unique UNIQUE (token_hash),
    CONSTRAINT api_token_hash_size CHECK (octet_length(token_hash) = 32),
    CONSTRAINT api_token_scopes_some CHECK (cardinality(scopes) > 0),
    CONSTRAINT api_token_actor FOREIGN KEY (org_id, actor_id) REFERENCES actor (org_id, actor_id)
);
CREATE INDEX api_token_by_org ON api_token (org_id, created_at DESC);

ALTER TABLE org ENABLE ROW LEVEL SECURITY;
ALTER TABLE org FORCE ROW LEVEL SECURITY;
ALTER TABLE workspace ENABLE ROW LEVEL SECURITY;
ALTER TABLE workspace FORCE ROW LEVEL SECURITY;
ALTER TABLE actor ENABLE ROW LEVEL SECURITY;
ALTER TABLE actor FORCE ROW LEVEL SECURITY;
ALTER TABLE api_token ENABLE ROW LEVEL SECURITY;
ALTER TABLE api_token FORCE ROW LEVEL SECURITY;

CREATE POLICY org_own ON org TO countersign_app
    USING (org_id = current_org()) WITH CHECK (org_id = current_org());
CREATE POLICY workspace_own ON workspace TO countersign_app
    USING (org_id = current_org()) WITH CHECK (org_id = current_org());
CREATE POLICY actor_own ON actor TO countersign_app
    USING (org_id = current_org()) WITH CHECK (org_id = current_org());
CREATE POLICY api_token_own ON api_token TO countersign_app
    USING (org_id = current_org()) WITH CHECK (org_id = current_org());

GRANT SELECT, INSERT, UPDATE ON org, workspace, actor, api_token TO countersign_app;

-- A bearer token arrives before anybody knows its organisation, and a command line names an organisation
-- by its slug. These are the two questions that may be asked from outside; each answers only to the
-- exact value. FORCE binds the owner too, so the functions' owner needs a policy of its own to read.
CREATE POLICY api_token_lookup ON api_token FOR SELECT TO CURRENT_USER USING (true);
CREATE POLICY org_lookup ON org FOR SELECT TO CURRENT_USER USING (true);

CREATE FUNCTION api_token_lookup(hash bytea)
    RETURNS TABLE (token_id uuid, org_id uuid, actor_id uuid, name text, scopes text[],
                   expires_at timestamptz, revoked_at timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
        SELECT t.token_id, t.org_id, t.actor_id, t.name, t.scopes, t.expires_at, t.revoked_at
        FROM api_token t WHERE t.token_hash = hash
    $$;

CREATE FUNCTION org_lookup(wanted text)
    RETURNS uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ SELECT o.org_id FROM org o WHERE o.slug = wanted $$;

REVOKE ALL ON FUNCTION api_token_lookup(bytea), org_lookup(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION api_token_lookup(bytea), org_lookup(text) TO countersign_app;
