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

-- Entries that are not in the chain yet; not part of the log.
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
                AND ((SELECT acting_role()) = 'system' OR actor_id = (SELECT current_actor())));
CREATE POLICY audit_pending_insert ON audit_pending FOR INSERT TO countersign_app
    WITH CHECK (org_id = (SELECT current_org()));
GRANT SELECT, INSERT ON audit_entry TO countersign_app;
GRANT INSERT ON audit_pending TO countersign_app;
