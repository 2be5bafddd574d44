-- People: accounts that sign in, members of organisations with a role, and who sees which rooms.
--
-- A transaction says whom it is for by settings that row-level security reads:
--   countersign.org, .actor     where and who
--   countersign.role            what they are: owner … auditor, token, system, account
--   countersign.may             what they may do: ' jobs:read jobs:write … ', from the one permission table
--   countersign.workspaces      what they see: '*', or an array of workspace ids
--   countersign.account, .session  whose sign-in, and which
-- What is unset allows nothing.

CREATE FUNCTION current_account() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(current_setting('countersign.account', true), '')::uuid;

CREATE FUNCTION current_session() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(current_setting('countersign.session', true), '')::uuid;

CREATE FUNCTION acting_role() RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(current_setting('countersign.role', true), '');

-- Whether the transaction's actor may do what the word says.
CREATE FUNCTION may(permission text) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN strpos(coalesce(current_setting('countersign.may', true), ''), ' ' || permission || ' ') > 0;

-- Whether the actor may do anything but look.
CREATE FUNCTION may_change() RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN coalesce(current_setting('countersign.may', true), '') ~ ':(write|request|decide|rules) ';

CREATE FUNCTION sees_all_workspaces() RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN coalesce(current_setting('countersign.workspaces', true), '') = '*';

CREATE FUNCTION seen_workspaces() RETURNS uuid[]
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN CASE WHEN current_setting('countersign.workspaces', true) LIKE '{%'
                THEN current_setting('countersign.workspaces', true)::uuid[] ELSE '{}'::uuid[] END;

-- Somebody who signs in, in whatever organisations. Belongs to no organisation: it is seen only by a
-- transaction opened for itself.
CREATE TABLE account (
    account_id          uuid PRIMARY KEY,
    email               text NOT NULL,              -- lower case
    name                text NOT NULL,
    locale              text NOT NULL DEFAULT 'en',
    password_hash       text,                       -- argon2id, PHC string; null: no password set yet
    password_changed_at timestamptz,
    totp_sealed         bytea,                      -- sealed seed; null: no second factor
    totp_confirmed_at   timestamptz,
    totp_pending_sealed bytea,                      -- seed shown, not confirmed yet
    totp_last_step      bigint,                     -- newest accepted time step: a code works once
    created_at          timestamptz NOT NULL DEFAULT now(),
    disabled_at         timestamptz,
    CONSTRAINT account_email_unique UNIQUE (email),
    CONSTRAINT account_email_shape CHECK (email = lower(email) AND length(email) BETWEEN 3 AND 254
                                          AND email ~ '^[^@\s]+@[^@\s]+$'),
    CONSTRAINT account_name_length CHECK (length(name) BETWEEN 1 AND 200),
    CONSTRAINT account_locale_known CHECK (locale IN ('en', 'es', 'ne', 'ar')),
    CONSTRAINT account_totp_whole CHECK ((totp_sealed IS NULL) = (totp_confirmed_at IS NULL))
);

-- An account inside an organisation, with its role. The actor is what the organisation's things name.
CREATE TABLE member (
    org_id         uuid NOT NULL REFERENCES org,
    actor_id       uuid NOT NULL,
    account_id     uuid NOT NULL REFERENCES account,
    email          text NOT NULL,
    role           text NOT NULL,
    all_workspaces boolean NOT NULL DEFAULT false,
    joined_at      timestamptz NOT NULL DEFAULT now(),
    disabled_at    timestamptz,
    PRIMARY KEY (org_id, actor_id),
    CONSTRAINT member_actor FOREIGN KEY (org_id, actor_id) REFERENCES actor (org_id, actor_id),
    CONSTRAINT member_account_once UNIQUE (org_id, account_id),
    CONSTRAINT member_role_known CHECK (role IN ('owner', 'manager', 'finance', 'support', 'auditor')),
    CONSTRAINT member_org_wide CHECK (role NOT IN ('owner', 'auditor') OR all_workspaces)
);
CREATE INDEX member_by_account ON member (account_id);

