//! `countersign scheduler`: fires schedules and tends the queue. Any number may run.

use std::net::SocketAddr;
use std::sync::Arc;

use queue::tend::{TendConfig, Tender};
use schedules::Ticker;
use store::audit::Keeper;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::commands::audit::{declare_kinds, signer};
use crate::config::Config;
use crate::operator::registry;
use crate::{approvals, database, probes};

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
    let signer = signer(&config.keys)?;
    if signer.is_none() {
        warn!("COUNTERSIGN_KEYS_DIR is not set: the audit log is chained but not signed");
    }
    let Some((store, queue)) = database::serve(config, &servers, 4, &stop).await? else { return Ok(()) };
    let address = args.metrics_listen.or(config.metrics_listen);
    probes::start(address, queue.clone(), metrics, stop.clone()).await?;
    let tender = Tender::start(&queue, registry.clone(), TendConfig::default());
    declare_kinds(&store, &registry);
    approvals::declare(&store, &registry).await?;
    let sweep = tokio::spawn(approvals::sweep(store.clone(), queue.clone(), stop.clone()));
    let keeper = tokio::spawn(Keeper::new(store, signer).run(stop.clone()));
    info!("the scheduler is at work");
    Ticker::new(queue, registry).run(stop).await;
    tender.stop().await;
    let _ = keeper.await;
    let _ = sweep.await;
    info!("the scheduler has stopped");
    Ok(())
}
