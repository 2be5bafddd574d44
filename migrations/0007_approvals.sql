-- Approvals: what must be countersigned before it happens, by whom, and what a decision released.
--
-- The rules are held here, whatever the code above thought:
--   an approval is bound to the SHA-256 of its content; `approval_subject` holds the hash of what the content
--   is now, and whoever changes it voids what was asked for before and becomes one of its makers;
--   a decision is one person's, once, in a live session, never a maker's unless the rule says so;
--   the last approval releases exactly one job, in its own transaction, and a job of a guarded kind enters
--   the ledger by such a release or not at all.
-- Whoever locks both locks the subject's row first, then the approval's.

-- Kinds of jobs that may need an approval, few; what an enqueue looks at first.
CREATE TABLE guarded_kind (
    kind   text PRIMARY KEY,
    always boolean NOT NULL                        -- in every organisation; otherwise where a rule says so
);
GRANT SELECT ON guarded_kind TO countersign_app;

-- What an organisation says about one kind of subject. Without a row: one owner, who is no maker, in 72 hours.
CREATE TABLE approval_rule (
    org_id              uuid NOT NULL REFERENCES org,
    subject_kind        text NOT NULL,             -- job:<kind>, job_replay, or a noun such as payout_batch
    roles               text[] NOT NULL,           -- who may decide
    needed              smallint NOT NULL,         -- different people
    maker_may_decide    boolean NOT NULL DEFAULT false,
    step_up             boolean NOT NULL DEFAULT false,
    step_up_above_minor bigint,                    -- step-up from this amount on, in minor units of `currency`
    currency            text,
    expires_after_s     integer NOT NULL,
    changed_by          uuid,
    changed_at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, subject_kind),
    CONSTRAINT approval_rule_subject_shape CHECK (subject_kind ~ '^[a-z][a-z0-9_.:]{0,119}$'),
    CONSTRAINT approval_rule_roles_decide CHECK (cardinality(roles) BETWEEN 1 AND 3
                                                 AND roles <@ ARRAY['owner', 'manager', 'finance']),
    CONSTRAINT approval_rule_needed_range CHECK (needed BETWEEN 1 AND 10),
    CONSTRAINT approval_rule_expiry_range CHECK (expires_after_s BETWEEN 60 AND 2592000),
    CONSTRAINT approval_rule_threshold_whole CHECK ((step_up_above_minor IS NULL) = (currency IS NULL)),
    CONSTRAINT approval_rule_threshold_range CHECK (step_up_above_minor >= 0),
    CONSTRAINT approval_rule_currency_shape CHECK (currency ~ '^[A-Z]{3}$')
);

-- The present content of whatever can be approved. Editing a subject is updating this row, in the same
-- transaction.
CREATE TABLE approval_subject (
    org_id       uuid NOT NULL REFERENCES org,
    subject_kind text NOT NULL,
    subject_id   text NOT NULL,
    workspace_id uuid,
    content_hash bytea NOT NULL,
    version      integer NOT NULL DEFAULT 1,
    changed_by   uuid,                             -- null: the platform
    changed_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, subject_kind, subject_id),
    CONSTRAINT approval_subject_kind_shape CHECK (subject_kind ~ '^[a-z][a-z0-9_.:]{0,119}$'),
    CONSTRAINT approval_subject_id_length CHECK (length(subject_id) BETWEEN 1 AND 200),
    CONSTRAINT approval_subject_hash_size CHECK (octet_length(content_hash) = 32)
);

-- Everybody who gave a subject its content: its makers, besides whoever asks, until it is approved.
CREATE TABLE approval_editor (
    org_id       uuid NOT NULL,
    subject_kind text NOT NULL,
    subject_id   text NOT NULL,
    version      integer NOT NULL,
    workspace_id uuid,
    actor_id     uuid NOT NULL,
    at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (org_id, subject_kind, subject_id, version)
);

CREATE TABLE approval (
    approval_id      uuid PRIMARY KEY,             -- version 7: in the order of time
    org_id           uuid NOT NULL,
    workspace_id     uuid,
    subject_kind     text NOT NULL,
    subject_id       text NOT NULL,
    content          json NOT NULL,                -- the text that is hashed; `job` in it is what is released
    content_hash     bytea NOT NULL,
    summary          text NOT NULL,
    amount_minor     bigint,
    currency         text,
    requested_by     uuid,                         -- null: the platform
    requested_at     timestamptz NOT NULL,
    replaces         uuid,                         -- the approval whose content was edited
    roles            text[] NOT NULL,              -- the rule as it was when asked, from here
    needed           smallint NOT NULL,
    maker_may_decide boolean NOT NULL,
    step_up          boolean NOT NULL,             -- for this amount
    expires_at       timestamptz NOT NULL,         -- to here
    state            text NOT NULL,
    decided_at       timestamptz,
    released_job_id  uuid,
    CONSTRAINT approval_state_known CHECK (state IN ('pending', 'approved', 'rejected', 'expired', 'voided',
                                                     'withdrawn')),
    CONSTRAINT approval_decided_whole CHECK ((state = 'pending') = (decided_at IS NULL)),
    CONSTRAINT approval_release_approved CHECK (released_job_id IS NULL OR state = 'approved'),
    CONSTRAINT approval_summary_length CHECK (length(summary) BETWEEN 1 AND 500),
    CONSTRAINT approval_amount_whole CHECK ((amount_minor IS NULL) = (currency IS NULL)),
    CONSTRAINT approval_amount_range CHECK (amount_minor >= 0),
    CONSTRAINT approval_currency_shape CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT approval_of_subject FOREIGN KEY (org_id, subject_kind, subject_id) REFERENCES approval_subject,
    CONSTRAINT approval_workspace FOREIGN KEY (org_id, workspace_id) REFERENCES workspace (org_id, workspace_id)
);
CREATE INDEX approval_by_org ON approval (org_id, approval_id);
CREATE INDEX approval_by_subject ON approval (org_id, subject_kind, subject_id, approval_id);
CREATE UNIQUE INDEX approval_one_pending ON approval (org_id, subject_kind, subject_id) WHERE state = 'pending';
CREATE INDEX approval_due ON approval (expires_at) WHERE state = 'pending';
-- One approval makes a job once; a replay of it is another approval.
CREATE UNIQUE INDEX approval_released_once ON approval (released_job_id)
    WHERE released_job_id IS NOT NULL AND subject_kind <> 'job_replay';