CREATE TABLE member_workspace (
    org_id       uuid NOT NULL,
    actor_id     uuid NOT NULL,
    workspace_id uuid NOT NULL,
    PRIMARY KEY (org_id, actor_id, workspace_id),
    CONSTRAINT member_workspace_member FOREIGN KEY (org_id, actor_id) REFERENCES member ON DELETE CASCADE,
    CONSTRAINT member_workspace_room FOREIGN KEY (org_id, workspace_id)
        REFERENCES workspace (org_id, workspace_id)
);

-- An organisation that has owners keeps at least one who can sign in.
CREATE FUNCTION member_keeps_an_owner() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    -- Two owners leaving at once must not each count on the other.
    PERFORM pg_advisory_xact_lock(hashtextextended('member_owner ' || OLD.org_id, 0));
    IF NOT EXISTS (SELECT FROM member m WHERE m.org_id = OLD.org_id AND m.role = 'owner'
                   AND m.disabled_at IS NULL) THEN
        RAISE EXCEPTION 'the organisation would be left without an owner; make somebody else owner first'
            USING ERRCODE = 'CS001';
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER member_keeps_an_owner AFTER UPDATE OR DELETE ON member
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (OLD.role = 'owner' AND OLD.disabled_at IS NULL)
    EXECUTE FUNCTION member_keeps_an_owner();

-- Whoever may call a trigger's function may hang it on a table of their own and have it act as the owner.
REVOKE ALL ON FUNCTION member_keeps_an_owner() FROM PUBLIC;

-- A private job is seen by one actor only, whatever anybody's role; the engine runs it all the same.
ALTER TABLE job ADD COLUMN private_to uuid;
ALTER TABLE job_history ADD COLUMN private_to uuid;
ALTER TABLE job_batch ADD COLUMN workspace_id uuid;

-- Row-level security, now by room and by permission. Scalar subqueries are evaluated once a statement.
ALTER TABLE account ENABLE ROW LEVEL SECURITY;
ALTER TABLE account FORCE ROW LEVEL SECURITY;
ALTER TABLE member ENABLE ROW LEVEL SECURITY;
ALTER TABLE member FORCE ROW LEVEL SECURITY;
ALTER TABLE member_workspace ENABLE ROW LEVEL SECURITY;
ALTER TABLE member_workspace FORCE ROW LEVEL SECURITY;

CREATE POLICY account_self ON account TO countersign_app
    USING (account_id = (SELECT current_account())) WITH CHECK (account_id = (SELECT current_account()));
GRANT SELECT, INSERT, UPDATE ON account TO countersign_app;

CREATE POLICY member_read ON member FOR SELECT TO countersign_app
    USING ((org_id = (SELECT current_org())
            AND ((SELECT may('people:read')) OR actor_id = (SELECT current_actor())))
           OR account_id = (SELECT current_account()));
CREATE POLICY member_insert ON member FOR INSERT TO countersign_app
    WITH CHECK (org_id = (SELECT current_org()) AND (SELECT may('people:write')));
CREATE POLICY member_update ON member FOR UPDATE TO countersign_app
    USING (org_id = (SELECT current_org()) AND (SELECT may('people:write')))
    WITH CHECK (org_id = (SELECT current_org()));
CREATE POLICY member_workspace_read ON member_workspace FOR SELECT TO countersign_app
    USING (org_id = (SELECT current_org())
           AND ((SELECT may('people:read')) OR actor_id = (SELECT current_actor())));
CREATE POLICY member_workspace_insert ON member_workspace FOR INSERT TO countersign_app
    WITH CHECK (org_id = (SELECT current_org()) AND (SELECT may('people:write')));
CREATE POLICY member_workspace_delete ON member_workspace FOR DELETE TO countersign_app
    USING (org_id = (SELECT current_org()) AND (SELECT may('people:write')));
