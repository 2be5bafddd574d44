//! Row-level security: the app's role acts for one organisation at a time, the engine's role sees jobs and
//! nothing of who may do what. Every table of the database is tried; a new one fails until it has a row here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;

use domain::OrgId;
use sqlx::{AssertSqlSafe, PgPool, Row};
use testkit::TestDb;
use uuid::Uuid;

/// "That is not yours to do", by missing grant or by policy.
const DENIED: &str = "42501";

/// One row of each table for the organisation `$1`; org, workspace and actor have theirs from the start.
const ROWS: &[&str] = &[
    "INSERT INTO api_token (token_id, org_id, actor_id, name, token_hash, scopes)
     SELECT gen_random_uuid(), org_id, actor_id, 'token', sha256(org_id::text::bytea), '{jobs:read}'
     FROM actor WHERE org_id = $1",
    "INSERT INTO job (job_id, org_id, created_at, run_at, state, priority, kind_version, max_attempts, kind,
                      lane, payload)
     VALUES (gen_random_uuid(), $1, now(), now(), 'queued', 0, 1, 1, 'k', 'default', '{}')",
    "INSERT INTO job_history (job_id, org_id, created_at, run_at, finished_at, claim_no, state, priority,
                              kind_version, attempt, max_attempts, recoveries, kind, lane, payload)
     VALUES (gen_random_uuid(), $1, now(), now(), now(), 1, 'dead', 0, 1, 1, 1, 0, 'k', 'default', '{}')",
    // What hangs on a job is seen by whoever sees the job.
    "INSERT INTO job_wait (job_id, org_id, lane, what, key)
     SELECT job_id, org_id, 'default', 'w', 'k' FROM job WHERE org_id = $1",
    "INSERT INTO job_attempt (job_id, claim_no, org_id, attempt, finished_at, outcome)
     SELECT job_id, 1, org_id, 1, now(), 'retry' FROM job WHERE org_id = $1",
    "INSERT INTO job_event (job_id, org_id, what) SELECT job_id, org_id, 'cancelled' FROM job WHERE org_id = $1",
    "INSERT INTO job_key (org_id, kind, key, job_id, payload_hash) VALUES ($1, 'k', 'k', gen_random_uuid(), '')",
    "INSERT INTO job_unique (org_id, kind, key, job_id) VALUES ($1, 'k', 'k', gen_random_uuid())",
    "INSERT INTO job_batch (batch_id, org_id, name, total) VALUES (gen_random_uuid(), $1, 'b', 1)",
    "INSERT INTO invitation (invitation_id, org_id, email, role, all_workspaces, expires_at)
     VALUES (gen_random_uuid(), $1, 'ann@example.com', 'support', true, now())",
    "INSERT INTO lane_org (org_id, lane) VALUES ($1, 'default')",
    "INSERT INTO rate_limit (rate_limit_id, org_id, name, units, period_ms, burst)
     VALUES (gen_random_uuid(), $1, 'calls', 1, 1000, 1)",
    "INSERT INTO schedule (schedule_id, org_id, name, kind, payload, expression, zone)
     VALUES (gen_random_uuid(), $1, 's', 'k', '{}', '0 0 * * *', 'UTC')",
    "WITH made AS (INSERT INTO account (account_id, email, name)
                   VALUES (gen_random_uuid(), $1::text || '@people.test', 'Somebody') RETURNING account_id)
     INSERT INTO member (org_id, actor_id, account_id, email, role)
     SELECT a.org_id, a.actor_id, made.account_id, 'somebody@people.test', 'manager'
     FROM actor a, made WHERE a.org_id = $1::uuid",
    "INSERT INTO member_workspace (org_id, actor_id, workspace_id)
     SELECT m.org_id, m.actor_id, w.workspace_id FROM member m JOIN workspace w USING (org_id) WHERE org_id = $1",
    "INSERT INTO session (session_id, org_id, account_id, actor_id, token_hash, created_at, last_seen_at, expires_at)
     SELECT gen_random_uuid(), org_id, account_id, actor_id, sha256(org_id::text::bytea), now(), now(), now()
     FROM member WHERE org_id = $1",
    "INSERT INTO password_reset (reset_id, org_id, account_id, created_at, expires_at)
     SELECT gen_random_uuid(), org_id, account_id, now(), now() FROM member WHERE org_id = $1",
    // Brings its row of audit_pending.
    "INSERT INTO audit_entry (entry_id, org_id, at, standing, action, subject_kind, subject_id, content)
     VALUES (gen_random_uuid(), $1, now(), 'system', 'job.cancel', 'job', 'j', '{}')",
    "INSERT INTO audit_link (org_id, seq, entry_id, hash)
     SELECT org_id, 1, entry_id, sha256('') FROM audit_entry WHERE org_id = $1",
    "INSERT INTO audit_head (org_id, seq, hash) VALUES ($1, 1, sha256(''))",
    "INSERT INTO audit_checkpoint (org_id, seq, hash, at, key_id, signature)
     VALUES ($1, 1, sha256(''), now(), 'k', sha512(''))",
    "INSERT INTO oidc_flow (flow_id, org_id, state_hash, browser_hash, sealed, return_to, created_at, expires_at)
     VALUES (gen_random_uuid(), $1, sha256($1::text::bytea), '', '', '/', now(), now())",
    "INSERT INTO secret (secret_id, org_id, name, kind, owner_system, key_id, wrapped_key, ciphertext)
     VALUES (gen_random_uuid(), $1, 'stripe.api_key', 'api_key', 'Stripe', 'k', '', '')",
    "INSERT INTO secret_use (secret_id, org_id, used_by)
     SELECT secret_id, org_id, 'system.echo' FROM secret WHERE org_id = $1",
    "INSERT INTO hook_endpoint (hook_endpoint_id, org_id, provider, name, secrets_sealed)
     VALUES (gen_random_uuid(), $1, 'standard', 'h', ARRAY[''::bytea])",
    "INSERT INTO hook_event (hook_event_id, org_id, hook_endpoint_id, provider, provider_event_id, headers, body, job_id)
     SELECT gen_random_uuid(), org_id, hook_endpoint_id, provider, 'msg_1', '{}', '', gen_random_uuid()
     FROM hook_endpoint WHERE org_id = $1",
    "INSERT INTO approval_rule (org_id, subject_kind, roles, needed, expires_after_s)
     VALUES ($1, 'job_replay', '{owner}', 1, 3600)",
    // Approvals are written by their own triggers' leave only: rows for looking at are put past them.
    "WITH quiet AS MATERIALIZED (SELECT set_config('session_replication_role', 'replica', true))
     INSERT INTO approval_subject (org_id, subject_kind, subject_id, content_hash)
     SELECT $1, 'noun', 'one', sha256('') FROM quiet",
    "WITH quiet AS MATERIALIZED (SELECT set_config('session_replication_role', 'replica', true))
     INSERT INTO approval_editor (org_id, subject_kind, subject_id, version, actor_id)
     SELECT $1, 'noun', 'one', 1, gen_random_uuid() FROM quiet",
    "WITH quiet AS MATERIALIZED (SELECT set_config('session_replication_role', 'replica', true))
     INSERT INTO approval (approval_id, org_id, subject_kind, subject_id, content, content_hash, summary, requested_at,
                           roles, needed, maker_may_decide, step_up, expires_at, state)
     SELECT gen_random_uuid(), $1, 'noun', 'one', '{}', sha256(''), 's', now(), '{owner}', 1, false, false, now(),
            'pending' FROM quiet",
    "WITH quiet AS MATERIALIZED (SELECT set_config('session_replication_role', 'replica', true))
     INSERT INTO approval_decision (approval_id, actor_id, org_id, decision, content_hash, decided_at)
     SELECT approval_id, gen_random_uuid(), org_id, 'approve', content_hash, now() FROM quiet, approval
     WHERE org_id = $1",
    "WITH quiet AS MATERIALIZED (SELECT set_config('session_replication_role', 'replica', true))
     INSERT INTO approval_release (approval_id, org_id, job_id, kind, kind_version, payload_hash, released_at)
     SELECT approval_id, org_id, gen_random_uuid(), 'k', 1, content_hash, now() FROM quiet, approval WHERE org_id = $1",
];

