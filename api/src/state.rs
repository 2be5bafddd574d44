//! What all handlers share.

use std::sync::Arc;

use domain::{Clock, EffectClass};
use jobs::Registry;
use queue::{KindBook, Queue};
use store::Store;
use telemetry::Metrics;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::auth::Tokens;
use crate::config::ApiConfig;

/// What the API is made of. Cheap to clone.
#[derive(Clone)]
pub struct Api(Arc<Inner>);

struct Inner {
    store: Store,
    queue: Queue,
    registry: Arc<Registry>,
    config: ApiConfig,
    metrics: Option<Metrics>,
    clock: Arc<dyn Clock>,
    tokens: Tokens,
    streams: Arc<Semaphore>,
    stopping: CancellationToken,
}

impl Api {
    /// Puts the API together. `metrics` is what `/metrics` shows; without it that route is empty.
    #[must_use]
    pub fn new(
        store: Store,
        queue: Queue,
        registry: Arc<Registry>,
        config: ApiConfig,
        metrics: Option<Metrics>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self(Arc::new(Inner {
            tokens: Tokens::new(store.clone(), clock.clone(), &config),
            streams: Arc::new(Semaphore::new(config.max_streams)),
            stopping: CancellationToken::new(),
            store,
            queue,
            registry,
            config,
            metrics,
            clock,
        }))
    }

    /// Tenant data.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// The engine.
    #[must_use]
    pub fn queue(&self) -> &Queue {
        &self.0.queue
    }

    /// The job kinds.
    #[must_use]
    pub fn registry(&self) -> &Arc<Registry> {
        &self.0.registry
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &ApiConfig {
        &self.0.config
    }

    /// Cancelled when the process begins to stop: open event streams end then.
    #[must_use]
    pub fn stopping(&self) -> &CancellationToken {
        &self.0.stopping
    }

    pub(crate) fn metrics(&self) -> Option<&Metrics> {
        self.0.metrics.as_ref()
    }

    pub(crate) fn now(&self) -> chrono::DateTime<chrono::Utc> {
        self.0.clock.now()
    }

    pub(crate) fn tokens(&self) -> &Tokens {
        &self.0.tokens
    }

    pub(crate) fn streams(&self) -> &Arc<Semaphore> {
        &self.0.streams
    }

    /// The effect class of a kind; none when this program does not know the kind at that version.
    pub(crate) fn effect(&self, kind: &str, version: i16) -> Option<EffectClass> {
        self.0.registry.policy(kind, version).map(|policy| policy.effect)
    }
}