GRANT SELECT, INSERT, UPDATE ON member TO countersign_app;
GRANT SELECT, INSERT, DELETE ON member_workspace TO countersign_app;
-- The triggers' and look-ups' owner reads past the organisations.
CREATE POLICY member_owner ON member FOR SELECT TO CURRENT_USER USING (true);
CREATE POLICY member_workspace_owner ON member_workspace FOR SELECT TO CURRENT_USER USING (true);
CREATE POLICY account_owner ON account FOR SELECT TO CURRENT_USER USING (true);

DROP POLICY org_own ON org;
CREATE POLICY org_read ON org FOR SELECT TO countersign_app USING (org_id = (SELECT current_org()));
CREATE POLICY org_insert ON org FOR INSERT TO countersign_app
    WITH CHECK (org_id = (SELECT current_org()) AND (SELECT acting_role()) = 'system');
CREATE POLICY org_update ON org FOR UPDATE TO countersign_app
    USING (org_id = (SELECT current_org()) AND (SELECT may('org:write')))
    WITH CHECK (org_id = (SELECT current_org()));

DROP POLICY workspace_own ON workspace;
CREATE POLICY workspace_read ON workspace FOR SELECT TO countersign_app
    USING (org_id = (SELECT current_org())
           AND ((SELECT sees_all_workspaces()) OR workspace_id = ANY ((SELECT seen_workspaces())::uuid[])));
CREATE POLICY workspace_insert ON workspace FOR INSERT TO countersign_app
    WITH CHECK (org_id = (SELECT current_org()) AND (SELECT may('org:write')));
CREATE POLICY workspace_update ON workspace FOR UPDATE TO countersign_app
    USING (org_id = (SELECT current_org()) AND (SELECT may('org:write')))
    WITH CHECK (org_id = (SELECT current_org()));

DROP POLICY actor_own ON actor;
CREATE POLICY actor_read ON actor FOR SELECT TO countersign_app USING (org_id = (SELECT current_org()));
CREATE POLICY actor_insert ON actor FOR INSERT TO countersign_app
    WITH CHECK (org_id = (SELECT current_org())
                AND ((SELECT may('people:write')) OR (SELECT may('tokens:write'))));
CREATE POLICY actor_update ON actor FOR UPDATE TO countersign_app
    USING (org_id = (SELECT current_org())
           AND ((SELECT may('people:write')) OR actor_id = (SELECT current_actor())))
    WITH CHECK (org_id = (SELECT current_org()));

DROP POLICY api_token_own ON api_token;
CREATE POLICY api_token_read ON api_token FOR SELECT TO countersign_app
    USING (org_id = (SELECT current_org()) AND (SELECT may('tokens:read')));
CREATE POLICY api_token_insert ON api_token FOR INSERT TO countersign_app
    WITH CHECK (org_id = (SELECT current_org()) AND (SELECT may('tokens:write')));
CREATE POLICY api_token_update ON api_token FOR UPDATE TO countersign_app
    USING (org_id = (SELECT current_org()) AND (SELECT may('tokens:write')))
    WITH CHECK (org_id = (SELECT current_org()));