CREATE TABLE approval_decision (
    approval_id  uuid NOT NULL REFERENCES approval,
    actor_id     uuid NOT NULL,
    org_id       uuid NOT NULL,
    decision     text NOT NULL,
    content_hash bytea NOT NULL,                   -- what the decider saw
    comment      text,
    session_id   uuid,
    decided_at   timestamptz NOT NULL,
    PRIMARY KEY (approval_id, actor_id),
    CONSTRAINT approval_decision_known CHECK (decision IN ('approve', 'reject')),
    CONSTRAINT approval_decision_comment_length CHECK (length(comment) BETWEEN 1 AND 2000),
    CONSTRAINT approval_decision_reason CHECK (decision = 'approve' OR comment IS NOT NULL)
);

-- What the last approval lets into the ledger; used up by the job's insert in the same transaction.
CREATE TABLE approval_release (
    approval_id  uuid PRIMARY KEY REFERENCES approval,
    org_id       uuid NOT NULL,
    workspace_id uuid,
    job_id       uuid NOT NULL,
    kind         text NOT NULL,
    kind_version smallint NOT NULL,
    payload_hash bytea NOT NULL,                   -- SHA-256 of the payload's text
    released_at  timestamptz NOT NULL,
    used_at      timestamptz
);
CREATE UNIQUE INDEX approval_release_open ON approval_release (job_id) WHERE used_at IS NULL;

-- A token is a tool in its maker's hand: what it asks for, its maker asked for.
ALTER TABLE api_token ADD COLUMN made_by uuid;     -- null: an operator at the command line
CREATE INDEX api_token_by_maker ON api_token (org_id, made_by) WHERE made_by IS NOT NULL;
CREATE FUNCTION api_token_made() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.made_by := CASE TG_OP WHEN 'INSERT' THEN current_actor() ELSE OLD.made_by END;
    RETURN NEW;
END
$$;
CREATE TRIGGER api_token_made BEFORE INSERT OR UPDATE OF made_by ON api_token
    FOR EACH ROW EXECUTE FUNCTION api_token_made();

