//! The tables' history: applies migrations, and tells which ones are missing.

use secrecy::{ExposeSecret, SecretString};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{Connection, PgConnection};

use crate::{Store, StoreError};

static MIGRATOR: Migrator = sqlx::migrate!("../../migrations");

/// A migration that this program knows and the database lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Its number.
    pub version: i64,
    /// What it does, in its file's words.
    pub description: String,
}

/// Why migrating stopped.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// The database can't be reached or refused the login.
    #[error("can't connect to PostgreSQL to migrate; check DATABASE_URL")]
    Connect(#[source] sqlx::Error),
    /// A migration failed or the database's history is not this program's.
    #[error("a migration was not applied")]
    Migrate(#[from] MigrateError),
    /// What follows the migrations failed.
    #[error("the migrations are applied, but their list could not be opened to the app")]
    Grant(#[source] sqlx::Error),
}

/// Applies every missing migration as the login of `url`, which owns the tables. Several processes may
/// call it at once: they take turns. Returns how many were applied.
///
/// # Errors
/// [`MigrationError`] with the step that failed.
pub async fn run(url: &SecretString) -> Result<usize, MigrationError> {
    let mut conn = PgConnection::connect(url.expose_secret()).await.map_err(MigrationError::Connect)?;
    let before = applied(&mut conn).await.map_err(MigrationError::Connect)?;
    MIGRATOR.run(&mut conn).await?;
    // The list belongs to the migrating login; readiness checks run as the app.
    sqlx::query("GRANT SELECT ON _sqlx_migrations TO countersign_app, countersign_engine")
        .execute(&mut conn)
        .await
        .map_err(MigrationError::Grant)?;
    conn.close().await.map_err(MigrationError::Grant)?;
    Ok(MIGRATOR.iter().filter(|migration| !before.contains(&migration.version)).count())
}

/// The migrations that this program knows and the database lacks; empty when all is in place.
///
/// # Errors
/// [`StoreError::Away`] when PostgreSQL can't be reached.
pub async fn pending(store: &Store) -> Result<Vec<Pending>, StoreError> {
    let applied = match store.pool().acquire().await {
        Ok(mut conn) => applied(&mut conn).await?,
        // The role is made by the first migration: a login refused for its sake is an empty database.
        Err(sqlx::Error::Database(error)) if matches!(error.code().as_deref(), Some("22023" | "42501")) => {
            Vec::new()
        }
        Err(error) => return Err(error.into()),
    };
    Ok(MIGRATOR
        .iter()
        .filter(|migration| !applied.contains(&migration.version))
        .map(|migration| Pending {
            version: migration.version,
            description: migration.description.to_string(),
        })
        .collect())
}

async fn applied(conn: &mut PgConnection) -> Result<Vec<i64>, sqlx::Error> {
    let versions =
        sqlx::query_scalar("SELECT version FROM _sqlx_migrations WHERE success").fetch_all(conn).await;
    match versions {
        // undefined_table; insufficient_privilege: the list exists, but migrating was not finished
        Err(sqlx::Error::Database(error)) if matches!(error.code().as_deref(), Some("42P01" | "42501")) => {
            Ok(Vec::new())
        }
        other => other,
    }
}
