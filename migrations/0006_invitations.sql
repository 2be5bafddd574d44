-- Invitations into an organisation.
--
-- The link of an invitation is minted by the worker that mails it: no link is in a payload, a log or this
-- table, only the SHA-256 of the token that is in it. A second mail carries another token and replaces the hash.

CREATE TABLE invitation (
    invitation_id  uuid PRIMARY KEY,
    org_id         uuid NOT NULL REFERENCES org,
    email          text NOT NULL,              -- lower case
    role           text NOT NULL,
    all_workspaces boolean NOT NULL,
    workspaces     uuid[] NOT NULL DEFAULT '{}',
    locale         text NOT NULL DEFAULT 'en', -- of the mail
    invited_by     uuid,                       -- null: at the command line
    job_id         uuid,                       -- the one job that may mail it; null: the link was shown by whoever made it
    token_hash     bytea,                      -- null: no link is out
    created_at     timestamptz NOT NULL DEFAULT now(),
    asked_at       timestamptz NOT NULL DEFAULT now(), -- when its mail was last asked for
    expires_at     timestamptz NOT NULL,
    accepted_at    timestamptz,
    accepted_by    uuid,
    revoked_at     timestamptz,
    CONSTRAINT invitation_token_size CHECK (octet_length(token_hash) = 32),
    CONSTRAINT invitation_email_shape CHECK (email = lower(email) AND length(email) BETWEEN 3 AND 254
                                             AND email ~ '^[^@\s]+@[^@\s]+$'),
    CONSTRAINT invitation_role_known CHECK (role IN ('owner', 'manager', 'finance', 'support', 'auditor')),
    CONSTRAINT invitation_org_wide CHECK (role NOT IN ('owner', 'auditor') OR all_workspaces),
    CONSTRAINT invitation_rooms CHECK (all_workspaces = (cardinality(workspaces) = 0)),
    CONSTRAINT invitation_locale_known CHECK (locale IN ('en', 'es', 'ne', 'ar')),
    CONSTRAINT invitation_ends_once CHECK (accepted_at IS NULL OR revoked_at IS NULL),
    CONSTRAINT invitation_accepted_whole CHECK ((accepted_at IS NULL) = (accepted_by IS NULL)),
    CONSTRAINT invitation_inviter FOREIGN KEY (org_id, invited_by) REFERENCES actor (org_id, actor_id),
    CONSTRAINT invitation_accepter FOREIGN KEY (org_id, accepted_by) REFERENCES actor (org_id, actor_id)
);
-- One open invitation an address and organisation.
CREATE UNIQUE INDEX invitation_open_once ON invitation (org_id, email)
    WHERE accepted_at IS NULL AND revoked_at IS NULL;
CREATE UNIQUE INDEX invitation_by_token ON invitation (token_hash) WHERE token_hash IS NOT NULL;
CREATE INDEX invitation_by_org ON invitation (org_id, invitation_id DESC);

ALTER TABLE invitation ENABLE ROW LEVEL SECURITY;
ALTER TABLE invitation FORCE ROW LEVEL SECURITY;
CREATE POLICY invitation_read ON invitation FOR SELECT TO countersign_app
    USING (org_id = (SELECT current_org()) AND (SELECT may('people:read')));
CREATE POLICY invitation_insert ON invitation FOR INSERT TO countersign_app
    WITH CHECK (org_id = (SELECT current_org()) AND (SELECT may('people:write')));
CREATE POLICY invitation_update ON invitation FOR UPDATE TO countersign_app
    USING (org_id = (SELECT current_org()) AND (SELECT may('people:write')))
    WITH CHECK (org_id = (SELECT current_org()));
GRANT SELECT, INSERT, UPDATE ON invitation TO countersign_app;
CREATE POLICY invitation_owner ON invitation FOR SELECT TO CURRENT_USER USING (true);

-- Somebody shows the token of a link before anybody knows its organisation. Answers only to the exact hash.
CREATE FUNCTION invitation_lookup(hash bytea) RETURNS TABLE (invitation_id uuid, org_id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ SELECT i.invitation_id, i.org_id FROM invitation i WHERE i.token_hash = hash $$;
REVOKE ALL ON FUNCTION invitation_lookup(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION invitation_lookup(bytea) TO countersign_app;

-- Nobody gives a role, rooms or a way back in to themselves, nor by a token they made when they still might
-- (`hands_of` comes with the approvals).
CREATE FUNCTION member_not_oneself() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF current_actor() = ANY (hands_of(OLD.org_id, OLD.actor_id)) THEN
        RAISE EXCEPTION 'nobody changes their own role or workspaces; ask another owner' USING ERRCODE = 'CS001';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER member_not_oneself BEFORE UPDATE ON member FOR EACH ROW
    WHEN ((OLD.role, OLD.all_workspaces, OLD.disabled_at) IS DISTINCT FROM (NEW.role, NEW.all_workspaces, NEW.disabled_at))
    EXECUTE FUNCTION member_not_oneself();
REVOKE ALL ON FUNCTION member_not_oneself() FROM PUBLIC;

CREATE INDEX member_by_email ON member (org_id, email);
CREATE INDEX workspace_by_org ON workspace (org_id, workspace_id DESC);