/// Tables without an organisation, and a column to try a change on.
const PLATFORM: &[(&str, &str, Platform)] = &[
    ("_sqlx_migrations", "success", Platform::Open),
    ("account", "name", Platform::Hidden),
    ("audited_kind", "effect", Platform::Open),
    ("guarded_kind", "always", Platform::Open),
    ("identity", "last_used_at", Platform::Hidden),
    ("known_device", "last_used_at", Platform::Hidden),
    ("lane", "mode", Platform::Open),
    ("recovery_code", "used_at", Platform::Hidden),
    ("sign_in_throttle", "tat", Platform::Hidden),
    ("worker", "state", Platform::Open),
];

/// What a transaction of an organisation, acting for nobody in particular, has of a platform's table.
#[derive(Clone, Copy, PartialEq)]
enum Platform {
    /// Reads it and changes nothing.
    Open,
    /// Reads and changes not one row.
    Hidden,
}

/// What the engine works with; of every other table it has nothing.
const ENGINE: &[&str] = &[
    "_sqlx_migrations",
    "job",
    "job_attempt",
    "job_batch",
    "job_event",
    "job_history",
    "job_key",
    "job_unique",
    "job_wait",
    "lane",
    "lane_org",
    "rate_limit",
    "schedule",
    "worker",
];

