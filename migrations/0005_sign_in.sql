-- Sign-in: sessions, second factors, resets, known devices, identities, and how guessing is slowed.
-- Nothing here can be used to sign in by whoever reads it: tokens and codes are kept as SHA-256, seeds sealed.

-- One sign-in of one person on one device, in one organisation.
CREATE TABLE session (
    session_id    uuid PRIMARY KEY,
    org_id        uuid NOT NULL,
    account_id    uuid NOT NULL REFERENCES account,
    actor_id      uuid NOT NULL,
    token_hash    bytea NOT NULL,
    created_at    timestamptz NOT NULL,
    last_seen_at  timestamptz NOT NULL,              -- to the minute; unused for 14 days, it is over
    expires_at    timestamptz NOT NULL,
    revoked_at    timestamptz,
    address       inet,                              -- where it began
    user_agent    text,
    second_factor boolean NOT NULL DEFAULT false,    -- whether it began with one
    step_up_at    timestamptz,                       -- when a code was last shown again
    CONSTRAINT session_token_unique UNIQUE (token_hash),
    CONSTRAINT session_member FOREIGN KEY (org_id, actor_id) REFERENCES member (org_id, actor_id),
    CONSTRAINT session_hash_size CHECK (length(token_hash) = 32),
    CONSTRAINT session_user_agent_length CHECK (length(user_agent) <= 300)
);
CREATE INDEX session_by_account ON session (account_id, session_id);
CREATE INDEX session_by_member ON session (org_id, actor_id, session_id);

-- A way to set a password without knowing the old one. The token is made by the worker that mails it.
CREATE TABLE password_reset (
    reset_id   uuid PRIMARY KEY,
    org_id     uuid NOT NULL REFERENCES org,         -- whose mail job it is
    account_id uuid NOT NULL REFERENCES account,
    locale     text,                                 -- asked for; null: the account's own
    token_hash bytea,                                -- null until the mail is made
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at    timestamptz,
    CONSTRAINT password_reset_token_unique UNIQUE (token_hash),
    CONSTRAINT password_reset_hash_size CHECK (length(token_hash) = 32)
);
CREATE INDEX password_reset_by_account ON password_reset (account_id);

-- Stand in for the second factor when the device is lost; each works once.
CREATE TABLE recovery_code (
    account_id uuid NOT NULL REFERENCES account,
    code_hash  bytea NOT NULL,
    created_at timestamptz NOT NULL,
    used_at    timestamptz,
    PRIMARY KEY (account_id, code_hash)
);

-- Who somebody is at an identity provider.
CREATE TABLE identity (
    issuer       text NOT NULL,
    subject      text NOT NULL,
    account_id   uuid NOT NULL REFERENCES account,
    linked_at    timestamptz NOT NULL,
    last_used_at timestamptz NOT NULL,
    PRIMARY KEY (issuer, subject)
);
CREATE INDEX identity_by_account ON identity (account_id);

-- A browser on its way to an identity provider and back. Sealed values are opened by a worker.
CREATE TABLE oidc_flow (
    flow_id         uuid PRIMARY KEY,
    org_id          uuid NOT NULL REFERENCES org,    -- whose jobs do the talking
    state_hash      bytea NOT NULL,
    browser_hash    bytea NOT NULL,                  -- the short cookie of the browser that left
    sealed          bytea NOT NULL,                  -- nonce and PKCE verifier
    return_to       text NOT NULL,                   -- a path of ours
    created_at      timestamptz NOT NULL,
    expires_at      timestamptz NOT NULL,
    authorize_page  jsonb,                           -- where the browser is sent, as the worker learnt
    code_sealed     bytea,
    came_back_at    timestamptz,                     -- a way back is gone once
    outcome         jsonb,                           -- {"identity": …} or {"fault": …}
    CONSTRAINT oidc_flow_state_unique UNIQUE (state_hash)
);

