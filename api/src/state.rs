//! What all handlers share.

use std::sync::Arc;

use domain::{Clock, EffectClass};
use jobs::Registry;
use queue::{KindBook, Queue};
use store::Store;
use telemetry::Metrics;
use tokio_util::sync::CancellationToken;
use vault::{AuthKeys, SealingKeys};

use crate::auth::{Passwords, Sessions, Tokens};
use crate::config::ApiConfig;
use crate::problem::{Code, Problem};
use crate::routes::approvals::guards::Guards;
use crate::streams::Streams;

/// The keys this process holds. What needs one that is not there says so and does nothing.
#[derive(Clone, Debug, Default)]
pub struct ApiKeys {
    /// For sessions, access tokens and second factors.
    pub auth: Option<Arc<AuthKeys>>,
    /// For storing credentials that only workers can read.
    pub sealing: Option<Arc<SealingKeys>>,
}

/// What the API is made of. Cheap to clone.
#[derive(Clone)]
pub struct Api(Arc<Inner>);

struct Inner {
    store: Store,
    queue: Queue,
    registry: Arc<Registry>,
    config: ApiConfig,
    keys: ApiKeys,
    metrics: Option<Metrics>,
    clock: Arc<dyn Clock>,
    tokens: Tokens,
    sessions: Sessions,
    passwords: Passwords,
    guards: Guards,
    hook_rates: crate::routes::hooks::Rates,
    streams: Streams,
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
        keys: ApiKeys,
        metrics: Option<Metrics>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self(Arc::new(Inner {
            tokens: Tokens::new(store.clone(), clock.clone(), &config),
            sessions: Sessions::new(store.clone(), clock.clone(), &config),
            passwords: Passwords::default(),
            guards: Guards::new(store.clone(), &registry),
            hook_rates: crate::routes::hooks::Rates::default(),
            streams: Streams::new(config.max_streams),
            stopping: CancellationToken::new(),
            store,
            queue,
            registry,
            config,
            keys,
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

    pub(crate) fn sessions(&self) -> &Sessions {
        &self.0.sessions
    }

    pub(crate) fn passwords(&self) -> &Passwords {
        &self.0.passwords
    }

    /// The keys of sessions and second factors.
    pub(crate) fn auth_keys(&self) -> Result<&AuthKeys, Problem> {
        self.0.keys.auth.as_deref().ok_or_else(|| {
            Problem::new(
                Code::SignInNotSetUp,
                "this process has no keys for signing in; run countersign keys init and set COUNTERSIGN_KEYS_DIR",
            )
        })
    }

    /// The keys that credentials are sealed with, if this process has them.
    pub(crate) fn sealing_keys(&self) -> Option<&SealingKeys> {
        self.0.keys.sealing.as_deref()
    }

    /// Which kinds need an approval.
    pub(crate) fn guards(&self) -> &Guards {
        &self.0.guards
    }

    /// Whether this program knows the kind, at any version.
    pub(crate) fn knows(&self, kind: &str) -> bool {
        self.0.registry.all().into_iter().any(|policy| policy.kind == kind)
    }

    /// How often each address of inbound webhooks is knocked at.
    pub(crate) fn hook_rates(&self) -> &crate::routes::hooks::Rates {
        &self.0.hook_rates
    }

    pub(crate) fn streams(&self) -> &Streams {
        &self.0.streams
    }

    /// The effect class of a kind; none when this program does not know the kind at that version.
    pub(crate) fn effect(&self, kind: &str, version: i16) -> Option<EffectClass> {
        self.0.registry.policy(kind, version).map(|policy| policy.effect)
    }
}
