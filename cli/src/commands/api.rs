//! `countersign api`: serves HTTP.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, bail};
use api::{Api, ApiConfig, ApiKeys};
use domain::SystemClock;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::commands::audit::declare_kinds;
use crate::config::Config;
use crate::operator::registry;
use crate::{approvals, database, listener};

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
    let registry = Arc::new(registry()?);
    declare_kinds(&store, &registry);
    approvals::declare(&store, &registry).await?;
    info!(address = %listener.local_addr()?, "the API listens");
    let keys = api_keys(&config.keys)?;
    if keys.auth.is_none() {
        warn!(
            "there are no keys for signing in, so only API tokens work; run countersign keys init and set COUNTERSIGN_KEYS_DIR"
        );
    }
    let api = Api::new(store, queue, registry, settings, keys, Some(metrics), Arc::new(SystemClock));
    api::serve(listener, api, stop.cancelled_owned()).await.context("the listener broke")?;
    info!("the API has stopped");
    Ok(())
}

/// The keys the API works with; it can do without, and says what it can't do then.
fn api_keys(keys: &vault::KeyConfig) -> anyhow::Result<ApiKeys> {
    Ok(ApiKeys {
        auth: vault::if_any(keys.auth_keys())?.map(Arc::new),
        sealing: vault::if_any(keys.sealing_keys())?.map(Arc::new),
    })
}
