//! The vault's role and its port: what it opens, for whom, and what stays closed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::LazyLock;
use std::time::Duration;

use domain::ports::{SecretAsk, Vault, VaultFault};
use domain::{OrgId, SecretId, WorkspaceId};
use secrecy::{ExposeSecret, SecretString};
use sqlx::AssertSqlSafe;
use store::secrets::{NewSecret, SealedValue, seal_context};
use store::{Store, Tx, secrets};
use testkit::{TestDb, eventually};
use vault::{OpeningKeys, SealingKeys, files};
use workers::VaultPort;

static PRIVATE: LazyLock<String> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    files::init(folder.path()).unwrap();
    std::fs::read_to_string(folder.path().join("vault.pem")).unwrap()
});

fn keys() -> OpeningKeys {
    OpeningKeys::from_pem(&PRIVATE, "test").unwrap()
}

fn vault_store(db: &TestDb) -> Store {
    Store::connect(db.database_url(), Some("countersign_vault")).unwrap()
}

async fn store(db: &TestDb, org: OrgId, name: &str, room: Option<WorkspaceId>, value: &str) -> SecretId {
    let secret_id = SecretId::new();
    let sealing = SealingKeys::from_pem(&keys().public_pem(), "test").unwrap();
    let sealed = sealing.seal(&SecretString::from(value), &seal_context(org, secret_id, 1)).unwrap();
    let new = NewSecret {
        secret_id,
        workspace_id: room,
        name: name.into(),
        kind: "api_key".into(),
        owner_system: "Stripe".into(),
        expires_at: None,
        sealed: SealedValue {
            key_id: sealed.key_id,
            wrapped_key: sealed.wrapped_key,
            ciphertext: sealed.ciphertext,
        },
    };
    let mut tx = Tx::system(&db.store(), org, "a test").await.unwrap();
    secrets::create(&mut tx, &new).await.unwrap();
    tx.commit().await.unwrap();
    secret_id
}

