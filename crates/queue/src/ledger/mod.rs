//! The ledger in PostgreSQL: all SQL of the engine's hot path and of its recovery.
//!
//! Statements work on arrays, so that many callers share one round trip and one commit. None of them
//! filters by anything but ids on the hot table; see `migrations/0002_queue.sql` for why.

pub mod claim;
pub mod finish;
pub mod insert;
pub mod open_rows;
pub mod waits;

use std::str::FromStr;

use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{Connection, Executor, PgConnection};

use crate::error::QueueError;

/// A connection that is not there by then counts as away.
const CONNECT_WITHIN: std::time::Duration = std::time::Duration::from_secs(5);

/// Settings of a connection by what it is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Operators' actions, sweeps.
    General,
    /// Group commits that must be durable: enqueue, completion. Plans are fixed to the primary key.
    Durable,
    /// Claims: losing one in a crash only means that the job runs again.
    Volatile,
}

/// How to reach the ledger.
#[derive(Clone)]
pub(crate) struct Ledger {
    url: SecretString,
    role: Option<String>,
    pool: PgPool,
}

impl Ledger {
    pub(crate) fn connect(
        url: &SecretString,
        role: Option<&str>,
        pool_size: u32,
    ) -> Result<Self, QueueError> {
        let role = role.map(str::to_owned);
        let set_role = role.as_ref().map(|role| set_role(role));
        let pool = PgPoolOptions::new()
            .max_connections(pool_size)
            .acquire_timeout(std::time::Duration::from_secs(3))
            .after_connect(move |connection, _| {
                let set_role = set_role.clone();
                Box::pin(async move {
                    if let Some(set_role) = set_role {
                        connection.execute(sqlx::AssertSqlSafe(set_role)).await?;
                    }
                    Ok(())
                })
            })
            .connect_lazy_with(options(url, Profile::General)?);
        Ok(Self { url: url.clone(), role, pool })
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// A connection of its own, outside the pool.
    pub(crate) async fn open(&self, profile: Profile) -> Result<PgConnection, QueueError> {
        let options = options(&self.url, profile)?;
        let mut connection = tokio::time::timeout(CONNECT_WITHIN, PgConnection::connect_with(&options))
            .await
            .map_err(|_| QueueError::DatabaseAway(sqlx::Error::PoolTimedOut))??;
        if let Some(role) = &self.role {
            connection.execute(sqlx::AssertSqlSafe(set_role(role))).await?;
        }
        Ok(connection)
    }
}

fn set_role(role: &str) -> String {
    format!("SET ROLE \"{}\"", role.replace('"', "\"\""))
}

fn options(url: &SecretString, profile: Profile) -> Result<PgConnectOptions, QueueError> {
    let options = PgConnectOptions::from_str(url.expose_secret())?.application_name("countersign-queue");
    // The hot tables' statistics lag behind their size by nature: a plan must never depend on them.
    let by_key = [
        ("enable_seqscan", "off"),
        ("enable_hashjoin", "off"),
        ("enable_mergejoin", "off"),
        ("plan_cache_mode", "force_generic_plan"),
        ("jit", "off"),
    ];
    // A process that is stopped or cut off inside a transaction must not keep its rows from those who take
    // its work over: they are free again before its lease ends. Promotions wait for the limiter meanwhile.
    let patience = |length| [("idle_in_transaction_session_timeout", length)];
    Ok(match profile {
        Profile::General => options.options([("jit", "off")]).options(patience("5s")),
        Profile::Durable => options.options(by_key).options(patience("5s")),
        Profile::Volatile => {
            options.options(by_key).options([("synchronous_commit", "off")]).options(patience("30s"))
        }
    })
}