/// Tables of the public schema, those with an `org_id` or those without.
async fn tables(db: &TestDb, with_org: bool) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT c.relname::text FROM pg_class c
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
           AND $1 = EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'org_id'
                            AND NOT a.attisdropped)
         ORDER BY 1",
    )
    .bind(with_org)
    .fetch_all(db.superuser())
    .await
    .unwrap()
}

async fn number(pool: &PgPool, statement: String) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(statement.clone()))
        .fetch_one(pool)
        .await
        .unwrap_or_else(|error| panic!("{statement}: {error}"))
}

/// Runs a statement; answers the rows it touched, or none when it was denied. Anything else is a failure.
async fn attempt(pool: &PgPool, statement: String) -> Option<u64> {
    match sqlx::query(AssertSqlSafe(statement.clone())).execute(pool).await {
        Ok(done) => Some(done.rows_affected()),
        Err(error) => {
            let code = error.as_database_error().and_then(|error| error.code()).unwrap_or_default();
            assert_eq!(code, DENIED, "{statement}: {error}");
            None
        }
    }
}

/// Two organisations with a row in every table that knows organisations.
async fn filled() -> (TestDb, OrgId, OrgId) {
    let db = TestDb::new().await;
    let (mine, theirs) = (db.org("mine").await, db.org("theirs").await);
    for org in [mine, theirs] {
        for row in ROWS {
            let done = sqlx::query(*row).bind(org.0).execute(db.superuser()).await.unwrap();
            assert_eq!(done.rows_affected(), 1);
        }
    }
    for table in tables(&db, true).await {
        for org in [mine, theirs] {
            let rows = format!("SELECT count(*) FROM {table} WHERE org_id = '{org}'");
            assert!(number(db.superuser(), rows).await > 0, "give {table} a row in ROWS");
        }
    }
    (db, mine, theirs)
}

