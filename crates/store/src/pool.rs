//! The connections of the app's role.

use std::str::FromStr;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::StoreError;
use crate::audit::Chainer;

/// Where PostgreSQL is and how it is used.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// `postgres://…`.
    pub url: SecretString,
    /// Role to act as after login, such as `countersign_app`; none when the login is that role itself.
    pub role: Option<String>,
    /// Most connections held at once.
    pub max_connections: u32,
    /// How long a caller waits for a connection before PostgreSQL counts as away.
    pub acquire_timeout: Duration,
    /// How long one statement may run.
    pub statement_timeout: Duration,
}

impl StoreConfig {
    /// The ordinary settings for one process.
    #[must_use]
    pub fn new(url: SecretString, role: Option<&str>) -> Self {
        Self {
            url,
            role: role.map(str::to_owned),
            max_connections: 12,
            acquire_timeout: Duration::from_secs(2),
            statement_timeout: Duration::from_secs(10),
        }
    }
}

/// A pool of connections to tenant data. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    pool: PgPool,
    chainer: Chainer,
}

impl Store {
    /// A store with the ordinary settings. Connects when first used, so PostgreSQL may be away now.
    ///
    /// # Errors
    /// When the URL can't be read.
    pub fn connect(url: SecretString, role: Option<&str>) -> Result<Self, StoreError> {
        Self::connect_with(&StoreConfig::new(url, role))
    }

    /// The same with chosen settings.
    ///
    /// # Errors
    /// When the URL can't be read.
    pub fn connect_with(config: &StoreConfig) -> Result<Self, StoreError> {
        let millis = config.statement_timeout.as_millis();
        let mut options = PgConnectOptions::from_str(config.url.expose_secret())?
            .application_name("countersign-app")
            .options([("statement_timeout", format!("{millis}"))])
            .options([("idle_in_transaction_session_timeout", "30000")]);
        if let Some(role) = &config.role {
            // The server refuses the login when the role is not there or not granted, so nobody ever works
            // as the login itself by accident.
            options = options.options([("role", role)]);
        }
        let pool = PgPoolOptions::new()
            .max_connections(config.max_connections)
            .acquire_timeout(config.acquire_timeout)
            // One more round trip, and a restart of PostgreSQL costs nobody an error afterwards.
            .test_before_acquire(true)
            .idle_timeout(Duration::from_secs(300))
            .connect_lazy_with(options);
        Ok(Self { chainer: Chainer::new(pool.clone()), pool })
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }

    pub(crate) fn chainer(&self) -> &Chainer {
        &self.chainer
    }

    /// Asks PostgreSQL whether it is there.
    ///
    /// # Errors
    /// [`StoreError::Away`] when it is not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").execute(&self.pool).await?;
        Ok(())
    }

    /// Closes every connection; later calls fail as away.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}
