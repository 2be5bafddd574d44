//! `countersign worker`: runs jobs, and tends the queue like every process that can.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use api::ApiConfig;
use domain::SystemClock;
use jobs::Ports;
use providers::oidc::OidcClient;
use providers::smtp::SmtpClient;
use providers::webhook::{WebhookClient, WebhookConfig};
use queue::tend::{TendConfig, Tender};
use queue::worker::WorkerConfig;
use queue::{Queue, QueueError};
use store::Store;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use vault::if_any;
use workers::{
    AuditKeyPort, Crew, DerivedSecrets, FlowSealPort, MailPort, OidcPort, Runner, VaultPort, WebhookPort,
};

use crate::commands::audit::declare_kinds;
use crate::config::{Config, Servers};
use crate::operator::registry;
use crate::{approvals, database, probes};

/// Arguments.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Work in these lanes only
    #[arg(long, value_delimiter = ',')]
    lanes: Vec<String>,
    /// Slots in each lane [default: as `countersign lanes` shows]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    concurrency: Option<u16>,
    /// Longest time for the jobs in hand when asked to stop; the rest goes back to its lanes
    #[arg(long, default_value_t = 30)]
    drain_secs: u64,
    /// Serve /metrics, /healthz and /readyz here [default: COUNTERSIGN_METRICS_LISTEN]
    #[arg(long, value_name = "ADDRESS")]
    metrics_listen: Option<SocketAddr>,
    /// What people see it called [default: host and process]
    #[arg(long)]
    name: Option<String>,
}

/// Works until told to stop; then drains.
pub(crate) async fn run(args: Args, config: &Config, stop: CancellationToken) -> anyhow::Result<()> {
    let registry = Arc::new(registry()?);
    let servers = config.servers()?;
    let ports = Arc::new(ports(config, &servers)?);
    servers.redis()?;
    let metrics = telemetry::install_recorder()?;
    let Some((store, queue)) = database::serve(config, &servers, 8, &stop).await? else { return Ok(()) };
    declare_kinds(&store, &registry);
    approvals::declare(&store, &registry).await?;
    let address = args.metrics_listen.or(config.metrics_listen);
    probes::start(address, queue.clone(), metrics, stop.clone()).await?;

    let mut settings = WorkerConfig { lanes: args.lanes, ..WorkerConfig::default() };
    settings.concurrency = args.concurrency.map(usize::from);
    settings.name = args.name.unwrap_or(settings.name);
    check_lanes(&queue, &settings.lanes)?;
    let runner = Arc::new(Runner::new(registry.clone(), ports, store, &queue));
    let crew = loop {
        match Crew::start(queue.clone(), registry.clone(), runner.clone(), settings.clone()).await {
            Ok(crew) => break crew,
            Err(QueueError::DatabaseAway(error)) => warn!(%error, "PostgreSQL went away again"),
            Err(error) => return Err(error).context("the worker did not start"),
        }
        if !database::wait(&servers.engine.url, &stop).await? {
            return Ok(());
        }
    };
    let tender = Tender::start(&queue, registry, TendConfig::default());
    stop.cancelled().await;
    tender.stop().await;
    info!(jobs = crew.in_flight(), "draining");
    crew.leave(Duration::from_secs(args.drain_secs)).await;
    Ok(())
}

/// What jobs see of the outside world.
fn ports(config: &Config, servers: &Servers) -> anyhow::Result<Ports> {
    let client = WebhookClient::new(WebhookConfig {
        allow: config.webhook_allow.clone(),
        allow_http: config.webhook_http,
        ..WebhookConfig::default()
    })?;
    if config.webhook_keys.is_empty() {
        warn!("COUNTERSIGN_WEBHOOK_KEYS is not set: webhooks can't be signed and end as dead letters");
    }
    let secrets =
        DerivedSecrets::new(&config.webhook_keys).context("COUNTERSIGN_WEBHOOK_KEYS can't be used")?;
    let mail = config.smtp.clone().map(SmtpClient::new).transpose().context("mail can't be sent")?;
    if mail.is_none() {
        warn!("COUNTERSIGN_SMTP_URL is not set: invitations and password resets can't be mailed");
    }
    let identity = config
        .identity_provider()?
        .map(OidcClient::new)
        .transpose()
        .context("the identity provider can't be used")?;
    Ok(Ports {
        webhook: Arc::new(WebhookPort::new(client)),
        webhook_secrets: Arc::new(secrets),
        mailer: Arc::new(MailPort::new(mail)),
        identity: Arc::new(OidcPort::new(identity)),
        flow_seals: Arc::new(FlowSealPort::new(if_any(config.keys.auth_keys())?)),
        public_url: ApiConfig::from_env()?.public_url,
        audit_keys: Arc::new(AuditKeyPort(if_any(config.keys.checkpoint_public_key())?)),
        vault: Arc::new(vault_port(config, servers)?),
        clock: Arc::new(SystemClock),
    })
}

/// Opens credentials, where this process has a login and keys for that.
fn vault_port(config: &Config, servers: &Servers) -> anyhow::Result<VaultPort> {
    let keys = if_any(config.keys.opening_keys()).context("the keys of the vault can't be used")?;
    let (Some(keys), Some(login)) = (keys, &servers.vault) else {
        warn!("there are no keys or no login for the vault: jobs that need a credential end as dead letters");
        return Ok(VaultPort::closed());
    };
    Ok(VaultPort::new(Store::connect(login.url.clone(), login.role)?, Box::new(keys)))
}

fn check_lanes(queue: &Queue, wanted: &[String]) -> anyhow::Result<()> {
    let table = queue.lanes();
    if let Some(unknown) = wanted.iter().find(|lane| table.get(lane).is_none()) {
        let known: Vec<&str> = table.lanes.iter().map(|lane| &*lane.lane).collect();
        bail!("there is no lane “{unknown}”; use some of {}", known.join(", "));
    }
    Ok(())
}
