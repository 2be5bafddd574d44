//! What an operator's command works with: tenant data under the app's role, the engine when something is
//! to be dispatched, and the organisation that is meant.

use std::time::Duration;

use anyhow::Context;
use domain::OrgId;
use jobs::Registry;
use queue::Queue;
use queue::ops::After;
use store::{Store, StoreError, Tx, orgs};
use tracing::warn;

use crate::config::{Config, Servers};
use crate::database;

/// Which organisation is meant.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct InOrg {
    /// Organisation, by its short name [default: COUNTERSIGN_ORG, or `demo` beside a running `make up`]
    #[arg(long, value_name = "SLUG")]
    pub(crate) org: Option<String>,
}

/// An operator at work.
pub(crate) struct Operator {
    config: Config,
    servers: Servers,
    store: Store,
}

impl Operator {
    /// Checks that the database is there and has its tables.
    pub(crate) async fn connect(config: Config) -> anyhow::Result<Self> {
        let servers = config.servers()?;
        let store = Store::connect(servers.app.url.clone(), servers.app.role)?;
        database::require(&servers.app.url).await?;
        database::require_tables(&store).await?;
        Ok(Self { config, servers, store })
    }

    /// Tenant data.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// The engine.
    pub(crate) async fn queue(&self) -> anyhow::Result<Queue> {
        self.servers.redis()?;
        database::engine(&self.config, &self.servers, 4).await.context("the queue can't be reached")
    }

    /// The slug that is meant.
    pub(crate) fn slug<'a>(&'a self, named: &'a InOrg) -> anyhow::Result<&'a str> {
        named
            .org
            .as_deref()
            .or(self.servers.org.as_deref())
            .context("which organisation is meant? Name it with --org <slug>, or set COUNTERSIGN_ORG")
    }

    /// The organisation that is meant.
    pub(crate) async fn org(&self, named: &InOrg) -> anyhow::Result<orgs::Org> {
        let slug = self.slug(named)?;
        let org = orgs::find(&self.store, slug).await?.with_context(|| {
            format!("there is no organisation “{slug}”; `countersign token create --org {slug} --create-org` makes one")
        })?;
        let mut tx = self.tx(org).await?;
        Ok(orgs::get(&mut tx).await?)
    }

    /// A transaction inside one organisation.
    pub(crate) async fn tx(&self, org: OrgId) -> Result<Tx, StoreError> {
        Tx::system(&self.store, org, "an operator at the command line").await
    }
}

/// What the audit log gives as the reason of an operator's action: whose shell it was, and what they said.
pub(crate) fn by_hand(said: Option<&str>) -> String {
    let named = |name: &&str| std::env::var(name).ok().filter(|user| !user.is_empty());
    let user = match (["SUDO_USER", "USER", "LOGNAME"].iter().find_map(named), uid()) {
        (Some(user), _) => user,
        (None, Some(uid)) => format!("user number {uid}"),
        (None, None) => "an unknown user".to_owned(),
    };
    match said {
        Some(said) => format!("at the command line by {user}: {said}"),
        None => format!("at the command line by {user}"),
    }
}

/// Whose process this is.
fn uid() -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").ok().map(|process| process.uid())
}

/// The kinds this program knows.
pub(crate) fn registry() -> anyhow::Result<Registry> {
    Registry::standard().context("a job kind of this program is built wrongly")
}

/// Lets an action take effect now. Without Redis it does when Redis is back, and the operator is told.
pub(crate) async fn settle(queue: &Queue, after: After) {
    queue.after(after).await;
    // The engine sends ids in the background; this process may be gone in a moment.
    tokio::time::sleep(Duration::from_millis(50)).await;
    tell_if_redis_is_away(queue).await;
}

/// Warns that jobs wait in the ledger for Redis.
pub(crate) async fn tell_if_redis_is_away(queue: &Queue) {
    let ping = tokio::time::timeout(Duration::from_secs(2), queue.ping_redis()).await;
    if !matches!(ping, Ok(Ok(()))) {
        warn!("Redis does not answer: it is done in the ledger and takes effect when Redis is back");
    }
}
