//! `countersign migrate`: brings the tables up to this program's version.

use anyhow::Context;
use serde_json::json;
use store::migrate;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::database;
use crate::output::Out;

/// Arguments.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Wait for PostgreSQL instead of failing when it is not there yet
    #[arg(long)]
    wait: bool,
}

/// Applies what is missing. Several at once take turns.
pub(crate) async fn run(
    args: &Args,
    config: &Config,
    out: Out,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let servers = config.servers()?;
    let owner = servers.owner()?;
    if args.wait {
        if !database::wait(owner, &stop).await? {
            return Ok(());
        }
    } else {
        database::require(owner).await?;
    }
    let applied = migrate::run(owner).await.context("the database was not migrated")?;
    out.json(&json!({ "applied": applied }))?;
    match applied {
        0 => out.say("nothing to do: the tables are up to date"),
        1 => out.say("1 migration applied"),
        more => out.say(format_args!("{more} migrations applied")),
    }
}