-- Jobs and schedules carry their room. What hangs on a job is seen by whoever sees the job.
DO $$
DECLARE t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['job', 'job_history'] LOOP
        EXECUTE format('DROP POLICY %I ON %I', t || '_own', t);
        EXECUTE format(
            'CREATE POLICY %I ON %I FOR SELECT TO countersign_app
             USING (org_id = (SELECT current_org())
                    AND ((SELECT sees_all_workspaces()) OR workspace_id = ANY ((SELECT seen_workspaces())::uuid[]))
                    AND (private_to IS NULL OR private_to = (SELECT current_actor())))', t || '_read', t);
        EXECUTE format(
            'CREATE POLICY %I ON %I FOR INSERT TO countersign_app
             WITH CHECK (org_id = (SELECT current_org()) AND (SELECT may_change())
                    AND ((SELECT sees_all_workspaces()) OR workspace_id = ANY ((SELECT seen_workspaces())::uuid[])))',
            t || '_insert', t);
        EXECUTE format(
            'CREATE POLICY %I ON %I FOR UPDATE TO countersign_app
             USING (org_id = (SELECT current_org()) AND (SELECT may_change())
                    AND ((SELECT sees_all_workspaces()) OR workspace_id = ANY ((SELECT seen_workspaces())::uuid[]))
                    AND (private_to IS NULL OR private_to = (SELECT current_actor())))
             WITH CHECK (org_id = (SELECT current_org()))', t || '_update', t);
        EXECUTE format(
            'CREATE POLICY %I ON %I FOR DELETE TO countersign_app
             USING (org_id = (SELECT current_org()) AND (SELECT may_change())
                    AND ((SELECT sees_all_workspaces()) OR workspace_id = ANY ((SELECT seen_workspaces())::uuid[]))
                    AND (private_to IS NULL OR private_to = (SELECT current_actor())))', t || '_delete', t);
    END LOOP;

    FOREACH t IN ARRAY ARRAY['job_wait', 'job_attempt', 'job_event'] LOOP
        EXECUTE format('DROP POLICY %I ON %I', t || '_own', t);
        EXECUTE format(
            'CREATE POLICY %I ON %I FOR SELECT TO countersign_app
             USING (org_id = (SELECT current_org())
                    AND (EXISTS (SELECT FROM job j WHERE j.job_id = %I.job_id)
                         OR EXISTS (SELECT FROM job_history h WHERE h.job_id = %I.job_id)))',
            t || '_read', t, t, t);
        EXECUTE format(
            'CREATE POLICY %I ON %I FOR INSERT TO countersign_app
             WITH CHECK (org_id = (SELECT current_org()) AND (SELECT may_change()))', t || '_insert', t);
        EXECUTE format(
            'CREATE POLICY %I ON %I FOR UPDATE TO countersign_app
             USING (org_id = (SELECT current_org()) AND (SELECT may_change()))
             WITH CHECK (org_id = (SELECT current_org()))', t || '_update', t);
        EXECUTE format(
            'CREATE POLICY %I ON %I FOR DELETE TO countersign_app
             USING (org_id = (SELECT current_org()) AND (SELECT may_change()))', t || '_delete', t);
    END LOOP;

    FOREACH t IN ARRAY ARRAY['job_key', 'job_unique'] LOOP
        EXECUTE format('DROP POLICY %I ON %I', t || '_own', t);
        EXECUTE format(
            'CREATE POLICY %I ON %I FOR SELECT TO countersign_app USING (org_id = (SELECT current_org()))',
            t || '_read', t);
        EXECUTE format(
            'CREATE POLICY %I ON %I FOR INSERT TO countersign_app
             WITH CHECK (org_id = (SELECT current_org()) AND (SELECT may_change()))', t || '_insert', t);
        EXECUTE format(
            'CREATE POLICY %I ON %I FOR UPDATE TO countersign_app
             USING (org_id = (SELECT current_org()) AND (SELECT may_change()))
             WITH CHECK (org_id = (SELECT current_org()))', t || '_update', t);
        EXECUTE format(
            'CREATE POLICY %I ON %I FOR DELETE TO countersign_app
             USING (org_id = (SELECT current_org()) AND (SELECT may_change()))', t || '_delete', t);
    END LOOP;

    FOREACH t IN ARRAY ARRAY['schedule', 'job_batch'] LOOP
        EXECUTE format('DROP POLICY %I ON %I', t || '_own', t);
        EXECUTE format(
            'CREATE POLICY %I ON %I FOR SELECT TO countersign_app
             USING (org_id = (SELECT current_org())
                    AND ((SELECT sees_all_workspaces()) OR workspace_id = ANY ((SELECT seen_workspaces())::uuid[])))',
            t || '_read', t);
        EXECUTE format(
            'CREATE POLICY %I ON %I FOR INSERT TO countersign_app
             WITH CHECK (org_id = (SELECT current_org()) AND (SELECT %s)
                    AND ((SELECT sees_all_workspaces()) OR workspace_id = ANY ((SELECT seen_workspaces())::uuid[])))',
            t || '_insert', t, CASE t WHEN 'schedule' THEN 'may(''schedules:write'')' ELSE 'may_change()' END);
        EXECUTE format(
            'CREATE POLICY %I ON %I FOR UPDATE TO countersign_app
             USING (org_id = (SELECT current_org()) AND (SELECT %s)
                    AND ((SELECT sees_all_workspaces()) OR workspace_id = ANY ((SELECT seen_workspaces())::uuid[])))
             WITH CHECK (org_id = (SELECT current_org())
                    AND ((SELECT sees_all_workspaces()) OR workspace_id = ANY ((SELECT seen_workspaces())::uuid[])))',
            t || '_update', t, CASE t WHEN 'schedule' THEN 'may(''schedules:write'')' ELSE 'may_change()' END);
        EXECUTE format(
            'CREATE POLICY %I ON %I FOR DELETE TO countersign_app
             USING (org_id = (SELECT current_org()) AND (SELECT %s)
                    AND ((SELECT sees_all_workspaces()) OR workspace_id = ANY ((SELECT seen_workspaces())::uuid[])))',
            t || '_delete', t, CASE t WHEN 'schedule' THEN 'may(''schedules:write'')' ELSE 'may_change()' END);
    END LOOP;
END
$$;

DROP POLICY lane_org_own ON lane_org;
CREATE POLICY lane_org_read ON lane_org FOR SELECT TO countersign_app USING (org_id = (SELECT current_org()));
CREATE POLICY lane_org_insert ON lane_org FOR INSERT TO countersign_app
    WITH CHECK (org_id = (SELECT current_org()) AND (SELECT may('lanes:write')));
CREATE POLICY lane_org_update ON lane_org FOR UPDATE TO countersign_app
    USING (org_id = (SELECT current_org()) AND (SELECT may('lanes:write')))
    WITH CHECK (org_id = (SELECT current_org()));
CREATE POLICY lane_org_delete ON lane_org FOR DELETE TO countersign_app
    USING (org_id = (SELECT current_org()) AND (SELECT may('lanes:write')));

DROP POLICY rate_limit_insert ON rate_limit;
DROP POLICY rate_limit_update ON rate_limit;
DROP POLICY rate_limit_delete ON rate_limit;
CREATE POLICY rate_limit_insert ON rate_limit FOR INSERT TO countersign_app
    WITH CHECK (org_id = (SELECT current_org()) AND (SELECT may('limits:write')));
CREATE POLICY rate_limit_update ON rate_limit FOR UPDATE TO countersign_app
    USING (org_id = (SELECT current_org()) AND (SELECT may('limits:write')))
    WITH CHECK (org_id = (SELECT current_org()));
CREATE POLICY rate_limit_delete ON rate_limit FOR DELETE TO countersign_app
    USING (org_id = (SELECT current_org()) AND (SELECT may('limits:write')));

-- Questions that are asked before anybody knows whom they are about; each answers only to the exact value.
CREATE FUNCTION account_lookup(wanted text) RETURNS uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ SELECT a.account_id FROM account a WHERE a.email = lower(wanted) $$;

-- The organisations of one account: for whoever is signed in as it.
CREATE FUNCTION account_orgs(wanted uuid)
    RETURNS TABLE (org_id uuid, slug text, name text, actor_id uuid, role text, all_workspaces boolean,
                   workspaces uuid[], disabled boolean)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
        SELECT m.org_id, o.slug, o.name, m.actor_id, m.role, m.all_workspaces,
               coalesce((SELECT array_agg(w.workspace_id ORDER BY w.workspace_id) FROM member_workspace w
                         WHERE w.org_id = m.org_id AND w.actor_id = m.actor_id), '{}'),
               m.disabled_at IS NOT NULL
        FROM member m JOIN org o ON o.org_id = m.org_id
        WHERE m.account_id = wanted ORDER BY m.joined_at, m.org_id
    $$;

REVOKE ALL ON FUNCTION account_lookup(text), account_orgs(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION account_lookup(text), account_orgs(uuid) TO countersign_app;
