//! `countersign scheduler`: fires schedules and tends the queue. Any number may run.

use std::net::SocketAddr;
use std::sync::Arc;

use queue::tend::{TendConfig, Tender};
use schedules::Ticker;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::config::Config;
use crate::operator::registry;
use crate::{database, probes};

/// Arguments.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Serve /metrics, /healthz and /readyz here [default: COUNTERSIGN_METRICS_LISTEN]
    #[arg(long, value_name = "ADDRESS")]
    metrics_listen: Option<SocketAddr>,
}

/// Works until told to stop.
pub(crate) async fn run(args: Args, config: &Config, stop: CancellationToken) -> anyhow::Result<()> {
    let registry = Arc::new(registry()?);
    let servers = config.servers()?;
    servers.redis()?;
    let metrics = telemetry::install_recorder()?;
    let Some((_, queue)) = database::serve(config, &servers, 4, &stop).await? else { return Ok(()) };
    let address = args.metrics_listen.or(config.metrics_listen);
    probes::start(address, queue.clone(), metrics, stop.clone()).await?;
    let tender = Tender::start(&queue, registry.clone(), TendConfig::default());
    info!("the scheduler is at work");
    Ticker::new(queue, registry).run(stop).await;
    tender.stop().await;
    info!("the scheduler has stopped");
    Ok(())
}