/// What the superuser sees of an organisation in a table, as one value.
async fn picture(db: &TestDb, table: &str, org: OrgId) -> String {
    let rows =
        format!("SELECT string_agg(t::text, '|' ORDER BY t::text) FROM {table} t WHERE org_id = '{org}'");
    sqlx::query_scalar(AssertSqlSafe(rows)).fetch_one(db.superuser()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_table_with_an_organisation_is_guarded() {
    let db = TestDb::new().await;
    let rows = sqlx::query(
        "SELECT c.relname::text, c.relrowsecurity, c.relforcerowsecurity,
                EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid
                        AND 'countersign_app'::regrole = ANY (p.polroles)),
                has_table_privilege('countersign_app', c.oid, 'TRUNCATE, REFERENCES, TRIGGER'),
                pg_has_role('countersign_app', c.relowner, 'MEMBER')
         FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'org_id'
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')",
    )
    .fetch_all(db.superuser())
    .await
    .unwrap();
    assert!(rows.len() >= 15, "only {} tables found", rows.len());
    for row in rows {
        let table: String = row.get(0);
        assert!(row.get::<bool, _>(1), "{table}: ENABLE ROW LEVEL SECURITY");
        assert!(row.get::<bool, _>(2), "{table}: FORCE ROW LEVEL SECURITY");
        assert!(row.get::<bool, _>(3), "{table}: a policy for the app");
        assert!(!row.get::<bool, _>(4), "{table}: the app may truncate it or hang something on it");
        assert!(!row.get::<bool, _>(5), "{table}: the app owns it");
    }
    let strong: Vec<String> = sqlx::query_scalar(
        "SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'countersign_%'
         AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb)",
    )
    .fetch_all(db.superuser())
    .await
    .unwrap();
    assert!(strong.is_empty(), "{strong:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_app_sees_only_the_organisation_it_acts_for() {
    let (db, mine, _) = filled().await;
    let (app, nobody) = (db.pool_as_app(mine).await, db.pool_as_app(None).await);
    for table in tables(&db, true).await {
        let own = format!("SELECT count(*) FROM {table} WHERE org_id = '{mine}'");
        assert!(number(&app, own).await > 0, "{table}: its own row");
        let others = format!("SELECT count(*) FROM {table} WHERE org_id IS DISTINCT FROM '{mine}'");
        assert_eq!(number(&app, others).await, 0, "{table}: somebody else's rows");
        assert_eq!(number(&nobody, format!("SELECT count(*) FROM {table}")).await, 0, "{table}: for nobody");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_app_changes_nothing_of_another_organisation() {
    let (db, mine, theirs) = filled().await;
    let app = db.pool_as_app(mine).await;
    for table in tables(&db, true).await {
        let (before, own) = (picture(&db, &table, theirs).await, picture(&db, &table, mine).await);
        let touched = |rows: Option<u64>| rows.unwrap_or(0);
        let aim = format!("WHERE org_id = '{theirs}'");
        let update = format!("UPDATE {table} SET org_id = org_id {aim}");
        assert_eq!(touched(attempt(&app, update).await), 0, "{table}: update");
        assert_eq!(touched(attempt(&app, format!("DELETE FROM {table} {aim}")).await), 0, "{table}: delete");
        // Giving a row away.
        let gift = format!("UPDATE {table} SET org_id = '{theirs}' WHERE org_id = '{mine}'");
        assert_eq!(attempt(&app, gift).await, None, "{table}: a row was given away");
        // Writing one in another's name: its own, with the organisation exchanged.
        let columns: Vec<String> = sqlx::query_scalar(
            "SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0
             AND NOT attisdropped AND attidentity = '' AND attgenerated = '' AND attname <> 'org_id'",
        )
        .bind(&table)
        .fetch_all(db.superuser())
        .await
        .unwrap();
        let columns = columns.join(", ");
        let forged = format!(
            "INSERT INTO {table} (org_id, {columns}) SELECT '{theirs}', {columns} FROM {table} WHERE org_id = '{mine}'"
        );
        assert_eq!(attempt(&app, forged).await, None, "{table}: a row in another's name");
        let wipe = format!("TRUNCATE {table}");
        assert_eq!(attempt(&app, wipe).await, None, "{table}: truncate");
        assert_eq!(picture(&db, &table, theirs).await, before, "{table}");
        assert_eq!(picture(&db, &table, mine).await, own, "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_app_reads_the_platforms_tables_and_changes_none() {
    let (db, mine, _) = filled().await;
    let app = db.pool_as_app(mine).await;
    let platform: BTreeSet<String> = tables(&db, false).await.into_iter().collect();
    let known = PLATFORM.iter().map(|(table, ..)| (*table).to_owned()).collect();
    assert_eq!(platform, known, "a table without an organisation: say here what the app may do with it");
    for (table, column, has) in PLATFORM {
        let seen = attempt(&app, format!("SELECT * FROM {table}")).await.unwrap_or(0);
        assert!(*has == Platform::Open || seen == 0, "{table}: {seen} rows are seen by nobody in particular");
        for change in [
            format!("INSERT INTO {table} SELECT * FROM {table}"),
            format!("UPDATE {table} SET {column} = {column}"),
            format!("DELETE FROM {table}"),
        ] {
            let done = attempt(&app, change.clone()).await;
            let nothing = match has {
                Platform::Open => done.is_none(),
                Platform::Hidden => done.unwrap_or(0) == 0,
            };
            assert!(nothing, "{change}: {done:?}");
        }
    }
    // The platform's default limits are everybody's to read and nobody's to change.
    sqlx::query(
        "INSERT INTO rate_limit (rate_limit_id, org_id, name, units, period_ms, burst)
         VALUES (gen_random_uuid(), NULL, 'default', 1, 1000, 1)",
    )
    .execute(db.superuser())
    .await
    .unwrap();
    assert_eq!(number(&app, "SELECT count(*) FROM rate_limit WHERE org_id IS NULL".into()).await, 1);
    for change in [
        "UPDATE rate_limit SET units = 9 WHERE org_id IS NULL",
        "DELETE FROM rate_limit WHERE org_id IS NULL",
    ] {
        assert_eq!(attempt(&app, change.into()).await, Some(0), "{change}");
    }
    let own = "INSERT INTO rate_limit (rate_limit_id, org_id, name, units, period_ms, burst)
               VALUES (gen_random_uuid(), NULL, 'forged', 1, 1, 1)";
    assert_eq!(attempt(&app, own.into()).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_sees_everybodys_jobs_and_nobodys_tokens() {
    let (db, mine, theirs) = filled().await;
    let queue = db.queue().await;
    let engine = queue.pool();
    for table in
        ["job", "job_history", "job_wait", "job_attempt", "job_event", "job_key", "job_unique", "job_batch"]
    {
        for org in [mine, theirs] {
            let rows = format!("SELECT count(*) FROM {table} WHERE org_id = '{org}'");
            assert_eq!(number(engine, rows).await, 1, "{table}");
        }
    }
    let mut others = tables(&db, true).await;
    others.extend(tables(&db, false).await);
    others.retain(|table| !ENGINE.contains(&table.as_str()));
    assert!(others.len() >= 9, "{others:?}");
    for table in others {
        for statement in [
            format!("SELECT * FROM {table}"),
            format!("INSERT INTO {table} SELECT * FROM {table}"),
            format!("DELETE FROM {table}"),
        ] {
            assert_eq!(attempt(engine, statement.clone()).await, None, "{statement}");
        }
    }
    assert_eq!(attempt(engine, "SELECT * FROM api_token_lookup('\\x00')".into()).await, None);
    assert_eq!(attempt(engine, "SELECT org_lookup('mine')".into()).await, None);
    assert_eq!(attempt(engine, "CREATE TABLE mine (id int)".into()).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_found_only_by_its_exact_hash() {
    let (db, mine, theirs) = filled().await;
    let nobody = db.pool_as_app(None).await;
    let found: Vec<Uuid> = sqlx::query_scalar("SELECT org_id FROM api_token_lookup(sha256($1::text::bytea))")
        .bind(theirs.to_string())
        .fetch_all(&nobody)
        .await
        .unwrap();
    assert_eq!(found, [theirs.0]);
    let app = db.pool_as_app(mine).await;
    let missing: i64 = number(&app, "SELECT count(*) FROM api_token_lookup(NULL)".into()).await;
    assert_eq!(missing, 0);
}
