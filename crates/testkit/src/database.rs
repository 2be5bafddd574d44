//! One test's database and Redis namespace; both are gone when it ends.

use std::str::FromStr;

use domain::{OrgId, Permissions};
use queue::{Queue, QueueConfig};
use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{Connection, PgConnection};
use store::Store;
use uuid::Uuid;

use crate::servers::{OwnServers, Urls, shared};
use crate::template;

/// A migrated database and a Redis namespace that nobody else uses. Dropped with this value.
pub struct TestDb {
    name: String,
    urls: Urls,
    pool: PgPool,
}

impl TestDb {
    /// A new one on the shared servers.
    pub async fn new() -> Self {
        Self::at(shared().await).await
    }

    /// A new one on servers of the test's own.
    pub async fn on(servers: &OwnServers) -> Self {
        Self::at(servers.urls()).await
    }

    async fn at(urls: &Urls) -> Self {
        let template = template::ensure(urls).await;
        let name = format!("test_{}", Uuid::now_v7().simple());
        let mut root = template::root(urls).await;
        template::run(&mut root, format!("CREATE DATABASE {name} TEMPLATE {template}")).await;
        root.close().await.unwrap();
        let options = PgConnectOptions::from_str(urls.database(&name).expose_secret()).unwrap();
        let pool = PgPoolOptions::new().max_connections(4).connect_lazy_with(options);
        Self { name, urls: urls.clone(), pool }
    }

    /// Address of the database, for the superuser.
    #[must_use]
    pub fn database_url(&self) -> SecretString {
        self.urls.database(&self.name)
    }

    /// Address of Redis; use it with [`TestDb::namespace`].
    #[must_use]
    pub fn redis_url(&self) -> SecretString {
        self.urls.redis()
    }

    /// Prefix of this test's keys in Redis.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.name
    }

    /// How the engine reaches both, under its own role.
    #[must_use]
    pub fn config(&self) -> QueueConfig {
        QueueConfig {
            namespace: self.name.clone(),
            role: Some("countersign_engine".into()),
            ..QueueConfig::new(self.database_url(), self.redis_url())
        }
    }

    /// A new handle to the queue, as another process would have one.
    pub async fn queue(&self) -> Queue {
        Queue::connect(self.config()).await.expect("connect the queue")
    }

    /// Tenant data as the app sees it.
    #[must_use]
    pub fn store(&self) -> Store {
        Store::connect(self.database_url(), Some("countersign_app")).unwrap()
    }

    /// Connections that no row-level security holds back.
    #[must_use]
    pub fn superuser(&self) -> &PgPool {
        &self.pool
    }

    /// A connection of the superuser's own, for a transaction that stays open.
    pub async fn connection(&self) -> PgConnection {
        PgConnection::connect(self.database_url().expose_secret()).await.unwrap()
    }

    /// Connections as the app has them inside a transaction opened for somebody of `org`; none: for nobody.
    pub async fn pool_as_app(&self, org: impl Into<Option<OrgId>>) -> PgPool {
        let org = org.into().map(|org| org.to_string()).unwrap_or_default();
        let options = PgConnectOptions::from_str(self.database_url().expose_secret())
            .unwrap()
            .options([("role", "countersign_app"), ("countersign.org", &org)])
            .options([("countersign.role", "system"), ("countersign.workspaces", "*")]);
        // A list of words has blanks, which connection options don't take.
        let everything = format!("SET countersign.may = '{}'", Permissions::EVERYTHING.setting());
        PgPoolOptions::new()
            .max_connections(2)
            .after_connect(move |connection, _| {
                let statement = sqlx::AssertSqlSafe(everything.clone());
                Box::pin(async move { sqlx::query(statement).execute(connection).await.map(|_| ()) })
            })
            .connect_with(options)
            .await
            .expect("connect as the app")
    }

    /// Makes an organisation with a workspace and a system actor.
    pub async fn org(&self, slug: &str) -> OrgId {
        let org = OrgId::new();
        sqlx::query(
            "WITH made AS (INSERT INTO org (org_id, slug, name) VALUES ($1, $2, $2) RETURNING org_id),
             room AS (INSERT INTO workspace (workspace_id, org_id, slug, name)
                      SELECT gen_random_uuid(), org_id, 'main', 'Main' FROM made)
             INSERT INTO actor (actor_id, org_id, kind, name)
             SELECT gen_random_uuid(), org_id, 'system', 'Countersign' FROM made",
        )
        .bind(org.0)
        .bind(slug)
        .execute(&self.pool)
        .await
        .expect("make an organisation");
        org
    }

    /// A connection to Redis.
    pub async fn redis(&self) -> redis::aio::MultiplexedConnection {
        let client = redis::Client::open(self.redis_url().expose_secret()).unwrap();
        client.get_multiplexed_async_connection().await.expect("reach Redis")
    }
}

impl Drop for TestDb {
    fn drop(&mut self) {
        let (name, urls) = (self.name.clone(), self.urls.clone());
        // The test's runtime may be ending: a runtime of its own sees it through. Servers that are gone
        // (a test about outages) took the database with them.
        let cleaning = std::thread::spawn(move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
                return;
            };
            runtime.block_on(async {
                let limit = std::time::Duration::from_secs(10);
                let _ = tokio::time::timeout(limit, drop_database(&urls, &name)).await;
                let _ = tokio::time::timeout(limit, drop_keys(&urls, &name)).await;
            });
        });
        let _ = cleaning.join();
    }
}

async fn drop_database(urls: &Urls, name: &str) -> Result<(), sqlx::Error> {
    let mut root = PgConnection::connect(urls.database("postgres").expose_secret()).await?;
    let statement = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
    sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut root).await?;
    root.close().await
}

async fn drop_keys(urls: &Urls, namespace: &str) -> Result<(), redis::RedisError> {
    let client = redis::Client::open(urls.redis().expose_secret())?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let mut cursor = 0_u64;
    loop {
        let (next, keys): (u64, Vec<Vec<u8>>) = redis::cmd("SCAN")
            .arg(cursor)
            .arg("MATCH")
            .arg(format!("{{{namespace}}}:*"))
            .arg("COUNT")
            .arg(1000)
            .query_async(&mut connection)
            .await?;
        if !keys.is_empty() {
            redis::cmd("UNLINK").arg(keys).query_async::<()>(&mut connection).await?;
        }
        if next == 0 {
            return Ok(());
        }
        cursor = next;
    }
}
