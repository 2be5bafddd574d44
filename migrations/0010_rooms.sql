-- Batches keep what is private as private as their jobs do.

-- Set when all jobs of the batch are private to the same actor.
ALTER TABLE job_batch ADD COLUMN private_to uuid;

DROP POLICY job_batch_read ON job_batch;
CREATE POLICY job_batch_read ON job_batch FOR SELECT TO countersign_app
    USING (org_id = (SELECT current_org())
           AND ((SELECT sees_all_workspaces()) OR workspace_id = ANY ((SELECT seen_workspaces())::uuid[]))
           AND (private_to IS NULL OR private_to = (SELECT current_actor())));

-- Nobody makes something private to somebody else: it would be out of everybody else's sight at once.
DO $$
DECLARE t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['job', 'job_history', 'job_batch'] LOOP
        EXECUTE format('DROP POLICY %I ON %I', t || '_insert', t);
        EXECUTE format(
            'CREATE POLICY %I ON %I FOR INSERT TO countersign_app
             WITH CHECK (org_id = (SELECT current_org()) AND (SELECT may_change())
                    AND ((SELECT sees_all_workspaces()) OR workspace_id = ANY ((SELECT seen_workspaces())::uuid[]))
                    AND (private_to IS NULL OR private_to = (SELECT current_actor())))',
            t || '_insert', t);
    END LOOP;
END
$$;

-- Nor moves what they see to where they don't, nor touches somebody's private batch. (A statement with a WHERE is held
-- to what its actor sees as it is; one without is not.)
DO $$
DECLARE
    t    text;
    sees text := 'org_id = (SELECT current_org()) AND (SELECT may_change())
                  AND ((SELECT sees_all_workspaces()) OR workspace_id = ANY ((SELECT seen_workspaces())::uuid[]))
                  AND (private_to IS NULL OR private_to = (SELECT current_actor()))';
BEGIN
    FOREACH t IN ARRAY ARRAY['job', 'job_history', 'job_batch'] LOOP
        EXECUTE format('DROP POLICY %I ON %I', t || '_update', t);
        EXECUTE format('CREATE POLICY %I ON %I FOR UPDATE TO countersign_app USING (%s) WITH CHECK (%s)',
                       t || '_update', t, sees, sees);
    END LOOP;
    DROP POLICY job_batch_delete ON job_batch;
    EXECUTE format('CREATE POLICY job_batch_delete ON job_batch FOR DELETE TO countersign_app USING (%s)', sees);
END
$$;
