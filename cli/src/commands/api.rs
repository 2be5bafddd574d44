//! `countersign api`: serves HTTP.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, bail};
use api::{Api, ApiConfig};
use domain::SystemClock;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::config::Config;
use crate::operator::registry;
use crate::{database, listener};

/// Arguments.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Address to listen on [default: COUNTERSIGN_LISTEN, or 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

/// Serves until told to stop; then answers what is under way.
pub(crate) async fn run(args: Args, config: &Config, stop: CancellationToken) -> anyhow::Result<()> {
    let mut settings = ApiConfig::from_env()?;
    settings.listen = args.listen.unwrap_or(settings.listen);
    if config.metrics_listen == Some(settings.listen) {
        bail!(
            "COUNTERSIGN_METRICS_LISTEN and COUNTERSIGN_LISTEN are the same address; the API serves /metrics itself"
        );
    }
    let servers = config.servers()?;
    servers.redis()?;
    let metrics = telemetry::install_recorder()?;
    // Taken before the wait, so that a wrong address is told at once.
    let listener = listener::bind(settings.listen, "COUNTERSIGN_LISTEN").await?;
    let Some((store, queue)) = database::serve(config, &servers, 12, &stop).await? else { return Ok(()) };
    info!(address = %listener.local_addr()?, "the API listens");
    let api = Api::new(store, queue, Arc::new(registry()?), settings, Some(metrics), Arc::new(SystemClock));
    api::serve(listener, api, stop.cancelled_owned()).await.context("the listener broke")?;
    info!("the API has stopped");
    Ok(())
}
