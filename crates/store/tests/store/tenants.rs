//! Organisations and tokens, and that one organisation can't see another's.

use chrono::{Duration, Utc};
use domain::{Permission, Permissions, Role, WorkspaceId};
use secrecy::ExposeSecret;
use sqlx::AssertSqlSafe;
use store::{Actor, StoreError, Tx, Workspaces, orgs, tokens};

use crate::database::Database;

#[tokio::test]
async fn an_organisation_is_made_once_and_found_by_its_slug() {
    let database = Database::migrated().await;
    let made = orgs::ensure(&database.store, "acme", "Acme").await.unwrap();
    let again = orgs::ensure(&database.store, "acme", "Acme").await.unwrap();
    assert_eq!(made, again);
    assert_eq!(orgs::find(&database.store, "acme").await.unwrap(), Some(made.org_id));
    assert_eq!(orgs::find(&database.store, "nobody").await.unwrap(), None);

    let taken = orgs::create(&database.store, "acme", "Other").await;
    assert!(matches!(taken, Err(StoreError::Conflict(_))), "{taken:?}");
    for (slug, name, wrong) in [("Bad Slug", "x", "slug"), ("fine", "", "name")] {
        match orgs::create(&database.store, slug, name).await {
            Err(StoreError::Invalid { field, .. }) => assert_eq!(field, wrong),
            other => panic!("{slug}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn many_at_once_make_one_organisation() {
    let database = Database::migrated().await;
    let tasks = (0..8).map(|_| {
        let store = database.store.clone();
        tokio::spawn(async move { orgs::ensure(&store, "one", "One").await.unwrap().org_id })
    });
    let mut ids = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        ids.push(task.await.unwrap());
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
}

#[tokio::test]
async fn a_token_lives_is_seen_and_ends() {
    let mut database = Database::migrated().await;
    let actor = database.org("acme").await;
    let mut tx = Tx::for_actor(&database.store, &actor).await.unwrap();
    let scopes = Permissions::of(&[Permission::JobsRead, Permission::JobsWrite]);
    let token = tokens::create(&mut tx, "ci", scopes, Some(Utc::now() + Duration::days(1))).await.unwrap();
    tx.commit().await.unwrap();

    let secret = token.secret.expose_secret();
    assert!(!format!("{token:?}").contains(secret), "a secret must not be printable");
    let hash = tokens::hash(secret).unwrap();
    let shown = tokens::look_up(&database.store, &hash).await.unwrap().unwrap();
    assert_eq!(
        (shown.token_id, shown.actor.org_id, shown.actor.permissions),
        (token.token_id, actor.org_id, scopes)
    );
    assert_eq!((shown.actor.actor_id, shown.revoked_at), (token.actor_id, None));
    assert!(tokens::look_up(&database.store, &[7; 32]).await.unwrap().is_none());
    let stored: Vec<u8> =
        sqlx::query_scalar("SELECT token_hash FROM api_token").fetch_one(&mut database.admin).await.unwrap();
    assert_eq!(stored, hash, "only the hash is kept");

    tokens::touch(&database.store, actor.org_id, token.token_id).await.unwrap();
    let mut tx = Tx::for_actor(&database.store, &actor).await.unwrap();
    let first = tokens::list(&mut tx).await.unwrap();
    drop(tx);
    tokens::touch(&database.store, actor.org_id, token.token_id).await.unwrap();
    let mut tx = Tx::for_actor(&database.store, &actor).await.unwrap();
    assert_eq!(first[0].name, "ci");
    assert!(first[0].last_used_at.is_some());
    assert_eq!(tokens::list(&mut tx).await.unwrap()[0].last_used_at, first[0].last_used_at, "once a minute");

    tokens::revoke(&mut tx, token.token_id).await.unwrap();
    tx.commit().await.unwrap();
    let shown = tokens::look_up(&database.store, &hash).await.unwrap().unwrap();
    assert!(shown.revoked_at.is_some());
}

#[tokio::test]
async fn bad_tokens_are_refused_with_a_reason() {
    let database = Database::migrated().await;
    let actor = database.org("acme").await;
    for (name, scopes, expires, wrong) in [
        ("x", Permissions::TOKEN, Some(Utc::now() - Duration::seconds(1)), "expires_at"),
        ("", Permissions::TOKEN, None, "name"),
        ("x", Permissions::default(), None, "scopes"),
    ] {
        let mut tx = Tx::for_actor(&database.store, &actor).await.unwrap();
        match tokens::create(&mut tx, name, scopes, expires).await {
            Err(StoreError::Invalid { field, .. }) => assert_eq!(field, wrong),
            other => panic!("{wrong}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn another_organisations_things_are_not_there() {
    let mut database = Database::migrated().await;
    let (one, two) = (database.org("one").await, database.org("two").await);
    let mut tx = Tx::for_actor(&database.store, &one).await.unwrap();
    let token = tokens::create(&mut tx, "mine", Permissions::TOKEN, None).await.unwrap();
    tx.commit().await.unwrap();

    let mut tx = Tx::for_actor(&database.store, &two).await.unwrap();
    assert!(tokens::list(&mut tx).await.unwrap().is_empty());
    assert!(matches!(tokens::revoke(&mut tx, token.token_id).await, Err(StoreError::NotFound("token"))));
    let seen: i64 = sqlx::query_scalar("SELECT count(*) FROM org").fetch_one(tx.conn()).await.unwrap();
    assert_eq!(seen, 1);
    let forged =
        sqlx::query("INSERT INTO workspace (workspace_id, org_id, slug, name) VALUES ($1, $2, 'x', 'x')")
            .bind(uuid::Uuid::now_v7())
            .bind(one.org_id.0)
            .execute(tx.conn())
            .await;
    assert!(forged.is_err(), "a row of another organisation must be refused");
    drop(tx);

    // Every table with an organisation in it shows nothing to nobody.
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT c.table_name::text FROM information_schema.columns c
         JOIN information_schema.tables t USING (table_schema, table_name)
         WHERE c.table_schema = 'public' AND c.column_name = 'org_id' AND t.table_type = 'BASE TABLE'",
    )
    .fetch_all(&mut database.admin)
    .await
    .unwrap();
    assert!(tables.len() >= 10, "{tables:?}");
    for table in tables {
        let forced: bool = sqlx::query_scalar(
            "SELECT relrowsecurity AND relforcerowsecurity FROM pg_class WHERE oid = $1::regclass",
        )
        .bind(&table)
        .fetch_one(&mut database.admin)
        .await
        .unwrap();
        assert!(forced, "{table} has no row-level security");
    }
}

#[tokio::test]
async fn a_reader_cannot_write() {
    let database = Database::migrated().await;
    let actor = database.org("acme").await;
    let mut tx = Tx::for_reader(&database.store, &actor).await.unwrap();
    assert!(tokens::create(&mut tx, "x", Permissions::TOKEN, None).await.is_err());
}

#[tokio::test]
async fn nothing_is_moved_to_where_its_mover_does_not_see_it() {
    let mut database = Database::migrated().await;
    let org = orgs::create(&database.store, "acme", "Acme").await.unwrap();
    let (own, other) = (org.workspace_id, WorkspaceId::new());
    let rows = format!(
        "INSERT INTO workspace (workspace_id, org_id, slug, name) VALUES ('{other}', '{0}', 'other', 'Other');
         INSERT INTO job (job_id, org_id, workspace_id, created_at, run_at, state, priority, kind_version,
                          max_attempts, kind, lane, payload)
         VALUES (gen_random_uuid(), '{0}', '{own}', now(), now(), 'queued', 0, 1, 1, 'k', 'default', '{{}}');
         INSERT INTO job_history (job_id, org_id, workspace_id, created_at, run_at, finished_at, claim_no, state,
                                  priority, kind_version, attempt, max_attempts, recoveries, kind, lane, payload)
         VALUES (gen_random_uuid(), '{0}', '{own}', now(), now(), now(), 1, 'dead', 0, 1, 1, 1, 0, 'k', 'default',
                 '{{}}');
         INSERT INTO job_batch (batch_id, org_id, workspace_id, name, total)
         VALUES (gen_random_uuid(), '{0}', '{own}', 'b', 1);
         INSERT INTO job_batch (batch_id, org_id, workspace_id, name, total, private_to)
         VALUES (gen_random_uuid(), '{0}', '{own}', 'private', 1, gen_random_uuid())",
        org.org_id
    );
    sqlx::raw_sql(AssertSqlSafe(rows)).execute(&mut database.admin).await.unwrap();
    let mia = Actor::person(org.org_id, org.system_actor_id, Role::Manager, Workspaces::Only([own].into()));
    for table in ["job", "job_history", "job_batch"] {
        for change in [format!("workspace_id = '{other}'"), "private_to = gen_random_uuid()".to_owned()] {
            let mut tx = Tx::for_actor(&database.store, &mia).await.unwrap();
            let text = format!("UPDATE {table} SET {change}");
            let error = sqlx::query(AssertSqlSafe(text.clone())).execute(tx.conn()).await.unwrap_err();
            assert_eq!(error.as_database_error().unwrap().code().unwrap(), "42501", "{text}");
        }
    }
    let mut tx = Tx::for_actor(&database.store, &mia).await.unwrap();
    let gone = sqlx::query("DELETE FROM job_batch").execute(tx.conn()).await.unwrap();
    assert_eq!(gone.rows_affected(), 1, "not the private one");
}
