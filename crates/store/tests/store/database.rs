//! A database of one test's own, seen as the app and past row-level security.

use domain::Permissions;
use secrecy::SecretString;
use sqlx::PgConnection;
use store::{Actor, Store, orgs};
use testkit::TestDb;

/// `admin` bypasses row-level security; `store` is the app.
pub(crate) struct Database {
    pub(crate) url: SecretString,
    pub(crate) store: Store,
    pub(crate) admin: PgConnection,
    _kept: TestDb,
}

impl Database {
    /// One without any table.
    pub(crate) async fn empty() -> Self {
        let mut database = Self::migrated().await;
        for statement in ["DROP SCHEMA public CASCADE", "CREATE SCHEMA public"] {
            sqlx::query(statement).execute(&mut database.admin).await.unwrap();
        }
        database
    }

    pub(crate) async fn migrated() -> Self {
        let kept = TestDb::new().await;
        Self { url: kept.database_url(), store: kept.store(), admin: kept.connection().await, _kept: kept }
    }

    /// A new organisation, seen as its system actor.
    pub(crate) async fn org(&self, slug: &str) -> Actor {
        let org = orgs::create(&self.store, slug, slug).await.unwrap();
        Actor::token(org.org_id, org.system_actor_id, Permissions::TOKEN)
    }
}