fn ask(org: OrgId, workspace: Option<WorkspaceId>, name: &str) -> SecretAsk<'_> {
    SecretAsk { org, workspace, name, used_by: "payouts.send_transfer" }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_opens_what_its_job_may_have_and_the_use_is_noted() {
    let db = TestDb::new().await;
    let (mine, theirs) = (db.org("mine").await, db.org("theirs").await);
    let room: WorkspaceId = sqlx::query_scalar("SELECT workspace_id FROM workspace WHERE org_id = $1")
        .bind(mine.0)
        .fetch_one(db.superuser())
        .await
        .map(WorkspaceId)
        .unwrap();
    let id = store(&db, mine, "stripe.api_key", None, "sk_live_mine").await;
    store(&db, theirs, "stripe.api_key", None, "sk_live_theirs").await;
    store(&db, mine, "paypal.password", Some(room), "in the room").await;
    let port = VaultPort::new(vault_store(&db), Box::new(keys()));
    for _ in 0..3 {
        let value = port.open(ask(mine, Some(room), "stripe.api_key")).await.unwrap();
        assert_eq!(value.expose_secret(), "sk_live_mine");
    }
    let value = port.open(ask(theirs, None, "stripe.api_key")).await.unwrap();
    assert_eq!(value.expose_secret(), "sk_live_theirs");
    for room in [Some(room), None] {
        assert!(port.open(ask(mine, room, "paypal.password")).await.is_ok());
    }
    let elsewhere = port.open(ask(mine, Some(WorkspaceId::new()), "paypal.password")).await.unwrap_err();
    assert!(matches!(elsewhere, VaultFault::NotFound(_)), "{elsewhere}");
    let missing = port.open(ask(mine, None, "no.such")).await.unwrap_err();
    assert!(missing.to_string().contains("no.such"), "{missing}");
    eventually(Duration::from_secs(10), || async {
        let mut tx = Tx::system(&db.store(), mine, "a test").await.unwrap();
        let row = secrets::get(&mut tx, id).await.unwrap();
        let uses: Vec<_> = row.uses.0.iter().map(|each| (each.used_by.as_str(), each.uses)).collect();
        uses == [("payouts.send_transfer", 3)] && row.last_opened_at.is_some()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sealed_bytes_that_were_moved_do_not_open() {
    let db = TestDb::new().await;
    let (mine, theirs) = (db.org("mine").await, db.org("theirs").await);
    let (a, b) = (store(&db, mine, "a", None, "one").await, store(&db, theirs, "b", None, "two").await);
    sqlx::query(
        "UPDATE secret t SET key_id = f.key_id, wrapped_key = f.wrapped_key, ciphertext = f.ciphertext
         FROM secret f WHERE t.secret_id = $1 AND f.secret_id = $2",
    )
    .bind(a.0)
    .bind(b.0)
    .execute(db.superuser())
    .await
    .unwrap();
    sqlx::query("UPDATE secret SET version = version + 1 WHERE secret_id = $1")
        .bind(b.0)
        .execute(db.superuser())
        .await
        .unwrap();
    let port = VaultPort::new(vault_store(&db), Box::new(keys()));
    for (org, name) in [(mine, "a"), (theirs, "b")] {
        let fault = port.open(ask(org, None, name)).await.unwrap_err();
        assert!(matches!(&fault, VaultFault::Unusable(why) if why.contains(name)), "{fault}");
    }
    let closed = VaultPort::closed().open(ask(mine, None, "a")).await.unwrap_err();
    assert!(closed.to_string().contains("COUNTERSIGN_KEYS_DIR"), "{closed}");
}

/// By raw SQL: the app can't read sealed bytes, the vault can read nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn the_app_and_the_vault_have_one_half_each() {
    let db = TestDb::new().await;
    let org = db.org("mine").await;
    store(&db, org, "a", None, "one").await;
    let app = db.pool_as_app(org).await;
    for statement in [
        "SELECT wrapped_key FROM secret",
        "SELECT ciphertext FROM secret",
        "SELECT * FROM secret",
        "UPDATE secret SET name = encode(ciphertext, 'hex')",
        "UPDATE secret SET owner_system = encode(ciphertext, 'hex')",
        "DELETE FROM secret WHERE ciphertext IS NOT NULL",
        "INSERT INTO secret_use (secret_id, org_id, used_by) SELECT secret_id, org_id, 'x' FROM secret",
        "SELECT * FROM secret_keys()",
    ] {
        assert_eq!(denied(&app, statement).await, "42501", "the app: {statement}");
    }
    let vault = vault_pool(&db, org).await;
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v')",
    )
    .fetch_all(db.superuser())
    .await
    .unwrap();
    assert!(tables.len() > 20);
    for table in tables.iter().filter(|table| *table != "secret" && *table != "secret_use") {
        let statement = format!("SELECT count(*) FROM {table}");
        assert_eq!(denied(&vault, &statement).await, "42501", "the vault: {statement}");
    }
    for statement in [
        "UPDATE secret SET ciphertext = ''",
        "UPDATE secret SET name = 'x'",
        "DELETE FROM secret",
        "DELETE FROM secret_use",
        "INSERT INTO secret SELECT * FROM secret",
        "SELECT account_lookup('x')",
    ] {
        assert_eq!(denied(&vault, statement).await, "42501", "the vault: {statement}");
    }
    let seen: i64 =
        sqlx::query_scalar("SELECT count(ciphertext) FROM secret").fetch_one(&vault).await.unwrap();
    assert_eq!(seen, 1);
    let stranger = vault_pool(&db, OrgId::new()).await;
    let seen: i64 =
        sqlx::query_scalar("SELECT count(ciphertext) FROM secret").fetch_one(&stranger).await.unwrap();
    assert_eq!(seen, 0);
}

async fn vault_pool(db: &TestDb, org: OrgId) -> sqlx::PgPool {
    use std::str::FromStr;
    let options = sqlx::postgres::PgConnectOptions::from_str(db.database_url().expose_secret())
        .unwrap()
        .options([("role", "countersign_vault"), ("countersign.org", &org.to_string())]);
    sqlx::postgres::PgPoolOptions::new().max_connections(1).connect_with(options).await.unwrap()
}

async fn denied(pool: &sqlx::PgPool, statement: &str) -> String {
    match sqlx::query(AssertSqlSafe(statement.to_owned())).execute(pool).await {
        Ok(_) => "it was done".into(),
        Err(error) => error.as_database_error().unwrap().code().unwrap().into_owned(),
    }
}