-- Row-level security.
DO $$
DECLARE t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['approval_rule', 'approval_subject', 'approval_editor', 'approval',
                             'approval_decision', 'approval_release'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
        -- The functions below run as the owner, who is bound too.
        EXECUTE format('CREATE POLICY %I ON %I TO CURRENT_USER USING (true) WITH CHECK (true)', t || '_owner', t);
    END LOOP;
END
$$;
CREATE POLICY approval_rule_read ON approval_rule FOR SELECT TO countersign_app
    USING (org_id = (SELECT current_org()) AND (SELECT may('approvals:read')));
CREATE POLICY approval_rule_insert ON approval_rule FOR INSERT TO countersign_app
    WITH CHECK (org_id = (SELECT current_org()) AND (SELECT may('approvals:rules')));
CREATE POLICY approval_rule_update ON approval_rule FOR UPDATE TO countersign_app
    USING (org_id = (SELECT current_org()) AND (SELECT may('approvals:rules')))
    WITH CHECK (org_id = (SELECT current_org()));
CREATE POLICY approval_rule_delete ON approval_rule FOR DELETE TO countersign_app
    USING (org_id = (SELECT current_org()) AND (SELECT may('approvals:rules')));
GRANT SELECT, INSERT, UPDATE, DELETE ON approval_rule TO countersign_app;

CREATE POLICY approval_subject_read ON approval_subject FOR SELECT TO countersign_app
    USING (org_id = (SELECT current_org()) AND ((SELECT may('approvals:read')) OR (SELECT may('approvals:request')))
           AND ((SELECT sees_all_workspaces()) OR workspace_id = ANY ((SELECT seen_workspaces())::uuid[])));
CREATE POLICY approval_subject_insert ON approval_subject FOR INSERT TO countersign_app
    WITH CHECK (org_id = (SELECT current_org()) AND (SELECT may('approvals:request'))
           AND ((SELECT sees_all_workspaces()) OR workspace_id = ANY ((SELECT seen_workspaces())::uuid[])));
CREATE POLICY approval_subject_update ON approval_subject FOR UPDATE TO countersign_app
    USING (org_id = (SELECT current_org()) AND (SELECT may('approvals:request'))
           AND ((SELECT sees_all_workspaces()) OR workspace_id = ANY ((SELECT seen_workspaces())::uuid[])))
    WITH CHECK (org_id = (SELECT current_org()));
GRANT SELECT, INSERT, UPDATE (content_hash) ON approval_subject TO countersign_app;

CREATE POLICY approval_editor_read ON approval_editor FOR SELECT TO countersign_app
    USING (org_id = (SELECT current_org()) AND (SELECT may('approvals:read'))
           AND ((SELECT sees_all_workspaces()) OR workspace_id = ANY ((SELECT seen_workspaces())::uuid[])));
GRANT SELECT ON approval_editor TO countersign_app;

CREATE POLICY approval_read ON approval FOR SELECT TO countersign_app
    USING (org_id = (SELECT current_org())
           AND ((SELECT may('approvals:read')) OR requested_by = (SELECT current_actor()))
           AND ((SELECT sees_all_workspaces()) OR workspace_id = ANY ((SELECT seen_workspaces())::uuid[])));
CREATE POLICY approval_insert ON approval FOR INSERT TO countersign_app
    WITH CHECK (org_id = (SELECT current_org()) AND (SELECT may('approvals:request'))
           AND ((SELECT sees_all_workspaces()) OR workspace_id = ANY ((SELECT seen_workspaces())::uuid[])));
GRANT SELECT, INSERT ON approval TO countersign_app;

CREATE POLICY approval_decision_read ON approval_decision FOR SELECT TO countersign_app
    USING (org_id = (SELECT current_org())
           AND EXISTS (SELECT FROM approval a WHERE a.approval_id = approval_decision.approval_id));
CREATE POLICY approval_decision_insert ON approval_decision FOR INSERT TO countersign_app
    WITH CHECK (org_id = (SELECT current_org()) AND (SELECT may('approvals:decide'))
           AND EXISTS (SELECT FROM approval a WHERE a.approval_id = approval_decision.approval_id));
GRANT SELECT, INSERT ON approval_decision TO countersign_app;

CREATE POLICY approval_release_read ON approval_release FOR SELECT TO countersign_app
    USING (org_id = (SELECT current_org()) AND (SELECT may('approvals:read'))
           AND ((SELECT sees_all_workspaces()) OR workspace_id = ANY ((SELECT seen_workspaces())::uuid[])));
GRANT SELECT ON approval_release TO countersign_app;

-- Which kinds need an approval everywhere: told by whoever knows the kinds. Only ever adds.
CREATE FUNCTION guard_kinds(kinds text[]) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
        INSERT INTO guarded_kind (kind, always) SELECT DISTINCT k, true FROM unnest(kinds) k ORDER BY 1
        ON CONFLICT (kind) DO UPDATE SET always = true WHERE NOT guarded_kind.always
    $$;

-- Whether jobs of a kind need an approval in an organisation.
CREATE FUNCTION needs_approval(org uuid, wanted text) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
        SELECT EXISTS (SELECT FROM guarded_kind g WHERE g.kind = wanted AND g.always)
            OR EXISTS (SELECT FROM approval_rule r WHERE r.org_id = org AND r.subject_kind = 'job:' || wanted)
    $$;

-- The organisations' own rules on kinds of jobs, so that a process can refuse early without asking each time.
CREATE FUNCTION guarded_by_rule() RETURNS TABLE (org_id uuid, kind text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
        SELECT r.org_id, substr(r.subject_kind, 5) FROM guarded_kind g
        JOIN approval_rule r ON r.subject_kind = 'job:' || g.kind WHERE NOT g.always
    $$;
CREATE INDEX approval_rule_by_subject ON approval_rule (subject_kind);

CREATE FUNCTION approval_rule_changed() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    ruled text := CASE WHEN NEW.subject_kind LIKE 'job:%' THEN substr(NEW.subject_kind, 5) END;
BEGIN
    NEW.changed_at := clock_timestamp();
    NEW.changed_by := current_actor();
    IF TG_OP = 'INSERT' AND ruled IS NOT NULL AND EXISTS (
        SELECT FROM job_batch b WHERE b.org_id = NEW.org_id AND b.completed_at IS NULL
        AND b.callback ->> 'kind' = ruled) THEN
        RAISE EXCEPTION 'an open batch would enqueue a job of the kind % by itself; set the rule when it is complete', ruled
            USING ERRCODE = 'CS001';
    END IF;
    IF ruled IS NOT NULL AND NEW.org_id = current_org() THEN
        INSERT INTO guarded_kind (kind, always) VALUES (ruled, false) ON CONFLICT DO NOTHING;
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER approval_rule_changed BEFORE INSERT OR UPDATE ON approval_rule
    FOR EACH ROW EXECUTE FUNCTION approval_rule_changed();

-- A subject's row: who changed it and when is not the writer's to say.
CREATE FUNCTION approval_subject_written() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NEW.org_id IS DISTINCT FROM current_org() THEN
        RAISE EXCEPTION 'a subject belongs to the organisation that is acted in'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF acting_role() IS DISTINCT FROM 'system' THEN
        NEW.changed_by := current_actor();
    END IF;
    NEW.changed_at := clock_timestamp();
    NEW.version := CASE TG_OP WHEN 'UPDATE' THEN OLD.version + 1 ELSE 1 END;
    RETURN NEW;
END
$$;
CREATE TRIGGER approval_subject_written BEFORE INSERT OR UPDATE ON approval_subject
    FOR EACH ROW EXECUTE FUNCTION approval_subject_written();

CREATE FUNCTION approval_subject_changed() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NEW.changed_by IS NOT NULL THEN
        INSERT INTO approval_editor (org_id, subject_kind, subject_id, version, workspace_id, actor_id)
        VALUES (NEW.org_id, NEW.subject_kind, NEW.subject_id, NEW.version, NEW.workspace_id, NEW.changed_by);
    END IF;
    UPDATE approval a SET state = 'voided', decided_at = clock_timestamp()
    WHERE a.org_id = NEW.org_id AND a.subject_kind = NEW.subject_kind AND a.subject_id = NEW.subject_id
      AND a.state = 'pending' AND a.content_hash <> NEW.content_hash;
    RETURN NULL;
END
$$;
CREATE TRIGGER approval_subject_changed AFTER INSERT OR UPDATE ON approval_subject
    FOR EACH ROW EXECUTE FUNCTION approval_subject_changed();

-- Whether approving so much under a rule needs a fresh second factor. An amount that is not told, or in another
-- currency, counts as above.
CREATE FUNCTION approval_steps_up(rule approval_rule, amount bigint, of_currency text) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    AS $$
        SELECT coalesce(rule.step_up, false)
            OR (rule.step_up_above_minor IS NOT NULL
                AND (amount IS NULL OR of_currency <> rule.currency OR amount >= rule.step_up_above_minor))
    $$;

-- Asking. The writer says what and about whom; hash, summary, amount, rule and times follow from that.
CREATE FUNCTION approval_asked() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    job     json := NEW.content -> 'job';
    subject approval_subject;
    rule    approval_rule;
    of_kind approval_rule;                         -- of a replay: the rule on its kind
BEGIN
    IF NEW.org_id IS DISTINCT FROM current_org()
       OR (acting_role() IS DISTINCT FROM 'system' AND NEW.requested_by IS DISTINCT FROM current_actor()) THEN
        RAISE EXCEPTION 'an approval is asked for in one''s own name and organisation'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF json_typeof(NEW.content) IS DISTINCT FROM 'object' THEN
        RAISE EXCEPTION 'the content of an approval is a JSON object' USING ERRCODE = 'CS001';
    END IF;
    NEW.content_hash := sha256(convert_to(NEW.content::text, 'UTF8'));
    NEW.summary := NEW.content ->> 'summary';
    NEW.amount_minor := (NEW.content ->> 'amount_minor')::bigint;
    NEW.currency := NEW.content ->> 'currency';

    IF job IS NOT NULL THEN
        IF (job ->> 'org_id')::uuid IS DISTINCT FROM NEW.org_id
           OR job ->> 'job_id' IS DISTINCT FROM NEW.subject_id
           OR (job ->> 'workspace_id')::uuid IS DISTINCT FROM NEW.workspace_id
           OR json_typeof(job -> 'payload') IS NULL OR job ->> 'kind' IS NULL
           OR (job ->> 'kind_version')::smallint IS NULL
           OR NEW.subject_kind NOT IN ('job_replay', 'job:' || (job ->> 'kind')) THEN
            RAISE EXCEPTION 'the job in the content is not the one that the approval is about'
                USING ERRCODE = 'CS001';
        END IF;
    ELSIF NEW.subject_kind = 'job_replay' OR NEW.subject_kind LIKE 'job:%' THEN
        RAISE EXCEPTION 'an approval of a job holds the job in its content' USING ERRCODE = 'CS001';
    END IF;

    INSERT INTO approval_subject (org_id, subject_kind, subject_id, workspace_id, content_hash, changed_by)
    VALUES (NEW.org_id, NEW.subject_kind, NEW.subject_id, NEW.workspace_id, NEW.content_hash, NEW.requested_by)
    ON CONFLICT DO NOTHING;
    SELECT * INTO subject FROM approval_subject s
    WHERE s.org_id = NEW.org_id AND s.subject_kind = NEW.subject_kind AND s.subject_id = NEW.subject_id
    FOR UPDATE;
    IF subject.workspace_id IS DISTINCT FROM NEW.workspace_id THEN
        RAISE EXCEPTION 'what is to be approved belongs to another workspace' USING ERRCODE = 'CS001';
    END IF;
    IF subject.content_hash <> NEW.content_hash THEN
        RAISE EXCEPTION 'what is to be approved was changed meanwhile; read it again and ask anew'
            USING ERRCODE = 'CS001';
    END IF;
    IF EXISTS (SELECT FROM approval a WHERE a.org_id = NEW.org_id AND a.subject_kind = NEW.subject_kind
               AND a.subject_id = NEW.subject_id AND a.state = 'pending') THEN
        RAISE EXCEPTION 'this waits for a decision already; decide, edit or withdraw that approval'
            USING ERRCODE = 'CS001';
    END IF;
    IF NEW.subject_kind <> 'job_replay'
       AND EXISTS (SELECT FROM approval a WHERE a.org_id = NEW.org_id AND a.subject_kind = NEW.subject_kind
                   AND a.subject_id = NEW.subject_id AND a.state = 'approved') THEN
        RAISE EXCEPTION 'this was approved and released already; ask for a new one' USING ERRCODE = 'CS001';
    END IF;

    SELECT * INTO rule FROM approval_rule r WHERE r.org_id = NEW.org_id AND r.subject_kind = NEW.subject_kind;
    IF NEW.subject_kind = 'job_replay' THEN
        -- A replay may carry another payload: it is never easier to approve than the job itself.
        SELECT * INTO of_kind FROM approval_rule r
        WHERE r.org_id = NEW.org_id AND r.subject_kind = 'job:' || (job ->> 'kind');
    END IF;
    NEW.roles := coalesce(rule.roles, of_kind.roles, '{owner}');
    IF of_kind.roles IS NOT NULL AND NOT NEW.roles <@ of_kind.roles THEN
        NEW.roles := ARRAY (SELECT r FROM unnest(NEW.roles) r WHERE r = ANY (of_kind.roles));
        IF cardinality(NEW.roles) = 0 THEN
            NEW.roles := of_kind.roles;
        END IF;
    END IF;
    NEW.needed := coalesce(greatest(rule.needed, of_kind.needed), 1);
    NEW.maker_may_decide := coalesce(coalesce(rule.maker_may_decide, of_kind.maker_may_decide)
                                     AND coalesce(of_kind.maker_may_decide, true), false);
    NEW.step_up := approval_steps_up(rule, NEW.amount_minor, NEW.currency)
        OR approval_steps_up(of_kind, NEW.amount_minor, NEW.currency);
    NEW.requested_at := clock_timestamp();
    NEW.expires_at := NEW.requested_at + make_interval(secs => coalesce(least(rule.expires_after_s, of_kind.expires_after_s), 259200));
    NEW.state := 'pending';
    NEW.decided_at := NULL;
    NEW.released_job_id := NULL;
    RETURN NEW;
END
$$;
CREATE TRIGGER approval_asked BEFORE INSERT ON approval FOR EACH ROW EXECUTE FUNCTION approval_asked();

-- Nobody changes an approval but the functions here, and they only end it.
CREATE FUNCTION approval_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'UPDATE' THEN
        RAISE EXCEPTION 'approvals and decisions are kept' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF OLD.state <> 'pending'
       OR OLD.content::text <> NEW.content::text
       OR (OLD.approval_id, OLD.org_id, OLD.workspace_id, OLD.subject_kind, OLD.subject_id, OLD.content_hash,
           OLD.summary, OLD.amount_minor, OLD.currency, OLD.requested_by, OLD.requested_at, OLD.replaces,
           OLD.roles, OLD.needed, OLD.maker_may_decide, OLD.step_up, OLD.expires_at)
          IS DISTINCT FROM
          (NEW.approval_id, NEW.org_id, NEW.workspace_id, NEW.subject_kind, NEW.subject_id, NEW.content_hash,
           NEW.summary, NEW.amount_minor, NEW.currency, NEW.requested_by, NEW.requested_at, NEW.replaces,
           NEW.roles, NEW.needed, NEW.maker_may_decide, NEW.step_up, NEW.expires_at) THEN
        RAISE EXCEPTION 'an approval does not change once it was decided, and its content never does'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER approval_stays BEFORE UPDATE OR DELETE ON approval
    FOR EACH ROW EXECUTE FUNCTION approval_stays();
CREATE FUNCTION approval_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'approvals and decisions are kept as they were made' USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER approval_kept BEFORE TRUNCATE ON approval EXECUTE FUNCTION approval_kept();
CREATE TRIGGER approval_decision_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON approval_decision
    EXECUTE FUNCTION approval_kept();
CREATE TRIGGER approval_editor_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON approval_editor
    EXECUTE FUNCTION approval_kept();

-- The live session the transaction is opened in, if it is the acting person's own.
CREATE FUNCTION acting_session() RETURNS TABLE (session_id uuid, step_up_at timestamptz)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN QUERY SELECT s.session_id, s.step_up_at FROM session s
        JOIN member m ON m.org_id = s.org_id AND m.actor_id = s.actor_id AND m.account_id = s.account_id
        WHERE s.session_id = current_session() AND s.org_id = current_org() AND s.actor_id = current_actor()
          AND s.account_id = current_account() AND s.revoked_at IS NULL AND s.expires_at > clock_timestamp()
          AND s.last_seen_at > clock_timestamp() - interval '14 days';
END
$$;

-- Whether the acting person proved themselves again, so long ago at most.
CREATE FUNCTION stepped_up_within(span interval) RETURNS boolean
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN coalesce((SELECT s.step_up_at > clock_timestamp() - span AND s.step_up_at <= clock_timestamp()
                     FROM acting_session() s), false);
END
$$;

-- Everybody as whom a person acts: themselves, the tokens they made, and the tokens those made.
CREATE FUNCTION hands_of(org uuid, person uuid) RETURNS uuid[]
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
        WITH RECURSIVE hand AS (
            SELECT person AS actor_id
            UNION SELECT t.actor_id FROM hand h JOIN api_token t ON t.org_id = org AND t.made_by = h.actor_id
        )
        SELECT array_agg(h.actor_id) FROM hand h
    $$;

-- Whoever loses their access, or the role that makes tokens, leaves no token behind to act with.
CREATE FUNCTION member_leaves_no_token() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE api_token t SET revoked_at = clock_timestamp()
    WHERE t.org_id = NEW.org_id AND t.revoked_at IS NULL
      AND t.actor_id = ANY (hands_of(NEW.org_id, NEW.actor_id));
    RETURN NULL;
END
$$;
CREATE TRIGGER member_leaves_no_token AFTER UPDATE OF role, disabled_at ON member FOR EACH ROW
    WHEN ((OLD.disabled_at IS NULL AND NEW.disabled_at IS NOT NULL)
          OR (OLD.role = 'owner' AND NEW.role <> 'owner'))
    EXECUTE FUNCTION member_leaves_no_token();
REVOKE ALL ON FUNCTION member_leaves_no_token() FROM PUBLIC;
CREATE POLICY api_token_owner_ends ON api_token FOR UPDATE TO CURRENT_USER USING (true) WITH CHECK (true);

-- Why the acting person may not decide so at that moment; no row: they may. The first reason, in an order in
-- which what nobody can mend comes first.
CREATE FUNCTION approval_objection(a approval, verdict text, at timestamptz)
    RETURNS TABLE (code text, sentence text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who     member;
    hands   uuid[];
    present bytea;
BEGIN
    IF a.state <> 'pending' THEN
        RETURN QUERY SELECT 'decided', CASE a.state
            WHEN 'voided' THEN 'what was to be approved was edited, so this approval is void; decide on the new one'
            ELSE format('this was %s already; nothing is left to decide', a.state) END;
        RETURN;
    END IF;
    IF a.expires_at <= at THEN
        RETURN QUERY SELECT 'expired', 'nobody decided in time, so this expired; ask for it again';
        RETURN;
    END IF;
    SELECT s.content_hash INTO present FROM approval_subject s
    WHERE s.org_id = a.org_id AND s.subject_kind = a.subject_kind AND s.subject_id = a.subject_id;
    IF present IS DISTINCT FROM a.content_hash THEN
        RETURN QUERY SELECT 'changed', 'what was to be approved was edited; decide on the new approval';
        RETURN;
    END IF;
    SELECT * INTO who FROM member m WHERE m.org_id = a.org_id AND m.actor_id = current_actor();
    IF who.actor_id IS NULL OR NOT may('approvals:decide') THEN
        RETURN QUERY SELECT 'person', 'only a person whose role decides may do this; sign in as one';
        RETURN;
    END IF;
    IF who.disabled_at IS NOT NULL
       OR EXISTS (SELECT FROM account c WHERE c.account_id = who.account_id AND c.disabled_at IS NOT NULL) THEN
        RETURN QUERY SELECT 'disabled', 'this person''s access was ended';
        RETURN;
    END IF;
    IF who.role <> ALL (a.roles) THEN
        RETURN QUERY SELECT 'role', format('the rule leaves this to the role %s', array_to_string(a.roles, ' or '));
        RETURN;
    END IF;
    IF NOT who.all_workspaces
       AND NOT EXISTS (SELECT FROM member_workspace w WHERE w.org_id = a.org_id AND w.actor_id = who.actor_id
                       AND w.workspace_id = a.workspace_id) THEN
        RETURN QUERY SELECT 'room', 'this belongs to a workspace this person does not work in';
        RETURN;
    END IF;
    IF EXISTS (SELECT FROM approval_decision d WHERE d.approval_id = a.approval_id AND d.actor_id = who.actor_id) THEN
        RETURN QUERY SELECT 'repeat', 'you decided on this already; one person counts once';
        RETURN;
    END IF;
    hands := hands_of(a.org_id, who.actor_id);
    IF NOT a.maker_may_decide
       AND (a.requested_by = ANY (hands)
            OR EXISTS (SELECT FROM approval_editor e WHERE e.org_id = a.org_id AND e.subject_kind = a.subject_kind
                       AND e.subject_id = a.subject_id AND e.actor_id = ANY (hands)
                       -- A replay that was approved before had other makers.
                       AND e.at > coalesce((SELECT max(p.decided_at) FROM approval p
                                            WHERE p.org_id = a.org_id AND p.subject_kind = a.subject_kind
                                              AND p.subject_id = a.subject_id AND p.state = 'approved'),
                                           '-infinity'))) THEN
        RETURN QUERY SELECT 'maker', 'whoever asked for this or edited it does not decide on it; ask somebody else, or withdraw it';
        RETURN;
    END IF;
    IF NOT EXISTS (SELECT FROM acting_session()) THEN
        RETURN QUERY SELECT 'session', 'a decision is made in a session that is signed in; sign in and decide there';
        RETURN;
    END IF;
    IF verdict = 'approve' AND a.step_up AND NOT stepped_up_within('5 minutes') THEN
        RETURN QUERY SELECT 'step_up', 'this needs a fresh proof of who you are: enter a code from your second factor, then approve within 5 minutes';
    END IF;
END
$$;

CREATE FUNCTION approval_why_not(wanted uuid, verdict text) RETURNS TABLE (code text, sentence text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
        SELECT o.code, o.sentence FROM approval a, approval_objection(a, verdict, clock_timestamp()) o
        WHERE a.approval_id = wanted AND a.org_id = current_org()
    $$;

-- Deciding.
CREATE FUNCTION approval_decide() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    a   approval;
    why record;
    at  timestamptz;
BEGIN
    IF NEW.org_id IS DISTINCT FROM current_org() OR NEW.actor_id IS DISTINCT FROM current_actor() THEN
        RAISE EXCEPTION 'a decision is made in one''s own name' USING ERRCODE = 'insufficient_privilege';
    END IF;
    SELECT * INTO a FROM approval WHERE approval_id = NEW.approval_id AND org_id = NEW.org_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no such approval here' USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM FROM approval_subject s
    WHERE s.org_id = a.org_id AND s.subject_kind = a.subject_kind AND s.subject_id = a.subject_id FOR UPDATE;
    SELECT * INTO a FROM approval WHERE approval_id = NEW.approval_id FOR UPDATE;
    -- Once both rows are held: one moment, in which it is in time or not.
    at := clock_timestamp();
    SELECT * INTO why FROM approval_objection(a, NEW.decision, at);
    IF FOUND THEN
        RAISE EXCEPTION '%', why.sentence USING ERRCODE = 'CS001';
    END IF;
    IF NEW.content_hash IS DISTINCT FROM a.content_hash THEN
        RAISE EXCEPTION 'the content hash is not that of this approval; look at what it holds now, then decide'
            USING ERRCODE = 'CS001';
    END IF;
    NEW.decided_at := at;
    NEW.session_id := current_session();
    RETURN NEW;
END
$$;
CREATE TRIGGER approval_decide BEFORE INSERT ON approval_decision
    FOR EACH ROW EXECUTE FUNCTION approval_decide();

CREATE FUNCTION approval_decided() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    a     approval;
    job   json;
    votes integer;
BEGIN
    SELECT * INTO a FROM approval WHERE approval_id = NEW.approval_id;
    IF NEW.decision = 'reject' THEN
        UPDATE approval SET state = 'rejected', decided_at = NEW.decided_at WHERE approval_id = a.approval_id;
        RETURN NULL;
    END IF;
    -- Who lost the role or the access since does not count any more.
    SELECT count(*) INTO votes FROM approval_decision d
    JOIN member m ON m.org_id = d.org_id AND m.actor_id = d.actor_id
    JOIN account c ON c.account_id = m.account_id
    WHERE d.approval_id = a.approval_id AND d.decision = 'approve' AND d.content_hash = a.content_hash
      AND m.disabled_at IS NULL AND c.disabled_at IS NULL AND m.role = ANY (a.roles)
      AND (m.all_workspaces
           OR EXISTS (SELECT FROM member_workspace w WHERE w.org_id = a.org_id AND w.actor_id = m.actor_id
                      AND w.workspace_id = a.workspace_id));
    IF votes < a.needed THEN
        RETURN NULL;
    END IF;
    job := a.content -> 'job';
    UPDATE approval SET state = 'approved', decided_at = NEW.decided_at, released_job_id = (job ->> 'job_id')::uuid
    WHERE approval_id = a.approval_id;
    IF job IS NOT NULL THEN
        INSERT INTO approval_release (approval_id, org_id, workspace_id, job_id, kind, kind_version, payload_hash,
                                      released_at)
        VALUES (a.approval_id, a.org_id, a.workspace_id, (job ->> 'job_id')::uuid, job ->> 'kind',
                (job ->> 'kind_version')::smallint, sha256(convert_to((job -> 'payload')::text, 'UTF8')),
                clock_timestamp());
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER approval_decided AFTER INSERT ON approval_decision
    FOR EACH ROW EXECUTE FUNCTION approval_decided();

-- Approved and released are one: the transaction that releases a job has made it by its end.
CREATE FUNCTION approval_release_made() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE approval_release r SET used_at = clock_timestamp() FROM job j
    WHERE r.approval_id = NEW.approval_id AND r.used_at IS NULL AND j.job_id = r.job_id AND j.org_id = r.org_id
      AND j.workspace_id IS NOT DISTINCT FROM r.workspace_id
      AND j.kind = r.kind AND j.kind_version = r.kind_version
      AND sha256(convert_to(j.payload::text, 'UTF8')) = r.payload_hash;
    IF NOT FOUND AND NOT EXISTS (SELECT FROM approval_release r
                                 WHERE r.approval_id = NEW.approval_id AND r.used_at IS NOT NULL) THEN
        RAISE EXCEPTION 'the approved job was not enqueued, so nothing was approved' USING ERRCODE = 'CS001';
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER approval_release_made AFTER INSERT ON approval_release
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION approval_release_made();
-- The functions above read the ledger past the organisations.
CREATE POLICY job_owner ON job FOR SELECT TO CURRENT_USER USING (true);
CREATE POLICY job_batch_owner ON job_batch FOR SELECT TO CURRENT_USER USING (true);

-- Taking back what was asked: its makers, and whoever makes the rules.
CREATE FUNCTION approval_withdraw(wanted uuid) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    a approval;
BEGIN
    SELECT * INTO a FROM approval WHERE approval_id = wanted AND org_id = current_org();
    IF NOT FOUND OR NOT (sees_all_workspaces() OR coalesce(a.workspace_id = ANY (seen_workspaces()), false)) THEN
        RAISE EXCEPTION 'there is no such approval here' USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM FROM approval_subject s
    WHERE s.org_id = a.org_id AND s.subject_kind = a.subject_kind AND s.subject_id = a.subject_id FOR UPDATE;
    SELECT * INTO a FROM approval WHERE approval_id = wanted FOR UPDATE;
    IF a.state <> 'pending' THEN
        RAISE EXCEPTION 'this was % already; nothing is left to withdraw', a.state USING ERRCODE = 'CS001';
    END IF;
    IF NOT may('approvals:rules')
       AND NOT (may('approvals:request')
                AND (a.requested_by = current_actor()
                     OR EXISTS (SELECT FROM approval_editor e
                                WHERE e.org_id = a.org_id AND e.subject_kind = a.subject_kind
                                  AND e.subject_id = a.subject_id AND e.actor_id = current_actor()))) THEN
        RAISE EXCEPTION 'only whoever asked for this or edited it, or an owner, withdraws it'
            USING ERRCODE = 'CS001';
    END IF;
    UPDATE approval SET state = 'withdrawn', decided_at = clock_timestamp() WHERE approval_id = wanted;
END
$$;

-- Ending what nobody decided in time. Only reads the clock, so anybody may ask for it.
CREATE FUNCTION approval_due_orgs() RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ SELECT DISTINCT a.org_id FROM approval a WHERE a.state = 'pending' AND a.expires_at <= clock_timestamp() $$;

CREATE FUNCTION approval_expire(most integer)
    RETURNS TABLE (approval_id uuid, subject_kind text, workspace_id uuid)
    LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
        WITH due AS MATERIALIZED (
            SELECT d.approval_id FROM approval d
            WHERE d.org_id = current_org() AND d.state = 'pending' AND d.expires_at <= clock_timestamp()
            ORDER BY d.approval_id LIMIT most FOR UPDATE SKIP LOCKED
        )
        UPDATE approval a SET state = 'expired', decided_at = clock_timestamp() FROM due
        WHERE a.approval_id = due.approval_id AND a.state = 'pending'
        RETURNING a.approval_id, a.subject_kind, a.workspace_id
    $$;

-- The guard before the ledger. Nearly always it reads a table of a few rows, looks the new kinds through and
-- is done; only a job of a guarded kind costs more.
CREATE FUNCTION job_guard() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    watched text[] := (SELECT array_agg(g.kind) FROM guarded_kind g);
    made    record;
BEGIN
    IF watched IS NULL OR NOT EXISTS (SELECT FROM fresh f WHERE f.kind = ANY (watched)) THEN
        RETURN NULL;
    END IF;
    FOR made IN SELECT f.job_id, f.org_id, f.workspace_id, f.kind, f.kind_version, f.payload FROM fresh f
                WHERE f.kind = ANY (watched) AND needs_approval(f.org_id, f.kind) LOOP
        UPDATE approval_release r SET used_at = clock_timestamp()
        WHERE r.job_id = made.job_id AND r.used_at IS NULL AND r.org_id = made.org_id AND r.kind = made.kind
          AND r.kind_version = made.kind_version AND r.workspace_id IS NOT DISTINCT FROM made.workspace_id
          AND r.payload_hash = sha256(convert_to(made.payload::text, 'UTF8'));
        IF NOT FOUND THEN
            RAISE EXCEPTION 'jobs of the kind % need an approval here; ask for one with POST /v1/approvals', made.kind
                USING ERRCODE = 'CS001';
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;
CREATE TRIGGER job_guard AFTER INSERT ON job REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION job_guard();

-- What was approved is what runs. Fires only for statements that set these columns; the engine has none.
CREATE FUNCTION job_stays() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF (needs_approval(OLD.org_id, OLD.kind) OR needs_approval(NEW.org_id, NEW.kind))
       AND (OLD.job_id, OLD.org_id, OLD.workspace_id, OLD.kind, OLD.kind_version, OLD.payload::text)
           IS DISTINCT FROM
           (NEW.job_id, NEW.org_id, NEW.workspace_id, NEW.kind, NEW.kind_version, NEW.payload::text) THEN
        RAISE EXCEPTION 'a job that needs an approval does not change once it is in the ledger'
            USING ERRCODE = 'CS001';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER job_stays BEFORE UPDATE OF job_id, org_id, workspace_id, kind, kind_version, payload ON job
    FOR EACH ROW EXECUTE FUNCTION job_stays();

-- Work that would be enqueued later, by nobody, is refused when it is written down.
CREATE FUNCTION later_guard() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    wanted text;
BEGIN
    IF TG_TABLE_NAME = 'schedule' THEN
        wanted := NEW.kind;
    ELSE
        wanted := NEW.callback ->> 'kind';
    END IF;
    IF wanted IS NOT NULL AND needs_approval(NEW.org_id, wanted) THEN
        RAISE EXCEPTION 'jobs of the kind % need an approval each, so nothing may enqueue them by itself; ask for one with POST /v1/approvals', wanted
            USING ERRCODE = 'CS001';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER schedule_guard BEFORE INSERT OR UPDATE OF kind ON schedule
    FOR EACH ROW EXECUTE FUNCTION later_guard();
CREATE TRIGGER job_batch_guard BEFORE INSERT OR UPDATE OF callback ON job_batch
    FOR EACH ROW EXECUTE FUNCTION later_guard();

REVOKE ALL ON FUNCTION guard_kinds(text[]), needs_approval(uuid, text), guarded_by_rule(), acting_session(),
    stepped_up_within(interval), approval_objection(approval, text, timestamptz), approval_why_not(uuid, text),
    approval_withdraw(uuid), approval_due_orgs(), approval_expire(integer), hands_of(uuid, uuid),
    approval_steps_up(approval_rule, bigint, text) FROM PUBLIC;
-- Whoever may call a trigger's function may hang it on a table of their own and have it act as the owner.
REVOKE ALL ON FUNCTION api_token_made(), approval_rule_changed(), approval_subject_written(),
    approval_subject_changed(), approval_asked(), approval_stays(), approval_kept(), approval_decide(),
    approval_decided(), approval_release_made(), job_guard(), job_stays(), later_guard() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION guard_kinds(text[]), needs_approval(uuid, text), guarded_by_rule(),
    stepped_up_within(interval), approval_why_not(uuid, text), approval_withdraw(uuid), approval_due_orgs(),
    approval_expire(integer) TO countersign_app;
-- The engine asks before it enqueues a batch's callback.
GRANT EXECUTE ON FUNCTION needs_approval(uuid, text) TO countersign_engine;
