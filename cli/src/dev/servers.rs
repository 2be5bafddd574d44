//! PostgreSQL and Redis for `dev`: private ones, or those that DATABASE_URL and REDIS_URL name.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use embedded::{Options, Servers};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use sqlx::Postgres;
use sqlx::migrate::MigrateDatabase;
use store::migrate;
use tokio_util::sync::CancellationToken;

use super::console::Console;
use super::home::Home;
use crate::config::Config;
use crate::database;

/// The database in a PostgreSQL of ours.
const DATABASE: &str = "countersign";
/// The login that owns it there.
const OWNER: &str = "postgres";
/// Where a root launcher keeps its servers' data when its own directory is closed to them.
const ROOT_DATA: &str = "/var/lib/countersign";

/// Starts what is not given.
pub(super) async fn start(home: &Home, config: &Config, console: &Console) -> anyhow::Result<Servers> {
    match Box::pin(Servers::start(options(&home.data(), config, console))).await {
        Err(embedded::Error::Closed { account, closed, .. }) => {
            let elsewhere = Path::new(ROOT_DATA).join(format!("dev-{}", name_of(home.base())));
            console.say(format!(
                "{} is closed to user {account}, who runs the servers: their data goes to {}",
                closed.display(),
                elsewhere.display()
            ));
            Ok(Box::pin(Servers::start(options(&elsewhere, config, console))).await?)
        }
        other => Ok(other?),
    }
}

fn options(data: &Path, config: &Config, console: &Console) -> Options {
    let mut options = Options::new(data);
    let exposed = |url: &SecretString| url.expose_secret().to_owned();
    options.postgres = config.database_url.as_ref().map(exposed);
    options.redis = config.redis_url.as_ref().map(exposed);
    let console = console.clone();
    options.on_progress = Some(Arc::new(move |line| console.say(line)));
    options
}

/// A short name of a directory, the same every time.
fn name_of(directory: &Path) -> String {
    hex::encode(Sha256::digest(directory.as_os_str().as_encoded_bytes()).get(..4).unwrap_or_default())
}

/// Makes the database and its tables; answers both addresses.
pub(super) async fn prepare(servers: &Servers, stop: &CancellationToken) -> anyhow::Result<(String, String)> {
    let url = servers.database_url(OWNER, DATABASE);
    if servers.postgres_pid().is_some() {
        let there =
            Postgres::database_exists(&url).await.context("PostgreSQL can't be asked for its databases")?;
        if !there {
            Postgres::create_database(&url).await.context("the database could not be made")?;
        }
    }
    let secret = SecretString::from(url.clone());
    if !database::wait(&secret, stop).await? {
        anyhow::bail!("stopped while waiting for PostgreSQL");
    }
    migrate::run(&secret).await.context("the database was not migrated")?;
    Ok((url, servers.redis_url()))
}
