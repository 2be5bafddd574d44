//! Checked API tokens and their local rate limit.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use domain::Clock;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};
use http::{HeaderValue, header};
use store::{Actor, Store, tokens};
use uuid::Uuid;

use super::cache::{Cache, Memory};
use crate::config::ApiConfig;
use crate::problem::{Code, Problem};

/// Strange tokens looked up in PostgreSQL a second: guessing must not become its load. Tokens that were
/// good a moment ago don't count, so guessing does not lock them out either.
const LOOK_UPS_PER_S: NonZeroU32 = NonZeroU32::new(500).unwrap();

/// Tokens and sessions whose rate is remembered before those that rest are forgotten.
const MOST_RATES: usize = 100_000;

type Hash = [u8; 32];

pub(crate) struct Tokens {
    shared: Arc<Shared>,
    limits: Limits,
}

struct Shared {
    store: Store,
    now: Arc<dyn Clock>,
    cache: Cache<Hash, tokens::Presented>,
}

/// How much one token or session may ask, and how many strange ones are looked up.
pub(super) struct Limits {
    rates: DefaultKeyedRateLimiter<Uuid>,
    look_ups: DefaultDirectRateLimiter,
    clock: DefaultClock,
}

impl Limits {
    pub(super) fn new(config: &ApiConfig) -> Self {
        let quota = Quota::per_second(config.rate_per_s).allow_burst(config.burst);
        Self {
            rates: RateLimiter::keyed(quota),
            look_ups: RateLimiter::direct(Quota::per_second(LOOK_UPS_PER_S)),
            clock: DefaultClock::default(),
        }
    }

    /// One request of a token or session.
    pub(super) fn check(&self, id: Uuid) -> Result<(), Problem> {
        if self.rates.len() >= MOST_RATES {
            // Those that rest say nothing that a new entry would not say.
            self.rates.retain_recent();
        }
        self.rates.check_key(&id).map_err(|wait| limited(wait.wait_time_from(self.clock.now())))
    }

    /// One look-up of something never seen.
    pub(super) fn check_look_up(&self) -> Result<(), Problem> {
        self.look_ups.check().map_err(|wait| limited(wait.wait_time_from(self.clock.now())))
    }
}

impl Tokens {
    pub(crate) fn new(store: Store, now: Arc<dyn Clock>, config: &ApiConfig) -> Self {
        let cache = Cache::new(config.token_cache);
        Self { shared: Arc::new(Shared { store, now, cache }), limits: Limits::new(config) }
    }

    /// Whoever the token lets in, and the hash to ask by again.
    pub(super) async fn admit(&self, secret: &str) -> Result<(Hash, Actor), Problem> {
        let Some(hash) = tokens::hash(secret) else {
            return Err(refused("what was sent is no API token; it begins with cst_ and has 47 characters"));
        };
        let token = match self.shared.cache.recall(&hash) {
            Memory::Fresh { value, renew } => {
                if renew {
                    self.shared.renew(hash);
                }
                Some(value)
            }
            Memory::Stale => self.shared.look_up(hash).await?,
            Memory::Unknown => None,
            Memory::Strange => {
                self.limits.check_look_up()?;
                self.shared.look_up(hash).await?
            }
        };
        let token = self.good(token)?;
        self.limits.check(token.token_id.0)?;
        Ok((hash, token.actor.clone()))
    }

    /// Whoever a token that was admitted lets in now. Takes nothing from its rate.
    pub(super) async fn still(&self, hash: &Hash) -> Result<Actor, Problem> {
        let token = match self.shared.cache.recall(hash) {
            Memory::Fresh { value, renew } => {
                if renew {
                    self.shared.renew(*hash);
                }
                Some(value)
            }
            Memory::Stale | Memory::Unknown | Memory::Strange => self.shared.look_up(*hash).await?,
        };
        Ok(self.good(token)?.actor.clone())
    }

    fn good(&self, token: Option<Arc<tokens::Presented>>) -> Result<Arc<tokens::Presented>, Problem> {
        let token =
            token.ok_or_else(|| refused("there is no such token; make one with countersign token create"))?;
        check_times(&token, self.shared.now.now())?;
        Ok(token)
    }

    /// Asks PostgreSQL again at the next use of every token: one of them was revoked here.
    pub(crate) fn forget(&self, token: domain::TokenId) {
        self.shared.cache.forget(|known| known.token_id == token);
    }
}

impl Shared {
    fn renew(self: &Arc<Self>, hash: Hash) {
        let shared = self.clone();
        tokio::spawn(async move {
            if let Err(error) = shared.look_up(hash).await {
                tracing::debug!(?error, "a token could not be checked again yet");
            }
        });
    }

    async fn look_up(self: &Arc<Self>, hash: Hash) -> Result<Option<Arc<tokens::Presented>>, Problem> {
        let checked = Instant::now();
        let token = tokens::look_up(&self.store, &hash).await?;
        if let Some(token) = &token {
            self.touch(hash, token);
        }
        Ok(self.cache.keep(hash, token, checked))
    }

    /// Notes the use of a token, beside the request.
    fn touch(self: &Arc<Self>, hash: Hash, token: &tokens::Presented) {
        if !self.cache.touch_due(hash) {
            return;
        }
        let (store, org, id) = (self.store.clone(), token.actor.org_id, token.token_id);
        tokio::spawn(async move {
            if let Err(error) = tokens::touch(&store, org, id).await {
                tracing::debug!(%error, "the use of a token was not noted");
            }
        });
    }
}

fn check_times(token: &tokens::Presented, now: DateTime<Utc>) -> Result<(), Problem> {
    if token.revoked_at.is_some() {
        return Err(refused("the token was revoked; make a new one with countersign token create"));
    }
    if token.expires_at.is_some_and(|at| at <= now) {
        return Err(refused("the token has expired; make a new one with countersign token create"));
    }
    Ok(())
}

pub(super) fn refused(detail: &str) -> Problem {
    Problem::new(Code::TokenRefused, detail).with_header(
        header::WWW_AUTHENTICATE,
        HeaderValue::from_static("Bearer realm=\"countersign\", error=\"invalid_token\""),
    )
}

fn limited(wait: Duration) -> Problem {
    Problem::new(
        Code::RateLimited,
        "this token or session makes more requests than it may; slow down, or send jobs in batches",
    )
    .retry_after(wait)
}