-- Browsers that have signed in to an account before: they are not slowed by what strangers do.
CREATE TABLE known_device (
    device_hash  bytea NOT NULL,
    account_id   uuid NOT NULL REFERENCES account,
    created_at   timestamptz NOT NULL,
    last_used_at timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    PRIMARY KEY (device_hash, account_id)
);
CREATE INDEX known_device_by_account ON known_device (account_id);

-- How far ahead of the clock tries have run, by account, address or device (GCRA). A row whose time has
-- come says the same as no row.
CREATE TABLE sign_in_throttle (
    key bytea PRIMARY KEY,                           -- SHA-256 of what it is about
    tat timestamptz NOT NULL                         -- theoretical arrival time of the next try
);
CREATE INDEX sign_in_throttle_by_tat ON sign_in_throttle (tat);

DO $$
DECLARE t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['session', 'password_reset', 'recovery_code', 'identity', 'oidc_flow',
                             'known_device', 'sign_in_throttle'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
        -- The functions' owner looks things up before anybody knows whose they are, and prunes.
        EXECUTE format('CREATE POLICY %I ON %I TO CURRENT_USER USING (true) WITH CHECK (true)', t || '_owner', t);
    END LOOP;
END
$$;

-- One's own sessions wherever they are, and those of the organisation for whoever looks after its people.
CREATE POLICY session_read ON session FOR SELECT TO countersign_app
    USING (account_id = (SELECT current_account())
           OR (org_id = (SELECT current_org()) AND (SELECT may('people:write'))));
CREATE POLICY session_insert ON session FOR INSERT TO countersign_app
    WITH CHECK (account_id = (SELECT current_account()) AND org_id = (SELECT current_org()));
CREATE POLICY session_update ON session FOR UPDATE TO countersign_app
    USING (account_id = (SELECT current_account())
           OR (org_id = (SELECT current_org()) AND (SELECT may('people:write'))))
    WITH CHECK (account_id = (SELECT current_account())
                OR (org_id = (SELECT current_org()) AND (SELECT may('people:write'))));
GRANT SELECT, INSERT, UPDATE (last_seen_at, revoked_at, step_up_at) ON session TO countersign_app;

-- Nobody who is signed in has to do with resets and flows: the platform asks and answers.
CREATE POLICY password_reset_read ON password_reset FOR SELECT TO countersign_app
    USING (org_id = (SELECT current_org()) AND (SELECT acting_role()) = 'system');
CREATE POLICY password_reset_insert ON password_reset FOR INSERT TO countersign_app
    WITH CHECK (org_id = (SELECT current_org()) AND (SELECT acting_role()) = 'system');
CREATE POLICY password_reset_update ON password_reset FOR UPDATE TO countersign_app
    USING (org_id = (SELECT current_org()) AND (SELECT acting_role()) = 'system')
    WITH CHECK (org_id = (SELECT current_org()));
GRANT SELECT, INSERT, UPDATE (token_hash, used_at) ON password_reset TO countersign_app;
CREATE POLICY oidc_flow_read ON oidc_flow FOR SELECT TO countersign_app
    USING (org_id = (SELECT current_org()) AND (SELECT acting_role()) = 'system');
CREATE POLICY oidc_flow_insert ON oidc_flow FOR INSERT TO countersign_app
    WITH CHECK (org_id = (SELECT current_org()) AND (SELECT acting_role()) = 'system');
CREATE POLICY oidc_flow_update ON oidc_flow FOR UPDATE TO countersign_app
    USING (org_id = (SELECT current_org()) AND (SELECT acting_role()) = 'system')
    WITH CHECK (org_id = (SELECT current_org()));
GRANT SELECT, INSERT, UPDATE (authorize_page, code_sealed, came_back_at, outcome) ON oidc_flow TO countersign_app;

CREATE POLICY recovery_code_self ON recovery_code TO countersign_app
    USING (account_id = (SELECT current_account())) WITH CHECK (account_id = (SELECT current_account()));
GRANT SELECT, INSERT, UPDATE (used_at), DELETE ON recovery_code TO countersign_app;
CREATE POLICY identity_self ON identity TO countersign_app
    USING (account_id = (SELECT current_account())) WITH CHECK (account_id = (SELECT current_account()));
GRANT SELECT, INSERT, UPDATE (last_used_at), DELETE ON identity TO countersign_app;
CREATE POLICY known_device_self ON known_device TO countersign_app
    USING (account_id = (SELECT current_account())) WITH CHECK (account_id = (SELECT current_account()));
GRANT SELECT, INSERT, UPDATE (last_used_at, expires_at), DELETE ON known_device TO countersign_app;

-- A session by the hash of its token, or by its id (which an access token carries), with what its person is
-- and sees now.
CREATE FUNCTION session_lookup(hash bytea, id uuid)
    RETURNS TABLE (session_id uuid, token_hash bytea, account_id uuid, org_id uuid, actor_id uuid, role text,
                   all_workspaces boolean, workspaces uuid[], last_seen_at timestamptz, expires_at timestamptz,
                   revoked_at timestamptz, step_up_at timestamptz, second_factor boolean, disabled boolean)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
        SELECT s.session_id, s.token_hash, s.account_id, s.org_id, s.actor_id, m.role, m.all_workspaces,
               coalesce((SELECT array_agg(w.workspace_id ORDER BY w.workspace_id) FROM member_workspace w
                         WHERE w.org_id = s.org_id AND w.actor_id = s.actor_id), '{}'),
               s.last_seen_at, s.expires_at, s.revoked_at, s.step_up_at, s.second_factor,
               m.disabled_at IS NOT NULL OR a.disabled_at IS NOT NULL
        FROM session s
        JOIN member m ON m.org_id = s.org_id AND m.actor_id = s.actor_id AND m.account_id = s.account_id
        JOIN account a ON a.account_id = s.account_id
        WHERE s.token_hash = hash OR s.session_id = id
    $$;

-- What a sign-in is checked against; one question whether there is such an account or not.
CREATE FUNCTION account_for_sign_in(wanted text)
    RETURNS TABLE (account_id uuid, password_hash text, totp_sealed bytea, disabled boolean)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
        SELECT a.account_id, a.password_hash, a.totp_sealed, a.disabled_at IS NOT NULL
        FROM account a WHERE a.email = lower(wanted)
    $$;

CREATE FUNCTION known_device_check(wanted text, hash bytea, at timestamptz)
    RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
        SELECT EXISTS (SELECT FROM known_device d JOIN account a ON a.account_id = d.account_id
                       WHERE d.device_hash = hash AND a.email = lower(wanted) AND d.expires_at > at)
    $$;

CREATE FUNCTION password_reset_lookup(hash bytea)
    RETURNS TABLE (reset_id uuid, org_id uuid, account_id uuid, email text, name text, expires_at timestamptz,
                   used_at timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
        SELECT r.reset_id, r.org_id, r.account_id, a.email, a.name, r.expires_at, r.used_at
        FROM password_reset r JOIN account a ON a.account_id = r.account_id
        WHERE r.token_hash = hash AND a.disabled_at IS NULL
    $$;

CREATE FUNCTION identity_lookup(of_issuer text, of_subject text)
    RETURNS uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ SELECT i.account_id FROM identity i WHERE i.issuer = of_issuer AND i.subject = of_subject $$;

CREATE FUNCTION oidc_flow_lookup(hash bytea)
    RETURNS TABLE (flow_id uuid, org_id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ SELECT f.flow_id, f.org_id FROM oidc_flow f WHERE f.state_hash = hash $$;

-- Whose workers talk to the identity provider, before anybody knows who is coming: the oldest organisation's.
CREATE FUNCTION oidc_home()
    RETURNS uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ SELECT o.org_id FROM org o ORDER BY o.created_at, o.org_id LIMIT 1 $$;

-- Takes one try from each bucket, or none and answers for how many milliseconds there is none to take.
-- `every_ms`: one try comes back that often; `bursts`: tries at once. The first look takes no lock, so that a
-- flood of refused tries does not queue up for one row. Keys come in one order of sorts (address before
-- account), so that no two tries wait for each other in a circle.
CREATE FUNCTION sign_in_admit(keys bytea[], every_ms bigint[], bursts integer[], at timestamptz)
    RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    i    integer;
    gap  interval;
    room interval;
    till timestamptz;
    wait bigint := 0;
BEGIN
    FOR i IN 1 .. cardinality(keys) LOOP
        gap := every_ms[i] * interval '1 millisecond';
        room := gap * bursts[i];
        SELECT t.tat INTO till FROM sign_in_throttle t WHERE t.key = keys[i];
        IF FOUND AND till + gap > at + room THEN
            wait := greatest(wait, ceil(extract(epoch FROM till + gap - at - room) * 1000)::bigint);
        END IF;
    END LOOP;
    IF wait > 0 THEN
        RETURN wait;
    END IF;
    FOR i IN 1 .. cardinality(keys) LOOP
        gap := every_ms[i] * interval '1 millisecond';
        room := gap * bursts[i];
        INSERT INTO sign_in_throttle AS t (key, tat) VALUES (keys[i], at + gap)
        ON CONFLICT (key) DO UPDATE SET tat = greatest(t.tat, at) + gap
            WHERE greatest(t.tat, at) + gap <= at + room
        RETURNING t.tat INTO till;
        IF NOT FOUND THEN
            SELECT t.tat INTO till FROM sign_in_throttle t WHERE t.key = keys[i];
            RETURN greatest(1, ceil(extract(epoch FROM till + gap - at - room) * 1000)::bigint);
        END IF;
    END LOOP;
    RETURN 0;
END
$$;

-- Gives a try back: it was no guess.
CREATE FUNCTION sign_in_forgive(of_key bytea, every_ms bigint)
    RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ UPDATE sign_in_throttle SET tat = tat - every_ms * interval '1 millisecond' WHERE key = of_key $$;

-- Takes away what no longer says anything; some at a time, and nothing that somebody holds.
CREATE FUNCTION sign_in_prune(at timestamptz)
    RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    gone bigint;
    sum  bigint := 0;
BEGIN
    DELETE FROM sign_in_throttle WHERE key IN
        (SELECT key FROM sign_in_throttle WHERE tat < at LIMIT 10000 FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS gone = ROW_COUNT; sum := sum + gone;
    DELETE FROM known_device WHERE (device_hash, account_id) IN
        (SELECT device_hash, account_id FROM known_device WHERE expires_at < at LIMIT 1000 FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS gone = ROW_COUNT; sum := sum + gone;
    DELETE FROM oidc_flow WHERE flow_id IN
        (SELECT flow_id FROM oidc_flow WHERE expires_at < at - interval '1 hour' LIMIT 1000 FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS gone = ROW_COUNT; sum := sum + gone;
    DELETE FROM password_reset WHERE reset_id IN
        (SELECT reset_id FROM password_reset WHERE expires_at < at - interval '30 days' LIMIT 1000
         FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS gone = ROW_COUNT; sum := sum + gone;
    RETURN sum;
END
$$;

REVOKE ALL ON FUNCTION session_lookup(bytea, uuid), account_for_sign_in(text),
    known_device_check(text, bytea, timestamptz), password_reset_lookup(bytea), identity_lookup(text, text),
    oidc_flow_lookup(bytea), oidc_home(), sign_in_admit(bytea[], bigint[], integer[], timestamptz),
    sign_in_forgive(bytea, bigint), sign_in_prune(timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION session_lookup(bytea, uuid), account_for_sign_in(text),
    known_device_check(text, bytea, timestamptz), password_reset_lookup(bytea), identity_lookup(text, text),
    oidc_flow_lookup(bytea), oidc_home(), sign_in_admit(bytea[], bigint[], integer[], timestamptz),
    sign_in_forgive(bytea, bigint), sign_in_prune(timestamptz) TO countersign_app;
