//! The migrated database that every test's database is a copy of: made once a server, named after the
//! migrations it holds.

use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::servers::Urls;

static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations");

/// Makes the template if the server lacks it; answers its name. Processes take turns.
pub(crate) async fn ensure(urls: &Urls) -> String {
    let mut hash = Sha256::new();
    for migration in MIGRATIONS.iter() {
        hash.update(&*migration.checksum);
    }
    let hash = hash.finalize();
    let name = format!("countersign_template_{}", hex::encode(&hash[..8]));
    let mut root = root(urls).await;
    let lock = i64::from_be_bytes(hash[..8].try_into().unwrap());
    sqlx::query("SELECT pg_advisory_lock($1)").bind(lock).execute(&mut root).await.unwrap();
    let found: Option<i32> = sqlx::query_scalar("SELECT 1 FROM pg_database WHERE datname = $1")
        .bind(&name)
        .fetch_optional(&mut root)
        .await
        .unwrap();
    if found.is_none() {
        // Renamed when it is complete: a process that died over it leaves no half-made template.
        let unfinished = format!("{name}_unfinished");
        run(&mut root, format!("DROP DATABASE IF EXISTS {unfinished} WITH (FORCE)")).await;
        run(&mut root, format!("CREATE DATABASE {unfinished}")).await;
        store::migrate::run(&urls.database(&unfinished)).await.expect("migrate the template database");
        run(&mut root, format!("ALTER DATABASE {unfinished} RENAME TO {name}")).await;
    }
    // Closing the connection gives the lock back.
    root.close().await.unwrap();
    name
}

/// A connection to the server's own database.
pub(crate) async fn root(urls: &Urls) -> PgConnection {
    PgConnection::connect(urls.database("postgres").expose_secret())
        .await
        .expect("reach PostgreSQL as its superuser")
}

/// Runs a statement that can't take parameters; its names are made here.
pub(crate) async fn run(connection: &mut PgConnection, statement: String) {
    sqlx::query(AssertSqlSafe(statement.clone()))
        .execute(connection)
        .await
        .unwrap_or_else(|error| panic!("{statement}: {error}"));
}
