//! Reaching PostgreSQL: once with a clear sentence for commands, patiently for processes that serve.

use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail};
use queue::{Queue, QueueConfig, QueueError};
use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use store::{Store, StoreError, migrate};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::{Config, Servers};

const TRY_FOR: Duration = Duration::from_secs(3);
const TRY_EVERY: Duration = Duration::from_millis(250);
const SAY_EVERY: Duration = Duration::from_secs(5);

/// Opens one connection and closes it again.
///
/// # Errors
/// [`StoreError::Away`] when nobody answers, with the true cause; a pool would only say that it timed out.
async fn reach(url: &SecretString) -> Result<(), StoreError> {
    let options = PgConnectOptions::from_str(url.expose_secret())?;
    let connection = tokio::time::timeout(TRY_FOR, PgConnection::connect_with(&options));
    connection.await.map_err(|_| sqlx::Error::PoolTimedOut)??.close().await?;
    Ok(())
}

/// Where a login leads, without its password.
fn place(url: &SecretString) -> String {
    match PgConnectOptions::from_str(url.expose_secret()) {
        Ok(options) => match options.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => format!("{}:{}", options.get_host(), options.get_port()),
        },
        Err(_) => "the address given".into(),
    }
}

/// Fails at once when PostgreSQL does not answer.
pub(crate) async fn require(url: &SecretString) -> anyhow::Result<()> {
    reach(url).await.map_err(|error| match error {
        StoreError::Away(cause) => anyhow::Error::new(cause)
            .context(format!("PostgreSQL at {} does not answer; is it running?", place(url))),
        other => anyhow::Error::new(other).context(format!("PostgreSQL at {} refused the login", place(url))),
    })
}

/// Waits until PostgreSQL answers, saying so every five seconds. False when told to stop meanwhile.
pub(crate) async fn wait(url: &SecretString, stop: &CancellationToken) -> anyhow::Result<bool> {
    let mut patience = Patience::default();
    loop {
        match reach(url).await {
            Ok(()) => return Ok(true),
            Err(StoreError::Away(error)) => {
                patience.say(|| warn!(%error, "waiting for PostgreSQL at {}", place(url)));
            }
            Err(error) => {
                return Err(error).context(format!("PostgreSQL at {} refused the login", place(url)));
            }
        }
        if !rest(stop).await {
            return Ok(false);
        }
    }
}

/// Fails with what to do when the tables are not those this program knows.
pub(crate) async fn require_tables(store: &Store) -> anyhow::Result<()> {
    let pending = migrate::pending(store).await?;
    if let Some(first) = pending.first() {
        bail!(
            "the database lacks {} of this program's migrations (the next is {} {}); run `countersign migrate`",
            pending.len(),
            first.version,
            first.description
        );
    }
    Ok(())
}

/// The servers as a serving process has them: waits for PostgreSQL and its tables; Redis may come later.
/// None when told to stop meanwhile.
pub(crate) async fn serve(
    config: &Config,
    servers: &Servers,
    pool_size: u32,
    stop: &CancellationToken,
) -> anyhow::Result<Option<(Store, Queue)>> {
    let store = Store::connect(servers.app.url.clone(), servers.app.role)?;
    let mut patience = Patience::default();
    loop {
        if !wait(&servers.engine.url, stop).await? {
            return Ok(None);
        }
        match migrate::pending(&store).await {
            Ok(pending) if pending.is_empty() => match engine(config, servers, pool_size).await {
                Ok(queue) => return Ok(Some((store, queue))),
                Err(QueueError::DatabaseAway(error)) => {
                    patience.say(|| warn!(%error, "PostgreSQL went away again"));
                }
                Err(error) => return Err(error).context("the queue did not start"),
            },
            Ok(pending) => patience.say(|| {
                info!(missing = pending.len(), "waiting for the tables: run `countersign migrate`");
            }),
            Err(StoreError::Away(error)) => patience.say(|| warn!(%error, "PostgreSQL went away again")),
            Err(error) => return Err(error).context("the migrations can't be looked at"),
        }
        if !rest(stop).await {
            return Ok(None);
        }
    }
}

/// The engine's handle.
pub(crate) async fn engine(config: &Config, servers: &Servers, pool_size: u32) -> Result<Queue, QueueError> {
    let redis = servers.redis.clone().unwrap_or_default();
    let mut settings = QueueConfig::new(servers.engine.url.clone(), redis);
    settings.namespace = config.namespace().to_owned();
    settings.role = servers.engine.role.map(str::to_owned);
    settings.pool_size = pool_size;
    Queue::connect(settings).await
}

async fn rest(stop: &CancellationToken) -> bool {
    tokio::select! {
        () = stop.cancelled() => false,
        () = tokio::time::sleep(TRY_EVERY) => true,
    }
}

/// Says something at once and then every few seconds, however often it is asked to.
#[derive(Default)]
struct Patience {
    said: Option<tokio::time::Instant>,
}

impl Patience {
    fn say(&mut self, speak: impl FnOnce()) {
        if self.said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
            self.said = Some(tokio::time::Instant::now());
            speak();
        }
    }
}
